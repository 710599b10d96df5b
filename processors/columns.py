"""Kafka records -> typed frames -> one struct of arrays per batch. The one place where records become columns. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from ingest.contract.frame import (
    DeadLetter,
    FrameColumns,
    FrameError,
    FrameHeader,
    decode_dead_letters,
    decode_readings,
)
from ingest.contract.rejects import RejectReason
from ingest.contract.topics import Topics
from processors.contract.rejects import FrameReject
from processors.series import BAD_DEVICE, UNKNOWN_METRIC, SeriesTable

_MAX_FRAME_READINGS = 10_000_000  # a 4 MiB record cannot hold more than a fiftieth of it
_MAX_NUMBER = 1 << 53  # microseconds until the year 2255; sums of it stay within bigint

Partition = tuple[str, int]
"""(topic, partition number)."""


class Record(Protocol):
    """What a Kafka record must show; aiokafka's ConsumerRecord does."""

    offset: int
    timestamp: int
    headers: Sequence[tuple[str, bytes | None]]
    value: bytes | None


@dataclass(frozen=True, slots=True)
class ReadingsFrame:
    """A readable frame of readings."""

    partition: Partition
    header: FrameHeader
    columns: FrameColumns


@dataclass(frozen=True, slots=True)
class LettersFrame:
    """A readable frame of refused payloads."""

    partition: Partition
    header: FrameHeader
    letters: list[DeadLetter]


@dataclass(frozen=True, slots=True)
class Statement:
    """A gateway's custody statement: the columns of city.gateway_statements."""

    gateway: str
    epoch: int
    at_us: int
    received: int
    refused: int
    acked_kafka: int
    spooled: int
    messages: int
    partitions: str


@dataclass(frozen=True, slots=True)
class BrokenRecord:
    """A record that is no frame of ours; `header` where at least that could be read. `append_us` is when Kafka took it."""

    partition: Partition
    offset: int
    append_us: int
    header: FrameHeader | None
    detail: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Span:
    """The records of one partition in a batch: offsets first..last, and Kafka's append time of both (ms)."""

    first: int
    last: int
    first_append_ms: int
    last_append_ms: int
    records: int


@dataclass(slots=True)
class Frames:
    """A decoded batch, frames in the order of their partitions and offsets."""

    spans: dict[Partition, Span] = field(default_factory=dict)
    readings: list[ReadingsFrame] = field(default_factory=list)
    letters: list[LettersFrame] = field(default_factory=list)
    statements: list[Statement] = field(default_factory=list)
    broken: list[BrokenRecord] = field(default_factory=list)


def decode(records: Mapping[Partition, Sequence[Record]], topics: Topics) -> Frames:
    """Take every record apart. A record that cannot be read ends in `broken`, never in an exception: it must not stop its partition."""
    frames = Frames()
    for partition, group in records.items():
        if not group:
            continue
        frames.spans[partition] = Span(
            group[0].offset, group[-1].offset, group[0].timestamp, group[-1].timestamp, len(group)
        )
        for record in group:
            _decode_one(frames, partition, record, topics)
    return frames


def _decode_one(frames: Frames, partition: Partition, record: Record, topics: Topics) -> None:
    header: FrameHeader | None = None
    body = record.value or b""
    try:
        if partition[0] == topics.custody:
            frames.statements.append(_statement(body))
            return
        header = _possible(FrameHeader.from_kafka(record.headers))
        if partition[0] == topics.readings:
            frames.readings.append(ReadingsFrame(partition, header, _readings(body, header)))
        else:
            frames.letters.append(LettersFrame(partition, header, _letters(body, header)))
    except FrameError as error:
        frames.broken.append(BrokenRecord(partition, record.offset, record.timestamp * 1000, header, str(error), body))


def _possible(header: FrameHeader) -> FrameHeader:
    if not 0 < len(header.gateway.encode()) <= 200 or "\0" in header.gateway:
        raise FrameError("the gateway's name is empty, longer than 200 bytes or holds NUL")
    numbers = (header.epoch, header.seq, header.before, header.received_us, header.sent_us)
    if header.count > _MAX_FRAME_READINGS or max(map(abs, numbers)) > _MAX_NUMBER:
        raise FrameError("a number in the headers is impossibly large")
    return header


def _readings(body: bytes, header: FrameHeader) -> FrameColumns:
    columns = decode_readings(body)
    if len(columns) != header.count:
        raise FrameError(f"the header counts {header.count} readings, the body holds {len(columns)}")
    return columns


def _letters(body: bytes, header: FrameHeader) -> list[DeadLetter]:
    letters = decode_dead_letters(body)
    total = sum(letter.readings for letter in letters)
    if total != header.count or any(letter.readings < 1 for letter in letters):
        raise FrameError(f"the header counts {header.count} readings, the letters stand for {total}")
    if any(abs(letter.received_us) > _MAX_NUMBER for letter in letters):
        raise FrameError("a letter with an impossible time")  # NUL in a text is made visible where it is stored
    return letters


