"""A frame as one record of a spool segment: `magic, length, crc32(length + body), body`, and finding records in damaged bytes.

One flipped bit, wherever it is in a record, is mended: in the body or the checksum by the checksum's syndrome (`spool_mend.py`), in the
magic or the length by trying each of their bits. What comes out must agree with the record's own digest, too. That check is worth more
than "the frame decodes and its counts agree": two wrong bits in a value decode as well as right ones. Damage of several bits passes for a
mended record with a probability of n / 2**32 (the syndrome of one of n bits by chance) times 2**-64 (the digest): 3 in 10**24 for 32 kB.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from ingest.contract.frame import FrameHeader
from ingest.frames import OutFrame
from ingest.spool_mend import flipped_bit

_MAGIC = b"CNSP"
_HEAD = struct.Struct("<4sII")
_LENGTH_AT, _CRC_AT = 4, 8
_MAX_RECORD_BYTES = 64 * 1024 * 1024
_SECTOR_BYTES, _ZEROS_OF_A_TEAR = 512, 16


class Record(msgspec.Struct, array_like=True):
    """A frame with its header, as it lies on disk. `digest` is of all the rest; records of before it came have none, and are not mended."""

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
    digest: bytes = b""


@dataclass(frozen=True, slots=True)
class Found:
    """A stretch of a segment: a record, or bytes that are none any more (`record` is None). `mended` is the flipped bit, from `start`."""

    start: int
    end: int
    record: Record | None
    mended: int | None = None


def encode(frame: OutFrame) -> bytes:
    """The bytes of one record."""
    header = frame.header
    record = Record(
        frame.topic, frame.partition, header.gateway, header.epoch, header.seq, header.before, header.count,
        header.received_us, header.sent_us, frame.body,
    )  # fmt: skip
    record.digest = _digest(record)
    body = msgspec.msgpack.encode(record)
    return _HEAD.pack(_MAGIC, len(body), _checksum(len(body), body)) + body


def _digest(record: Record) -> bytes:
    return hashlib.blake2b(msgspec.msgpack.encode(msgspec.structs.replace(record, digest=b"")), digest_size=8).digest()


def _checksum(length: int, body: bytes | memoryview) -> int:
    return zlib.crc32(body, zlib.crc32(length.to_bytes(4, "little")))


def frame_of(record: Record) -> OutFrame:
    """The frame a record holds, with the header it was made with."""
    header = FrameHeader(
        record.gateway, record.epoch, record.seq, record.before, record.count, record.received_us, record.sent_us
    )
    return OutFrame(record.topic, record.partition, header, record.body)


def records(data: bytes) -> Iterator[Found]:
    """Every byte of a segment in order: whole records, mended ones, and damaged stretches between and behind them."""
    at = 0
    while at < len(data):
        found = _record_at(data, at) or _mended_at(data, at) or Found(at, _next_start(data, at), None)
        yield found
        at = found.end


def is_torn(data: bytes, start: int) -> bool:
    """Tell whether the end of a segment from `start` on is what a crash in mid-write leaves, which nobody was promised.

    That is the beginning of a record, or zeros where a file system has made the file longer before it wrote what is in it.
    A last record of which several bits of the length are damaged, so that it seems to go on, looks the same.
    """
    rest = data[start:]
    written = len(rest.rstrip(b"\0"))
    last_sector = max(start, (len(data) - 1) // _SECTOR_BYTES * _SECTOR_BYTES) - start
    if written <= last_sector and (written == 0 or len(rest) - written >= _ZEROS_OF_A_TEAR):
        return True
    if len(rest) < _HEAD.size:
        return rest.startswith(_MAGIC[: len(rest)])
    end = _said_end(rest, 0)
    return end is not None and end > len(rest)


def _next_start(data: bytes, at: int) -> int:
    """Where to look on behind a damaged record: where its header says it ends, unless a good one comes before."""
    good = _next_good(data, at + 1)
    end = _said_end(data, at)
    if end is not None and end < good and _magic_off(data[end : end + 4]).bit_count() <= 1:
        return end
    return good


def _magic_off(magic: bytes) -> int:
    return int.from_bytes(magic, "little") ^ int.from_bytes(_MAGIC, "little")


def _said_end(data: bytes, at: int) -> int | None:
    if at + _HEAD.size > len(data):
        return None
    magic, length, _ = _HEAD.unpack_from(data, at)
    return at + _HEAD.size + length if magic == _MAGIC and length <= _MAX_RECORD_BYTES else None


def _next_good(data: bytes, start: int) -> int:
    at = data.find(_MAGIC, start)
    while at >= 0:
        if _record_at(data, at) is not None:
            return at
        at = data.find(_MAGIC, at + 1)
    return len(data)


def _record_at(data: bytes | bytearray, at: int) -> Found | None:
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
        return Found(at, end, msgspec.msgpack.decode(body, type=Record))
    except msgspec.DecodeError:
        return None


def _mended_at(data: bytes, at: int) -> Found | None:
    """The record with the one bit turned back that makes checksum and digest right; None where no single bit does."""
    for bit, end in _suspects(data, at):
        copy = bytearray(data[at:end])
        copy[bit // 8] ^= 1 << bit % 8
        found = _record_at(copy, 0)
        if found is not None and found.end == len(copy) and found.record is not None:
            record = found.record
            if record.digest and record.digest == _digest(record):
                return Found(at, end, record, bit)
    return None


def _suspects(data: bytes, at: int) -> Iterator[tuple[int, int]]:
    """(bit from `at`, end of the record) of each single bit that may be the flipped one."""
    if at + _HEAD.size > len(data):
        return
    magic, length, checksum = _HEAD.unpack_from(data, at)
    start = at + _HEAD.size
    off = _magic_off(magic)
    if off:
        if off.bit_count() == 1 and start + length <= len(data):
            yield off.bit_length() - 1, start + length
        return
    for bit in range(32):
        other = length ^ 1 << bit
        if other <= _MAX_RECORD_BYTES and start + other <= len(data):
            body = memoryview(data)[start : start + other]
            if _checksum(other, body) == checksum:
                yield 8 * _LENGTH_AT + bit, start + other
    if length <= _MAX_RECORD_BYTES and start + length <= len(data):
        message = 4 + length
        found = flipped_bit(_checksum(length, memoryview(data)[start : start + length]) ^ checksum, message)
        if found is not None and found >= 8 * message:
            yield 8 * _CRC_AT + found - 8 * message, start + length
        elif found is not None and found >= 32:
            yield 8 * _HEAD.size + found - 32, start + length
