"""The ledger file: what was truly sent and what the broker said to it. The oracle that `simulate score` holds the database against.

Append-only. A record is `magic | kind | length | crc32 | body`; the bodies of rows are packed numpy arrays. What is about to be sent is
handed to the kernel before the first byte goes to the broker, so a kill -9 of the simulator loses no row that may have arrived; fsync
follows at intervals, so a power cut loses at most the last of them. A torn tail is cut off at reading.
"""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from ingest.contract.operating import UserError
from simulators.batch import Batch, Names

MAGIC = b"CNL1"
_HEAD = struct.Struct("<4sBII")
_RUN, _NAMES, _MESSAGES, _ROWS, _ACKS = range(1, 6)

MESSAGE = np.dtype([("number", "<u8"), ("digest", "<u8"), ("due_us", "<i8"), ("sent_us", "<i8"), ("rows", "<u4")])
ROW = np.dtype(
    [("number", "<u8"), ("device", "<i4"), ("metric", "<i4"), ("time_us", "<i8"), ("value", "<f8"), ("expect", "u1")]
)
ACK = np.dtype([("number", "<u8"), ("acked_us", "<i8"), ("reason", "u1"), ("sends", "<u2")])


def digest(topic: str, payload: bytes) -> int:
    """64 bits that name a message, by which a dead letter is found again."""
    hashed = hashlib.blake2b(payload, digest_size=8, key=topic.encode()[-64:])
    return int.from_bytes(hashed.digest(), "little")


class LedgerWriter:
    """Writes one run into a new file, or after the earlier runs of an existing one. Without a path it only numbers the messages."""

    def __init__(self, path: Path | None, names: Names, about: Mapping[str, Any], *, fsync_every_s: float) -> None:
        self._names, self._names_written = names, 0
        self._fsync_every_s, self._synced_s = fsync_every_s, 0.0
        self._file: int | None = None
        self.next_number = 0
        if path is None:
            return
        try:
            if path.exists() and path.stat().st_size:
                self.next_number = _reopen(path)
            self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        except OSError as error:
            raise UserError(f"cannot write the ledger file {path}: {error.strerror}") from None
        self._append(_RUN, json.dumps(dict(about)).encode())

    def about_to_send(self, batch: Batch, now_us: int) -> npt.NDArray[np.uint64]:
        """Record messages before they are sent; answers their numbers."""
        numbers = np.arange(self.next_number, self.next_number + len(batch), dtype=np.uint64)
        self.next_number += len(batch)
        if self._file is None:
            return numbers
        self._append_new_names()
        counts = np.diff(batch.first)
        messages = np.empty(len(batch), MESSAGE)
        messages["number"], messages["due_us"], messages["sent_us"], messages["rows"] = (
            numbers,
            batch.due_us,
            now_us,
            counts,
        )
        messages["digest"] = [
            digest(topic, payload) for topic, payload in zip(batch.topics, batch.payloads, strict=True)
        ]
        rows = np.empty(batch.readings, ROW)
        rows["number"] = np.repeat(numbers, counts)
        for name in ("device", "metric", "time_us", "value", "expect"):
            rows[name] = getattr(batch, name)
        self._append(_MESSAGES, messages.tobytes())
        self._append(_ROWS, rows.tobytes())
        return numbers

    def answered(self, acks: npt.NDArray[Any], now_s: float) -> None:
        """Record the broker's answers (dtype `ACK`); fsync where the interval has passed. `now_s` is a monotonic clock."""
        if self._file is None:
            return
        if len(acks):
            self._append(_ACKS, acks.tobytes())
        if now_s - self._synced_s >= self._fsync_every_s:
            os.fsync(self._file)
            self._synced_s = now_s

    def close(self) -> None:
        """Put everything on disk."""
        if self._file is not None:
            os.fsync(self._file)
            os.close(self._file)
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _append_new_names(self) -> None:
        if len(self._names) > self._names_written:
            fresh = self._names.since(self._names_written)
            self._append(_NAMES, json.dumps(fresh).encode())
            self._names_written += len(fresh)

    def _append(self, kind: int, body: bytes) -> None:
        assert self._file is not None  # noqa: S101 - callers return early without a file
        record = _HEAD.pack(MAGIC, kind, len(body), zlib.crc32(body)) + body
        view = memoryview(record)
        while view:
            view = view[os.write(self._file, view) :]


