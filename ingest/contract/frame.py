"""The frame: one Kafka record = one Arrow IPC stream with one record batch of readings of one partition.

Self-contained (its schema travels with it), so any Arrow reader can read the topic. Device and metric are dictionary-coded: a reading
costs 22 bytes before compression and no Python object. Headers carry what the ledger needs, so accounting never opens the body.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

SCHEMA_VERSION = 1

READINGS_SCHEMA = pa.schema(
    [
        pa.field("device", pa.dictionary(pa.int32(), pa.utf8()), nullable=False),
        pa.field("metric", pa.dictionary(pa.int16(), pa.utf8()), nullable=False),
        pa.field("time", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("value", pa.float64(), nullable=False),
        pa.field("flags", pa.uint16(), nullable=False),
    ]
)

DEAD_LETTERS_SCHEMA = pa.schema(
    [
        pa.field("reason", pa.utf8(), nullable=False),
        pa.field("detail", pa.utf8(), nullable=False),
        pa.field("mqtt_topic", pa.utf8(), nullable=False),
        pa.field("payload", pa.binary(), nullable=False),
        pa.field("received", pa.timestamp("us", tz="UTC"), nullable=False),
        pa.field("readings", pa.int32(), nullable=False),
    ]
)


class FrameError(ValueError):
    """The record is no frame of a version we know; the message says what was found."""


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What travels in the Kafka headers.

    `epoch` is one life of a gateway process (microseconds since 1970 at its start; grows). `seq` counts the frames of one
    (gateway, epoch, topic, partition) from 0 without gaps and `before` is how many readings the frames 0..seq-1 held: a missing frame
    shows as a gap with its exact number of readings. `received_us` is the earliest receipt in the frame, `sent_us` when it was built.
    """

    gateway: str
    epoch: int
    seq: int
    before: int
    count: int
    received_us: int
    sent_us: int
    version: int = SCHEMA_VERSION

    def to_kafka(self) -> list[tuple[str, bytes]]:
        """Header pairs, ASCII values."""
        return [
            ("v", str(self.version).encode()),
            ("gateway", self.gateway.encode()),
            ("epoch", str(self.epoch).encode()),
            ("seq", str(self.seq).encode()),
            ("before", str(self.before).encode()),
            ("count", str(self.count).encode()),
            ("received_us", str(self.received_us).encode()),
            ("sent_us", str(self.sent_us).encode()),
        ]

    @classmethod
    def from_kafka(cls, headers: Iterable[tuple[str, bytes | None]]) -> FrameHeader:
        """Read the header pairs of a record.

        Raises:
            FrameError: a header is missing, is no number, or names a version this code does not know.
        """
        found = {key: value for key, value in headers if value is not None}
        try:
            header = cls(
                gateway=found["gateway"].decode(),
                version=int(found["v"]),
                **{name: int(found[name]) for name in ("epoch", "seq", "before", "count", "received_us", "sent_us")},
            )
        except KeyError as error:
            raise FrameError(f"header {error.args[0]!r} is missing") from None
        except ValueError as error:
            raise FrameError(f"a header is not readable: {error}") from None
        if header.version != SCHEMA_VERSION:
            raise FrameError(f"frame version {header.version} is unknown; this program reads version {SCHEMA_VERSION}")
        if min(header.epoch, header.seq, header.before, header.count) < 0:
            raise FrameError("a header is negative")
        return header


@dataclass(frozen=True, slots=True)
class FrameColumns:
    """A frame's readings as columns, each of length n; codes index the two name lists.

    device_codes int32, metric_codes int16, time_us int64 (event time, UTC), values float64 (canonical unit), flags uint16.
    """

    devices: Sequence[str]
    metrics: Sequence[str]
    device_codes: npt.NDArray[np.int32]
    metric_codes: npt.NDArray[np.int16]
    time_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    flags: npt.NDArray[np.uint16]

    def __len__(self) -> int:
        return len(self.time_us)