def _statement(body: bytes) -> Statement:
    try:
        said = json.loads(body)
        numbers = {
            name: int(said[name])
            for name in ("epoch", "at_us", "received", "refused", "acked_kafka", "spooled", "messages")
        }
        partitions: list[dict[str, Any]] = [
            {
                "topic": str(p["topic"]),
                "partition": int(p["partition"]),
                "acked": int(p["acked"]),
                "offset": int(p["offset"]),
            }
            for p in said["partitions"]
        ]
        gateway = str(said["gateway"])
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise FrameError(f"not a custody statement: {type(error).__name__} {error}") from None
    found = [*numbers.values(), *(p[name] for p in partitions for name in ("partition", "acked", "offset"))]
    if not all(map(_storable_name, (gateway, *(p["topic"] for p in partitions)))) or max(map(abs, found)) > _MAX_NUMBER:
        raise FrameError("a custody statement with an impossible name or number")
    return Statement(gateway=gateway, partitions=json.dumps(partitions), **numbers)


def _storable_name(name: str) -> bool:
    """1 to 249 bytes (Kafka's longest topic) that PostgreSQL takes: no NUL, and no half of a surrogate pair, which JSON can hold."""
    return 0 < len(name.encode(errors="replace")) <= 249 and not any(
        character == "\0" or "\ud800" <= character <= "\udfff" for character in name
    )


@dataclass(frozen=True, slots=True)
class Columns:
    """n readings of a batch in order of arrival.

    series: local series index (see `series.SeriesTable`); frame: index into the batch's readings frames; flags widened to int32.
    """

    series: npt.NDArray[np.int32]
    time_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    flags: npt.NDArray[np.int32]
    frame: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.series)

    def take(self, index: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> Columns:
        """The readings at `index` (positions or a mask)."""
        return Columns(
            self.series[index], self.time_us[index], self.values[index], self.flags[index], self.frame[index]
        )


@dataclass(frozen=True, slots=True)
class RefusedReading:
    """A reading that cannot be stored, with its reason; `frame` indexes the batch's readings frames."""

    frame: int
    reason: str
    detail: str
    device: str
    metric: str
    time_us: int
    value: float
    flags: int


def to_columns(
    frames: Iterable[tuple[int, ReadingsFrame]], table: SeriesTable, *, now_us: int, future_limit_us: int
) -> tuple[Columns, list[RefusedReading]]:
    """Frames (with their index in the batch) as columns; new series get a local index in `table` and wait there for their id.

    Everything PostgreSQL would refuse is refused here, so that one bad value cannot take a whole COPY down.
    """
    parts: list[Columns] = []
    refused: list[RefusedReading] = []
    for index, frame in frames:
        given = frame.columns
        series = table.resolve(given.devices, given.metrics, given.device_codes, given.metric_codes, frame.partition[1])
        reasons = _reasons(series, given, now_us + future_limit_us)
        if reasons is not None:
            refused += _refused(index, given, reasons)
            keep = reasons == ""
            part = Columns(
                series, given.time_us, given.values, given.flags.astype(np.int32), _frame_numbers(index, len(series))
            )
            parts.append(part.take(keep))
            continue
        parts.append(
            Columns(
                series, given.time_us, given.values, given.flags.astype(np.int32), _frame_numbers(index, len(series))
            )
        )
    return _concatenate(parts), refused


def _frame_numbers(index: int, n: int) -> npt.NDArray[np.int32]:
    return np.full(n, index, np.int32)


def _reasons(series: npt.NDArray[np.int32], given: FrameColumns, latest_us: int) -> npt.NDArray[np.str_] | None:
    """Per reading the reason it cannot be stored, "" where it can; None where all can."""
    finite = np.isfinite(given.values)
    bad_time = (given.time_us < 0) | (given.time_us > latest_us)
    if finite.all() and not bad_time.any() and (len(series) == 0 or series.min() >= 0):
        return None
    reasons = np.full(len(series), "", dtype="U32")
    reasons[given.time_us < 0] = RejectReason.TOO_OLD
    reasons[given.time_us > latest_us] = RejectReason.IN_FUTURE
    reasons[~finite] = RejectReason.NOT_FINITE
    reasons[series < 0] = FrameReject.WRONG_PARTITION
    reasons[series == UNKNOWN_METRIC] = RejectReason.UNKNOWN_METRIC
    reasons[series == BAD_DEVICE] = RejectReason.BAD_DEVICE
    return reasons


def _refused(index: int, given: FrameColumns, reasons: npt.NDArray[np.str_]) -> list[RefusedReading]:
    found = []
    for at in np.flatnonzero(reasons != ""):
        device, metric = given.devices[given.device_codes[at]], given.metrics[given.metric_codes[at]]
        time_us, value, flags = int(given.time_us[at]), float(given.values[at]), int(given.flags[at])
        reason = str(reasons[at])
        found.append(
            RefusedReading(
                index, reason, _detail(reason, device, metric, time_us), device, metric, time_us, value, flags
            )
        )
    return found


def _detail(reason: str, device: str, metric: str, time_us: int) -> str:
    known = {
        RejectReason.TOO_OLD.value: f"event time {time_us} us lies before 1970",
        RejectReason.IN_FUTURE.value: f"event time {time_us} us lies too far ahead of the clock",
        RejectReason.NOT_FINITE.value: f"{metric} of {device} is no finite number",
        RejectReason.UNKNOWN_METRIC.value: f"metric {metric!r} is not in the catalogue of this version",
        RejectReason.BAD_DEVICE.value: f"device id {device[:40]!r} is empty, too long or holds NUL",
    }
    return known.get(reason, f"device {device!r} belongs to another partition than the one it came on")


def _concatenate(parts: Sequence[Columns]) -> Columns:
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Columns(
            np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int32), np.empty(0, np.int32)
        )
    return Columns(*(np.concatenate([getattr(part, name) for part in parts]) for name in Columns.__slots__))
