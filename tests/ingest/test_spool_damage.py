"""What a bad disk does to spooled frames: one flipped bit is mended, more costs that record alone, and nothing damaged is thrown away."""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.contract.frame import FrameHeader
from ingest.frames import OutFrame
from ingest.spool import Spool
from ingest.spool_mend import MOST_BYTES, flipped_bit
from ingest.spool_record import Record, encode, is_torn, records
from ingest.spool_scan import inspect

COUNT = 4
BIG = 1_000_000


def frame(seq: int, size: int = 300) -> OutFrame:
    return OutFrame(
        "city.readings.v1", seq % 4, FrameHeader("gw", 1, seq, seq * 10, 10, 1, 2), bytes([seq + 65]) * size
    )


LENGTH = len(encode(frame(0)))
"""All records of these tests are of one length."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A spool that a killed process left: one segment of `COUNT` records."""
    return filled(tmp_path / "spool")


def filled(folder: Path) -> Path:
    spool = Spool(folder, BIG, BIG)
    spool.open()
    spool.append(frame(seq) for seq in range(COUNT))
    spool.close()
    return folder


def flip(folder: Path, *bits: int) -> None:
    """Turn bits of the only segment over."""
    (path,) = folder.glob("*.spool")
    body = bytearray(path.read_bytes())
    for bit in bits:
        body[bit // 8] ^= 1 << bit % 8
    path.write_bytes(body)


def drained(spool: Spool) -> list[int]:
    """Everything that comes out, as the gateway empties it; frames must be as they were."""
    seqs: list[int] = []
    while batch := spool.read(3):
        for _, found in batch:
            assert found == frame(found.header.seq)
            seqs.append(found.header.seq)
        spool.release(batch[-1][0], len(batch))
    if not spool.empty:
        spool.forget_rest()
    assert spool.empty
    assert spool.size == 0
    return seqs


@pytest.fixture
def spool(folder: Path) -> Iterator[Spool]:
    spool = Spool(folder, BIG, BIG)
    yield spool
    spool.close()


@settings(max_examples=300, deadline=None)
@given(bit=st.integers(0, 8 * COUNT * LENGTH - 1))
def test_one_flipped_bit_anywhere_is_mended(tmp_path_factory: pytest.TempPathFactory, bit: int) -> None:
    folder = filled(tmp_path_factory.mktemp("spool"))
    flip(folder, bit)
    spool = Spool(folder, BIG, BIG)
    state = spool.open()
    assert (state.frames, state.mended, state.damaged, state.torn_bytes) == (COUNT, 1, 0, 0)
    assert drained(spool) == list(range(COUNT))
    assert (spool.mended, spool.damaged) == (1, 0)
    assert not list(folder.glob("*.damaged"))
    spool.close()


@pytest.mark.parametrize("field", ["magic", "length", "checksum"])
def test_each_bit_of_a_records_head_is_mended(field: str) -> None:
    whole = encode(frame(0)) + encode(frame(1))
    first = {"magic": 0, "length": 4, "checksum": 8}[field] * 8
    for bit in range(first, first + 32):
        body = bytearray(whole)
        body[bit // 8] ^= 1 << bit % 8
        found = list(records(bytes(body)))
        assert [item.mended for item in found] == [bit, None]
        assert [item.record.seq for item in found if item.record] == [0, 1]


def test_a_flipped_bit_in_every_record_costs_none(folder: Path, spool: Spool) -> None:
    flip(folder, *(8 * (seq * LENGTH) + place for seq, place in enumerate((3, 8 * 5, 8 * 9, 8 * 200))))
    assert spool.open().mended == COUNT
    assert drained(spool) == list(range(COUNT))


@settings(max_examples=200, deadline=None)
@given(victim=st.integers(0, COUNT - 1), bits=st.sets(st.integers(8 * 8, 8 * LENGTH - 1), min_size=2, max_size=9))
def test_more_damage_costs_that_record_alone_and_its_bytes_are_kept(
    tmp_path_factory: pytest.TempPathFactory, victim: int, bits: set[int]
) -> None:
    folder = filled(tmp_path_factory.mktemp("spool"))
    flip(folder, *(8 * victim * LENGTH + bit for bit in bits))
    damaged = next(folder.glob("*.spool")).read_bytes()[victim * LENGTH : (victim + 1) * LENGTH]
    spool = Spool(folder, BIG, BIG)
    state = spool.open()
    assert (state.frames, state.mended, state.damaged, state.torn_bytes) == (COUNT - 1, 0, 1, 0)
    assert state.readings[1] == 10 * (COUNT - 1)
    assert drained(spool) == [seq for seq in range(COUNT) if seq != victim]
    assert (spool.mended, spool.damaged) == (0, 1)
    (kept,) = folder.glob("*.damaged")
    assert kept.name.endswith(f"-{victim * LENGTH}.damaged")
    assert kept.read_bytes() == damaged
    assert inspect(folder).set_aside == 1
    spool.close()


@pytest.mark.parametrize("field", ["magic", "length"])
def test_a_head_beyond_mending_costs_one_record(folder: Path, spool: Spool, field: str) -> None:
    flip(folder, *(8 * (LENGTH + {"magic": 0, "length": 4}[field]) + bit for bit in (1, 4, 25)))
    state = spool.open()
    assert (state.damaged, state.frames) == (1, COUNT - 1)
    assert drained(spool) == [0, 2, 3]


def test_a_damaged_record_does_not_hide_that_the_next_can_be_mended(folder: Path, spool: Spool) -> None:
    flip(folder, 8 * 100, 8 * 101, 8 * LENGTH + 2)
    state = spool.open()
    assert (state.damaged, state.mended) == (1, 1)
    assert drained(spool) == [1, 2, 3]


def test_damage_that_comes_while_the_gateway_runs_is_found_named_and_counted_once(
    folder: Path, spool: Spool, caplog: pytest.LogCaptureFixture
) -> None:
    spool.open()
    flip(folder, 8 * 100, 8 * 2 * LENGTH + 800, 8 * 2 * LENGTH + 801)
    with caplog.at_level(logging.WARNING):
        assert len(spool.read(10)) == COUNT - 1
        assert drained(spool) == [0, 1, 3]
    assert (spool.mended, spool.damaged) == (1, 1)
    said = [(record.message.split(";")[0], record.fields["offset"]) for record in caplog.records]  # type: ignore[attr-defined]
    assert said == [
        ("a flipped bit in the spool is mended", 0),
        ("a spool record is damaged beyond mending", 2 * LENGTH),
    ]


def test_frames_that_vanish_are_counted_when_the_rest_is_forgotten(folder: Path, spool: Spool) -> None:
    spool.open()
    os.truncate(next(folder.glob("*.spool")), LENGTH)
    assert drained(spool) == [0]
    assert spool.damaged == COUNT - 1


def test_what_is_set_aside_is_never_overwritten(folder: Path) -> None:
    for number in range(3):
        if number:
            filled(folder)
        flip(folder, 800, 801)
        spool = Spool(folder, BIG, BIG)
        spool.open()
        assert drained(spool) == [1, 2, 3]
        spool.close()
        assert len(list(folder.glob("*.damaged"))) == number + 1


def test_where_there_is_no_room_to_set_a_record_aside_its_whole_segment_stays(
    folder: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    flip(folder, 800, 801)
    (path,) = folder.glob("*.spool")
    body = path.read_bytes()
    spool.open()

    def full(_file: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        assert drained(spool) == [1, 2, 3]
    assert path.with_suffix(".damaged").read_bytes() == body


def test_a_record_of_before_digests_is_read_and_not_mended() -> None:
    of = frame(0)
    old = Record(of.topic, 0, "gw", 1, 0, 0, 10, 1, 2, of.body)
    fields = list(msgspec.structs.astuple(old))[:-1]
    body = msgspec.msgpack.encode(fields)
    length = len(body).to_bytes(4, "little")
    data = b"CNSP" + length + zlib.crc32(length + body).to_bytes(4, "little") + body
    (found,) = records(data)
    assert found.record == old
    (damaged,) = records(data[:-1] + bytes([data[-1] ^ 1]))
    assert damaged.record is None


@pytest.mark.parametrize("cut", [1, 3, 4, 11, 12, 13, LENGTH - 1])
def test_half_a_record_at_the_end_is_torn_and_no_damage(folder: Path, spool: Spool, cut: int) -> None:
    (path,) = folder.glob("*.spool")
    with path.open("ab") as file:
        file.write(encode(frame(9))[:cut])
    state = spool.open()
    assert (state.frames, state.torn_bytes, state.damaged) == (COUNT, cut, 0)
    assert path.stat().st_size == COUNT * LENGTH
    assert drained(spool) == list(range(COUNT))


@pytest.mark.parametrize("written", [0, 2, 12, 100])
@pytest.mark.parametrize("size", [600, 4096, 10_000])
def test_a_tail_of_zeros_is_torn_and_no_damage(folder: Path, spool: Spool, written: int, size: int) -> None:
    (path,) = folder.glob("*.spool")
    with path.open("ab") as file:
        file.write(encode(frame(9, size - 100))[:written].ljust(size, b"\0"))
    state = spool.open()
    assert (state.frames, state.torn_bytes, state.damaged) == (COUNT, size, 0)
    assert drained(spool) == list(range(COUNT))


def test_garbage_at_the_end_is_kept_for_a_person_and_hides_nothing(folder: Path, spool: Spool) -> None:
    garbage = b"\x93garbage, not a record" * 9
    with next(folder.glob("*.spool")).open("ab") as file:
        file.write(garbage)
    state = spool.open()
    assert (state.frames, state.torn_bytes, state.damaged) == (COUNT, 0, 1)
    spool.append([frame(COUNT)])
    assert drained(spool) == list(range(COUNT + 1))
    assert next(folder.glob("*.damaged")).read_bytes() == garbage


def test_a_record_that_ends_in_zeros_is_not_taken_for_torn() -> None:
    whole = encode(frame(0)) + bytes(4)
    assert not is_torn(b"x" * 1000 + whole, 1000)


@settings(max_examples=200, deadline=None)
@given(message=st.binary(min_size=1, max_size=400), data=st.data())
def test_the_syndrome_names_the_bit(message: bytes, data: st.DataObject) -> None:
    bit = data.draw(st.integers(0, 8 * len(message) + 31))
    body = bytearray(message + zlib.crc32(message).to_bytes(4, "little"))
    body[bit // 8] ^= 1 << bit % 8
    syndrome = zlib.crc32(body[:-4]) ^ int.from_bytes(body[-4:], "little")
    assert flipped_bit(syndrome, len(message)) == bit


def test_no_bit_explains_a_right_checksum_and_the_search_is_bounded() -> None:
    assert flipped_bit(0, 100) is None
    assert flipped_bit(zlib.crc32(b"\1" * 10) ^ zlib.crc32(b"\2" * 10), 10) is None
    assert flipped_bit(3, MOST_BYTES + 1) is None