@dataclass
class Ledger:
    """A ledger file read whole. `names` are the codes' meaning; the arrays hold `MESSAGE`, `ROW` and `ACK` rows in file order."""

    runs: list[dict[str, Any]] = field(default_factory=list)
    names: list[str] = field(default_factory=list)
    messages: npt.NDArray[Any] = field(default_factory=lambda: np.empty(0, MESSAGE))
    rows: npt.NDArray[Any] = field(default_factory=lambda: np.empty(0, ROW))
    acks: npt.NDArray[Any] = field(default_factory=lambda: np.empty(0, ACK))
    torn_bytes: int = 0


def read(path: Path) -> Ledger:
    """Read a ledger file, without its torn tail.

    Raises:
        UserError: no such file, or it is no ledger.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read the ledger file {path}: {error.strerror}") from None
    if not data.startswith(MAGIC):
        raise UserError(f"{path} is no ledger file: it does not begin with {MAGIC.decode()}")
    ledger, end = Ledger(), 0
    parts: dict[int, list[bytes]] = {_MESSAGES: [], _ROWS: [], _ACKS: []}
    codes: dict[str, int] = {}
    shift: dict[int, int] = {}  # a second run in the file numbers its names anew, also those that the first has used
    rows: list[npt.NDArray[Any]] = []
    for kind, body, end_of_record in _records(data):
        end = end_of_record
        if kind == _RUN:
            ledger.runs.append(json.loads(body))
            shift = {}
        elif kind == _NAMES:
            for name in json.loads(body):
                shift[len(shift)] = codes.setdefault(name, len(codes))
        elif kind == _ROWS:
            rows.append(_shifted(np.frombuffer(body, ROW), shift))
        else:
            parts[kind].append(body)
    ledger.names = list(codes)
    ledger.messages = np.frombuffer(b"".join(parts[_MESSAGES]), MESSAGE)
    ledger.rows = np.concatenate(rows) if rows else np.empty(0, ROW)
    ledger.acks = np.frombuffer(b"".join(parts[_ACKS]), ACK)
    ledger.torn_bytes = len(data) - end
    return ledger


def _shifted(rows: npt.NDArray[Any], shift: Mapping[int, int]) -> npt.NDArray[Any]:
    if all(old == new for old, new in shift.items()):
        return rows
    moved = rows.copy()
    table = np.asarray([shift[code] for code in range(len(shift))], dtype=np.int32)
    moved["device"], moved["metric"] = table[rows["device"]], table[rows["metric"]]
    return moved


def _records(data: bytes) -> Iterator[tuple[int, bytes, int]]:
    """(kind, body, end offset) of every whole record; stops at the first that is torn."""
    at = 0
    while at + _HEAD.size <= len(data):
        magic, kind, length, crc = _HEAD.unpack_from(data, at)
        body = data[at + _HEAD.size : at + _HEAD.size + length]
        if magic != MAGIC or len(body) < length or zlib.crc32(body) != crc or not _RUN <= kind <= _ACKS:
            return
        at += _HEAD.size + length
        yield kind, body, at


def _reopen(path: Path) -> int:
    """Cut a torn tail off an existing ledger; answers the next free message number."""
    ledger = read(path)
    if ledger.torn_bytes:
        os.truncate(path, path.stat().st_size - ledger.torn_bytes)
    return int(ledger.messages["number"].max()) + 1 if len(ledger.messages) else 0
