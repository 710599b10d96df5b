"""A frame as one record of a spool segment: `magic, length, crc32(length + body), body`, and finding records in damaged bytes."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import msgspec

from ingest.contract.frame import FrameHeader
from ingest.frames import OutFrame

_MAGIC = b"CNSP"
_HEAD = struct.Struct("<4sII")
_MAX_RECORD_BYTES = 64 * 1024 * 1024


class Record(msgspec.Struct, array_like=True):
    """A frame with its header, as it lies on disk."""

    topic: str
    partition: int
    gateway: str
    epoch: int
    seq: int
    before: int
    count: int
    received_us: int
    sent_us: int
    body: bytes


def encode(frame: OutFrame) -> bytes:
    """The bytes of one record."""
    header = frame.header
    record = Record(
        frame.topic, frame.partition, header.gateway, header.epoch, header.seq, header.before, header.count,
        header.received_us, header.sent_us, frame.body,
    )  # fmt: skip
    body = msgspec.msgpack.encode(record)
    return _HEAD.pack(_MAGIC, len(body), _checksum(len(body), body)) + body


def _checksum(length: int, body: bytes | memoryview) -> int:
    return zlib.crc32(body, zlib.crc32(length.to_bytes(4, "little")))


def frame_of(record: Record) -> OutFrame:
    """The frame a record holds, with the header it was made with."""
    header = FrameHeader(
        record.gateway, record.epoch, record.seq, record.before, record.count, record.received_us, record.sent_us
    )
    return OutFrame(record.topic, record.partition, header, record.body)


def records(data: bytes) -> Iterator[tuple[int, Record] | int]:
    """(end, record) of each whole record; the offset of each damaged stretch that has a good record behind it."""
    at = 0
    while at + _HEAD.size <= len(data):
        good = _record_at(data, at)
        if good is None:
            found = _next_good(data, at + 1)
            if found is None:
                return
            yield at
            at = found
            continue
        yield good
        at = good[0]


def _next_good(data: bytes, start: int) -> int | None:
    at = data.find(_MAGIC, start)
    while at >= 0:
        if _record_at(data, at) is not None:
            return at
        at = data.find(_MAGIC, at + 1)
    return None


def _record_at(data: bytes, at: int) -> tuple[int, Record] | None:
    if at + _HEAD.size > len(data):
        return None
    magic, length, checksum = _HEAD.unpack_from(data, at)
    start, end = at + _HEAD.size, at + _HEAD.size + length
    if magic != _MAGIC or length > _MAX_RECORD_BYTES or end > len(data):
        return None
    body = memoryview(data)[start:end]
    if _checksum(length, body) != checksum:
        return None
    try:
        return end, msgspec.msgpack.decode(body, type=Record)
    except msgspec.DecodeError:
        return None