def encode_readings(columns: FrameColumns) -> bytes:
    """Columns as one Arrow IPC stream (uncompressed: the producer's lz4 does better over a whole batch)."""
    batch = pa.record_batch(
        [
            pa.DictionaryArray.from_arrays(pa.array(columns.device_codes), pa.array(columns.devices, pa.utf8())),
            pa.DictionaryArray.from_arrays(pa.array(columns.metric_codes), pa.array(columns.metrics, pa.utf8())),
            pa.array(columns.time_us).cast(pa.timestamp("us", tz="UTC")),
            pa.array(columns.values),
            pa.array(columns.flags),
        ],
        schema=READINGS_SCHEMA,
    )
    return _to_ipc(batch)


def decode_readings(body: bytes) -> FrameColumns:
    """The columns of a frame, as views into `body` where Arrow allows it.

    Raises:
        FrameError: not an Arrow stream of `READINGS_SCHEMA`, or it holds nulls, or codes that point nowhere.
    """
    batch = _from_ipc(body, READINGS_SCHEMA)
    devices, metrics = batch.column("device"), batch.column("metric")
    columns = FrameColumns(
        devices=devices.dictionary.to_pylist(),
        metrics=metrics.dictionary.to_pylist(),
        device_codes=devices.indices.to_numpy(),
        metric_codes=metrics.indices.to_numpy(),
        time_us=batch.column("time").cast(pa.int64()).to_numpy(),
        values=batch.column("value").to_numpy(),
        flags=batch.column("flags").to_numpy(),
    )
    if None in columns.devices or None in columns.metrics:
        raise FrameError("a name in the dictionaries is null")
    return columns


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One refused payload, or the refused part of one. `readings` is what it counts for in the ledger (at least 1)."""

    reason: str
    detail: str
    mqtt_topic: str
    payload: bytes
    received_us: int
    readings: int = 1


def encode_dead_letters(letters: Sequence[DeadLetter]) -> bytes:
    """Dead letters as one Arrow IPC stream."""
    batch = pa.record_batch(
        [
            pa.array([letter.reason for letter in letters], pa.utf8()),
            pa.array([letter.detail for letter in letters], pa.utf8()),
            pa.array([letter.mqtt_topic for letter in letters], pa.utf8()),
            pa.array([letter.payload for letter in letters], pa.binary()),
            pa.array([letter.received_us for letter in letters], pa.int64()).cast(pa.timestamp("us", tz="UTC")),
            pa.array([letter.readings for letter in letters], pa.int32()),
        ],
        schema=DEAD_LETTERS_SCHEMA,
    )
    return _to_ipc(batch)


def decode_dead_letters(body: bytes) -> list[DeadLetter]:
    """The letters of a frame.

    Raises:
        FrameError: not an Arrow stream of `DEAD_LETTERS_SCHEMA`.
    """
    batch = _from_ipc(body, DEAD_LETTERS_SCHEMA)
    received = batch.column("received").cast(pa.int64()).to_pylist()
    return [
        DeadLetter(row["reason"], row["detail"], row["mqtt_topic"], row["payload"], received_us, row["readings"])
        for row, received_us in zip(batch.drop_columns(["received"]).to_pylist(), received, strict=True)
    ]


def _to_ipc(batch: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())


def _from_ipc(body: bytes, schema: pa.Schema) -> pa.RecordBatch:
    try:
        with pa.ipc.open_stream(body) as reader:
            if not reader.schema.equals(schema):
                raise FrameError(f"schema is {reader.schema.names}, expected {schema.names} with the published types")
            batches = list(reader)
        if len(batches) != 1:
            raise FrameError(f"{len(batches)} record batches in one frame, expected 1")
        batch = batches[0]
        # full: also walks dictionary codes and offsets, so that a flipped bit is an error here and never a read past a buffer
        batch.validate(full=True)
    except (pa.ArrowException, MemoryError, OSError, ValueError) as error:
        if isinstance(error, FrameError):
            raise
        raise FrameError(f"not an Arrow stream: {error}") from None
    if any(column.null_count for column in batch.columns):
        raise FrameError("a column holds nulls")
    return batch
