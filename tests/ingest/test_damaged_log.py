"""Fetched bytes with a damaged batch: everything before it is read, and the gap is exactly as wide as the batch."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import KafkaConnectionError, KafkaError
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from ingest.contract.damaged_log import Stretch, read_to_damage, stretch

WHERE = TopicPartition("city.readings.v1", 3)
CODECS = {"none": 0, "lz4": 3}


def batch(first: int, count: int, codec: int = 0) -> bytes:
    """Records `first`, `first` + 1, ... as a broker keeps them: the base offset is outside of what is checked."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, -1, -1, -1, 1_000_000)
    for offset in range(count):
        builder.append(offset, timestamp=1, key=None, value=b"record %d" % (first + offset) * 9, headers=[])
    built = bytearray(builder.build())
    built[:8] = first.to_bytes(8, "big")
    return bytes(built)


def flipped(body: bytes, *bits: int) -> bytes:
    damaged = bytearray(body)
    for bit in bits:
        damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def read(data: bytes, offset: int = 10, highwater: int = 100) -> tuple[list[int], tuple[int, int] | None]:
    """Offsets read, and the damage; every record must be what it was."""
    found = stretch(data, WHERE, offset, highwater)
    assert all(record.value == b"record %d" % record.offset * 9 for record in found.records)
    return [record.offset for record in found.records], found.damaged


@pytest.mark.parametrize("codec", CODECS)
def test_a_whole_log_is_read_to_its_end(codec: str) -> None:
    data = batch(10, 3, CODECS[codec]) + batch(13, 2, CODECS[codec])
    assert read(data) == ([10, 11, 12, 13, 14], None)
    assert read(b"") == ([], None)


@pytest.mark.parametrize("codec", CODECS)
def test_what_lies_before_the_damage_is_read_and_the_damage_is_one_batch(codec: str) -> None:
    good, middle, behind = batch(10, 3, CODECS[codec]), batch(13, 4, CODECS[codec]), batch(17, 2, CODECS[codec])
    for bit in range(8 * 21, 8 * len(middle), 37):
        assert read(good + flipped(middle, bit) + behind) == ([10, 11, 12], (13, 16))


def test_damage_at_the_position_is_named_first_and_what_lies_behind_is_read_next() -> None:
    data = flipped(batch(10, 3), 8 * 80) + batch(13, 2)
    assert read(data) == ([], (10, 12))
    assert read(data[len(batch(10, 3)) :], offset=13) == ([13, 14], None)


def test_a_position_within_the_batch_loses_the_rest_of_it_only() -> None:
    assert read(flipped(batch(10, 5), 8 * 80) + batch(15, 1), offset=12) == ([], (12, 14))


def test_a_damaged_batch_before_the_position_is_no_matter() -> None:
    assert read(flipped(batch(5, 5), 8 * 80) + batch(10, 2)) == ([10, 11], None)


@pytest.mark.parametrize("bit", [8 * 23 + 4, 8 * 25, 8 * 26 + 7])
def test_a_flipped_number_of_records_is_not_believed(bit: int) -> None:
    """`lastOffsetDelta` is a part of what the checksum says is wrong: too large a gap would skip good records."""
    damaged = flipped(batch(10, 3), bit)
    assert read(damaged + batch(13, 1)) == ([], (10, 12))
    assert read(damaged, highwater=13)[1] in {(10, 12), (10, 10)}


def test_a_batch_cut_off_by_the_fetch_is_left_for_the_next_one() -> None:
    cut = batch(13, 4)
    assert read(batch(10, 3) + cut[:-5]) == ([10, 11, 12], None)
    assert read(batch(10, 3) + cut[:30]) == ([10, 11, 12], None)


WHOLE = batch(10, 3) + batch(13, 4) + batch(17, 2)
DAMAGED = batch(10, 3) + flipped(batch(13, 4), 8 * 80) + batch(17, 2)
BEHIND = b""
"""A follower that does not know yet that the batches are committed."""


class Brokers:
    """Brokers 1 (the leader), 2, 3 with their copies; None is a broker that does not answer. `asked` in order."""

    def __init__(self, *copies: bytes | None) -> None:
        self.copies = dict(enumerate(copies, start=1))
        self.asked: list[int] = []
        known = SimpleNamespace(replicas=list(self.copies))
        self.cluster = SimpleNamespace(
            _partitions={WHERE.topic: {WHERE.partition: known}}, leader_for_partition=lambda _: 1
        )

    async def send(self, node: int, request: Any) -> Any:
        self.asked.append(node)
        copy = self.copies[node]
        if copy is None:
            raise KafkaConnectionError
        ((_, ((_, offset, _),)),) = request.topics
        start = next((at for at, end in ((0, 13), (len(batch(10, 3)), 17)) if offset < end), len(copy))
        return SimpleNamespace(topics=[(WHERE.topic, [(WHERE.partition, 0, 19, 19, 0, None, copy[start:])])])


async def asked(*copies: bytes | None) -> tuple[list[int], Stretch, list[int]]:
    """(offsets read, what was found, who was asked)."""
    brokers = Brokers(*copies)
    found = await read_to_damage(cast("Any", SimpleNamespace(_client=brokers)), WHERE, 10)
    return [record.offset for record in found.records], found, brokers.asked


async def test_a_whole_log_asks_nobody_but_the_leader() -> None:
    offsets, found, who = await asked(WHOLE, WHOLE, WHOLE)
    assert (offsets, found.damaged, who) == (list(range(10, 19)), None, [1])
    assert not found.replaced


@pytest.mark.parametrize(
    "copies", [(DAMAGED, WHOLE, WHOLE), (DAMAGED, None, WHOLE), (DAMAGED, DAMAGED, WHOLE), (DAMAGED, BEHIND, WHOLE)]
)
async def test_a_damaged_batch_is_read_from_a_replica_that_has_it_whole(copies: tuple[bytes | None, ...]) -> None:
    offsets, found, _ = await asked(*copies)
    assert offsets == list(range(10, 17))
    assert (found.damaged, found.replaced) == (None, True)


@pytest.mark.parametrize(
    ("copies", "unasked"),
    [
        ((DAMAGED,), ()),
        ((DAMAGED, DAMAGED, DAMAGED), ()),
        ((DAMAGED, None, DAMAGED), (2,)),
        ((DAMAGED, BEHIND, None), (2, 3)),
    ],
)
async def test_it_is_lost_only_where_every_replica_was_heard(
    copies: tuple[bytes | None, ...], unasked: tuple[int, ...]
) -> None:
    offsets, found, _ = await asked(*copies)
    assert offsets == [10, 11, 12]
    assert (found.damaged, found.unasked) == ((13, 16), unasked)


async def test_a_leader_that_does_not_answer_is_trouble_with_kafka() -> None:
    with pytest.raises(KafkaError):
        await asked(None, WHOLE)
