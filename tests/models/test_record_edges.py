"""Where a record ends and damage begins, found by mutation (docs/mutation.md): each case tells the code from one that is a sign off."""

from __future__ import annotations

import zlib

import pytest

from ingest import spool_record
from ingest.contract.frame import FrameHeader
from ingest.frames import OutFrame
from ingest.spool_mend import MOST_BYTES, flipped_bit
from ingest.spool_record import encode, is_torn, records

HEAD = 12
MAGIC = b"CNSP"


def record(seq: int, body: bytes = b"x" * 50) -> bytes:
    return encode(OutFrame("t", 0, FrameHeader("gw", 1, seq, 0, 1, 1, 2), body))


def flipped(data: bytes, *bits: int) -> bytes:
    body = bytearray(data)
    for bit in bits:
        body[bit // 8] ^= 1 << bit % 8
    return bytes(body)


def found(data: bytes) -> list[int | None]:
    """The number of each record; None for each damaged stretch. Nothing is left out and nothing is there twice."""
    items = list(records(data))
    assert [item.start for item in items] == [0, *[item.end for item in items[:-1]]]
    assert items[-1].end == len(data)
    return [item.record.seq if item.record else None for item in items]


@pytest.mark.parametrize(
    ("start", "garbage", "zeros", "torn"),
    [
        (1000, 600, 24, False),  # 16 zeros, but what is written reaches into the last sector
        (0, 600, 424, False),  # the end of the file is the end of a sector
        (0, 600, 425, True),  # one byte more: a sector of its own, empty
        (0, 512, 512, True),  # written to the very end of the sector before
        (0, 512, 10, False),  # an empty sector of ten bytes may be a record's own zeros
        (0, 512, 15, False),
        (0, 512, 16, True),
        (1000, 0, 4, True),  # nothing is written at all
        (0, 513, 16, False),
    ],
)  # fmt: skip
def test_a_tail_is_torn_where_its_last_sector_was_never_written(
    start: int, garbage: int, zeros: int, torn: bool  # noqa: FBT001 - a case
) -> None:  # fmt: skip
    assert is_torn(b"r" * start + b"g" * garbage + bytes(zeros), start) is torn


def test_a_head_with_an_impossible_length_is_no_torn_record() -> None:
    assert not is_torn(MAGIC + b"\xff" * 8, 0)
    assert is_torn(MAGIC + b"\1\0\0\0" + b"\xff" * 4, 0)


def test_one_stray_byte_costs_no_record() -> None:
    assert found(b"x" + record(1)) == [None, 1]


def test_what_only_looks_like_a_record_hides_none_of_those_behind_it() -> None:
    damaged = flipped(record(0, b"a" * 30 + MAGIC + b"a" * 30), 8 * 40, 8 * 41)
    assert found(damaged + record(1) + record(2) + record(3)) == [None, 1, 2, 3]


def test_a_length_is_believed_only_behind_a_magic() -> None:
    garbage = b"gggg" + (40 - HEAD).to_bytes(4, "little") + b"g" * 32 + MAGIC + b"g" * 40
    assert found(garbage + record(1)) == [None, 1]


def test_a_length_is_believed_only_where_it_leads_to_something_like_a_record() -> None:
    first, second = flipped(record(0), 8 * 40, 8 * 41), record(1)
    behind = record(2)
    assert found(first + flipped(second, 0) + behind) == [None, 1, 2]
    assert found(first + flipped(second, 0, 8 * 40) + behind) == [None, None, 2]
    assert found(first + flipped(second, 0, 1) + behind) == [None, 2], "nothing says where the first one ended"


def test_each_bit_of_the_last_records_head_is_mended() -> None:
    for bit in range(8 * HEAD):
        assert [item.mended for item in records(flipped(record(0), bit))] == [bit]


def test_what_a_checksum_alone_would_take_for_mended_is_damage() -> None:
    """Many wrong bits whose checksum is off by one bit: the record's digest tells."""
    body = bytearray(record(0)[HEAD:])
    body[-20:-16] = b"evil"
    length = len(body).to_bytes(4, "little")
    checksum = zlib.crc32(body, zlib.crc32(length)) ^ 1 << 7
    assert found(MAGIC + length + checksum.to_bytes(4, "little") + body) == [None]


def test_a_record_of_the_greatest_length_is_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = record(0)
    monkeypatch.setattr(spool_record, "_MAX_RECORD_BYTES", len(whole) - HEAD)
    assert found(whole) == [0]
    for bit in (3, 8 * 4, 8 * 8, 8 * 40):
        assert found(flipped(whole, bit)) == [0]
    assert found(flipped(whole, 8 * 40, 8 * 41) * 2 + whole) == [None, None, 0]
    assert is_torn(whole[:-1], 0)
    monkeypatch.setattr(spool_record, "_MAX_RECORD_BYTES", len(whole) - HEAD - 1)
    assert found(whole) == [None]
    assert not is_torn(whole[:-1], 0)


def test_a_bit_is_looked_for_in_the_message_and_not_beyond() -> None:
    off_by = zlib.crc32(bytes([1])) ^ zlib.crc32(
        bytes([0])
    )  # what the first bit of a last byte does, however long the message
    assert flipped_bit(off_by, MOST_BYTES) == 8 * (MOST_BYTES - 1)
    assert flipped_bit(off_by, MOST_BYTES + 1) is None
    first_of_five = zlib.crc32(b"\1" + bytes(4)) ^ zlib.crc32(bytes(5))
    assert flipped_bit(first_of_five, 5) == 0
    assert flipped_bit(first_of_five, 4) is None


def test_a_record_of_an_earlier_version_is_read_and_mended() -> None:
    """These bytes lie on disks: what they mean, their checksum and their digest do not change."""
    kept = bytes.fromhex("434e53501d00000035c2a6cd9ba17400a26777010700010102c404626f6479c4085d546fba1a06709b")
    assert record(7, b"body") == kept
    assert found(flipped(kept, 8 * 20)) == [7]


def test_of_many_that_look_like_a_record_the_first_good_one_is_found() -> None:
    assert found(b"g" * 20 + MAGIC + b"g" * 20 + record(1) + record(2) + record(3)) == [None, 1, 2, 3]
