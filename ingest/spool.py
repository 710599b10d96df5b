"""Frames on disk while Kafka is away: append-only segment files with a checksum a record, fsynced before anything is acknowledged.

Plain files rather than SQLite: on a full file system SQLite cannot even delete, so it could never drain; unlinking a segment always works.
Records are `spool_record.py`'s. A torn tail is cut off at opening; a damaged record in the middle is skipped and
counted, and the next one is found by its magic.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ingest.contract.operating import EXIT_TROUBLE, UserError
from ingest.frames import OutFrame
from ingest.spool_record import encode, frame_of, records


class SpoolFullError(Exception):
    """The byte cap is reached, or the disk is full. Nothing of the batch was kept; the spool is as before."""


@dataclass(slots=True)
class _Segment:
    path: Path
    number: int
    size: int = 0
    frames: int = 0


@dataclass(frozen=True, slots=True)
class Position:
    """Just behind a frame: releasing it frees everything before."""

    segment: int
    offset: int


@dataclass(slots=True)
class SpoolState:
    """What opening found."""

    frames: int = 0
    readings: Counter[int] = field(default_factory=Counter)
    torn_bytes: int = 0
    damaged: int = 0
    bytes: int = 0
    segments: int = 0


class Spool:
    """A queue of frames on disk, first in first out. One process at a time (a lock file); blocking calls, so use a thread."""

    def __init__(self, folder: Path, max_bytes: int, segment_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._segments: deque[_Segment] = deque()
        self._file: BinaryIO | None = None
        self._last_number = 0
        self._head = 0
        self._lock: BinaryIO | None = None
        self._busy = threading.Lock()  # a cancelled wait leaves its thread at work
        self.frames = 0
        self.size = 0
        self.damaged = 0

    def open(self) -> SpoolState:
        """Lock the folder, read every segment once, cut a torn tail off.

        Raises:
            UserError: another process has it, or the folder cannot be used.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self._folder / "lock").open("ab")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.close()
            raise UserError(
                f"the spool {self._folder} is in use by another gateway process; stop it, or give this one another gateway_id",
                exit_code=EXIT_TROUBLE,
            ) from None
        except OSError as error:
            raise UserError(
                f"cannot use the spool folder {self._folder}: {error.strerror}", exit_code=EXIT_TROUBLE
            ) from None
        state = SpoolState()
        paths = sorted(self._folder.glob("*.spool"))
        for path in paths:
            segment = _Segment(path, int(path.stem))
            self._scan(segment, state, last=path == paths[-1])
            self._segments.append(segment)
            self._last_number = segment.number
        self.frames = state.frames
        self.size = sum(segment.size for segment in self._segments)
        self.damaged = state.damaged
        self._drop_empty()
        return state

    def _scan(self, segment: _Segment, state: SpoolState, *, last: bool) -> None:
        frames = state.frames
        end, size = _scan_file(segment.path, state)
        segment.frames = state.frames - frames
        segment.size = size
        if last:
            # also where nothing is torn: a killed process may have written it and not synced it, and from here on it is counted
            with segment.path.open("r+b") as file:
                file.truncate(end)
                os.fsync(file.fileno())
            segment.size = end

    def append(self, frames: Iterable[OutFrame]) -> None:
        """Add frames behind all others; on disk (fsync) when this returns.

        Raises:
            SpoolFullError: none of them was kept.
        """
        records = [encode(frame) for frame in frames]
        if records:
            with self._busy:
                self._append(b"".join(records), len(records))

    def _append(self, block: bytes, added: int) -> None:
        if self.size + len(block) > self._max_bytes:
            raise SpoolFullError(f"spool holds {self.size} of at most {self._max_bytes} bytes")
        try:
            segment = self._writable_segment()
            file = self._file
            assert file is not None  # noqa: S101 - `_writable_segment` opened it
            try:
                _write_all(file, block)
                os.fsync(file.fileno())
            except OSError:
                self._cut_back(file, segment.size)
                raise
        except OSError as error:
            raise SpoolFullError(f"cannot write the spool: {error.strerror}") from error
        segment.size += len(block)
        segment.frames += added
        self.size += len(block)
        self.frames += added

    def _writable_segment(self) -> _Segment:
        if self._segments and self._file is not None and self._segments[-1].size < self._segment_bytes:
            return self._segments[-1]
        self._last_number += 1  # also when this fails: a file that was made and could not be used has its name for good
        path = self._folder / f"{self._last_number:020d}.spool"
        self._close_file()
        file = path.open("xb", buffering=0)
        try:
            self._sync_folder()
        except OSError:
            file.close()
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        self._file = file
        self._segments.append(_Segment(path, self._last_number))
        return self._segments[-1]

    def _cut_back(self, file: BinaryIO, size: int) -> None:
        """A full disk may have taken a part; it must go, or it would look like a torn record in mid-file."""
        try:
            file.truncate(size)
            file.seek(size)
        except OSError:  # then it stays behind the end of what counts, and the next append begins another segment
            self._close_file()

    def read(self, limit: int, after: Position | None = None) -> list[tuple[Position, OutFrame]]:
        """The oldest frames not released yet (or those behind `after`), at most `limit` and within one segment."""
        for segment in self._segments:
            start = self._head if segment is self._segments[0] else 0
            if after is not None:
                if segment.number < after.segment:
                    continue
                start = max(start, after.offset) if segment.number == after.segment else start
            found = self._read_segment(segment, start, limit)
            if found:
                return found
        return []

    def _read_segment(self, segment: _Segment, start: int, limit: int) -> list[tuple[Position, OutFrame]]:
        with segment.path.open("rb") as file:
            file.seek(start)
            data = file.read(segment.size - start)
        found: list[tuple[Position, OutFrame]] = []
        for item in records(data):
            if isinstance(item, int):
                continue
            end, record = item
            found.append((Position(segment.number, start + end), frame_of(record)))
            if len(found) == limit:
                break
        return found

    def release(self, position: Position, frames: int) -> None:
        """The frames up to `position` are safe elsewhere; whole segments before it are deleted."""
        with self._busy:
            self._release(position, frames)

    def _release(self, position: Position, frames: int) -> None:
        self.frames = max(0, self.frames - frames)
        while self._segments and self._segments[0].number < position.segment:
            self._delete_first()
        if self._segments and self._segments[0].number == position.segment:
            self._head = position.offset
            if self._head >= self._segments[0].size and (len(self._segments) > 1 or self.frames == 0):
                self._delete_first()

    def forget_rest(self) -> None:
        """Nothing readable is left: delete what remains (damaged records at the end)."""
        while self._segments:
            self._delete_first()
        self.frames = 0

    @property
    def empty(self) -> bool:
        """Whether no frame waits."""
        return self.frames == 0 and not self._segments

    def close(self) -> None:
        """Give the folder back."""
        with self._busy:
            self._close_file()
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def _delete_first(self) -> None:
        segment = self._segments.popleft()
        if not self._segments:
            self._close_file()
        self.size -= segment.size
        self._head = 0
        segment.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._sync_folder()

    def _drop_empty(self) -> None:
        while self._segments and self._segments[0].frames == 0:
            self._delete_first()

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def inspect(folder: Path) -> SpoolState:
    """What a spool folder holds, read without its lock and changing nothing; nothing where there is no folder."""
    state = SpoolState()
    for path in sorted(folder.glob("*.spool")):
        with contextlib.suppress(FileNotFoundError):  # drained and deleted meanwhile
            _scan_file(path, state)
    return state


def _scan_file(path: Path, state: SpoolState) -> tuple[int, int]:
    """Add a segment's records to `state`; (end of the last whole record, size)."""
    data = path.read_bytes()
    end = 0
    for item in records(data):
        if isinstance(item, int):
            state.damaged += 1
            continue
        end, record = item
        state.frames += 1
        state.readings[record.epoch] += record.count
    state.torn_bytes += len(data) - end
    state.bytes += len(data)
    state.segments += 1
    return end, len(data)


def _write_all(file: BinaryIO, block: bytes) -> None:
    rest = memoryview(block)
    while rest:  # an unbuffered write may take only a part (556 bytes at ENOSPC in a trial)
        rest = rest[file.write(rest) :]
