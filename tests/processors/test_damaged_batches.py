"""A batch damaged on Kafka's disk: what lies around it is handed over, in batches that never hide the gap from the cursor."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException

from ingest.contract.broker import KafkaSettings
from ingest.contract.damaged_log import Stretch
from processors import kafka_source
from processors.columns import Partition
from processors.cursors import GapReason
from processors.kafka_source import KafkaSource
from processors.settings import ProcessorSettings

A, B = TopicPartition("city.readings.v1", 0), TopicPartition("city.readings.v1", 1)


@dataclass
class DamagedLog:
    """A consumer over partitions that end somewhere, with damaged offsets; it behaves on damage as aiokafka 0.14 does."""

    ends: dict[TopicPartition, int]
    damaged: dict[TopicPartition, range] = field(default_factory=dict)
    positions: dict[TopicPartition, int] = field(default_factory=dict)
    paused: set[TopicPartition] = field(default_factory=set)
    unasked: tuple[int, ...] = ()

    def pause(self, partition: TopicPartition) -> None:
        self.paused.add(partition)

    def resume(self, *partitions: TopicPartition) -> None:
        self.paused -= set(partitions)

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self.positions[partition] = offset

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        """One record of each partition; the error throws away what was polled of the partitions before."""
        found: dict[TopicPartition, list[Any]] = {}
        for partition in sorted(self.positions.keys() - self.paused, reverse=True):
            at = self.positions[partition]
            if at in self.damaged.get(partition, ()):
                raise CorruptRecordException(f"Invalid CRC - {partition}")
            if at < self.ends[partition]:
                found[partition] = [record(at)]
                self.positions[partition] = at + 1
        return found

    async def read_to_damage(self, consumer: DamagedLog, partition: TopicPartition, offset: int) -> Stretch:
        """Two records at most, as a fetch has an end."""
        assert consumer is self
        damaged = self.damaged.get(partition, range(0))
        until = min(self.ends[partition], offset + 2)
        good = [record(at) for at in range(offset, until)]
        for index, item in enumerate(good):
            if item.offset in damaged:
                return Stretch(good[:index], (item.offset, damaged[-1]), self.unasked)
        return Stretch(good)


def record(offset: int) -> Any:
    return SimpleNamespace(offset=offset, headers=[("count", b"1")])


@pytest.fixture
def damage() -> list[str]:
    """What was told of damaged batches."""
    return []


@pytest.fixture
def log() -> DamagedLog:
    return DamagedLog({A: 10, B: 10})


@pytest.fixture
def source(log: DamagedLog, damage: list[str]) -> Iterator[KafkaSource]:
    async def nothing(*_: Any) -> None: ...

    with (
        mock.patch.object(kafka_source, "AIOKafkaConsumer", return_value=log),
        mock.patch.object(kafka_source, "read_to_damage", log.read_to_damage),
    ):
        made = KafkaSource(
            KafkaSettings(), ProcessorSettings(), take_over=nothing, release=nothing, on_damage=damage.append
        )
        made.rewind({(A.topic, A.partition): 0, (B.topic, B.partition): 0})
        yield made


async def read(
    source: KafkaSource, batches: int
) -> tuple[dict[Partition, list[int]], list[dict[Partition, tuple[int, int]]]]:
    """(every offset by partition, first and last of each batch by partition)."""
    offsets: dict[Partition, list[int]] = {}
    spans: list[dict[Partition, tuple[int, int]]] = []
    for _ in range(batches):
        _, found = await source.next_records()
        spans.append({partition: (group[0].offset, group[-1].offset) for partition, group in found.items()})
        for partition, group in found.items():
            offsets.setdefault(partition, []).extend(item.offset for item in group)
            assert [item.offset for item in group] == list(range(group[0].offset, group[-1].offset + 1))
    return offsets, spans


async def test_without_damage_everything_comes_in_order(source: KafkaSource, damage: list[str]) -> None:
    offsets, _ = await read(source, 1)
    assert offsets == {(A.topic, 0): list(range(10)), (B.topic, 1): list(range(10))}
    assert not damage
    assert not source.lost


@pytest.mark.parametrize("partition", [A, B])
@pytest.mark.parametrize("damaged", [range(1), range(1, 3), range(4, 7), range(9, 10)])
async def test_only_the_damaged_batch_is_left_out(
    source: KafkaSource, log: DamagedLog, damage: list[str], partition: TopicPartition, damaged: range
) -> None:
    log.damaged[partition] = damaged
    offsets, spans = await read(source, 4)
    other = B if partition == A else A
    assert offsets[other.topic, other.partition] == list(range(10))
    assert offsets[partition.topic, partition.partition] == [at for at in range(10) if at not in damaged]
    assert damage == ["left_out"]
    assert source.lost == {(partition.topic, partition.partition): (damaged[-1] + 1, GapReason.DAMAGED)}
    ours = [
        span[partition.topic, partition.partition] for span in spans if (partition.topic, partition.partition) in span
    ]
    assert not any(first < damaged[0] <= last for first, last in ours), "a batch hides the gap"


async def test_damage_in_both_partitions_and_twice_in_one(
    source: KafkaSource, log: DamagedLog, damage: list[str]
) -> None:
    log.damaged = {A: range(2, 4), B: range(3, 5)}
    offsets, _ = await read(source, 4)
    assert offsets == {(A.topic, 0): [0, 1, *range(4, 10)], (B.topic, 1): [0, 1, 2, *range(5, 10)]}
    log.ends[A], log.damaged[A] = 20, range(12, 13)
    offsets, _ = await read(source, 3)
    assert offsets == {(A.topic, 0): [10, 11, *range(13, 20)]}
    assert len(damage) == 3


async def test_a_rewind_before_the_jump_reads_from_the_cursor_again(source: KafkaSource, log: DamagedLog) -> None:
    log.damaged[A] = range(2, 4)
    await source.next_records()
    source.rewind({(A.topic, 0): 1})
    assert log.positions[A] == 1
    _, found = await source.next_records()
    assert [item.offset for item in found[A.topic, 0]] == [1]


async def test_while_a_broker_may_have_it_whole_only_that_partition_waits(
    source: KafkaSource, log: DamagedLog, damage: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_source, "_ASK_AGAIN_S", 0.05)
    log.damaged[A], log.unasked = range(2, 4), (2, 3)
    offsets, _ = await read(source, 2)
    assert offsets == {(A.topic, 0): [0, 1], (B.topic, 1): list(range(10))}
    assert not damage
    log.damaged.clear()  # another broker is back and has it
    await asyncio.sleep(0.1)
    offsets, _ = await read(source, 2)
    assert offsets == {(A.topic, 0): list(range(2, 10))}
    assert not source.lost


async def test_a_new_claim_reads_a_waiting_partition_at_once(source: KafkaSource, log: DamagedLog) -> None:
    log.damaged[A], log.unasked = range(2, 4), (2,)
    await read(source, 1)
    assert log.paused == {A}
    source.rewind({(A.topic, 0): 2})
    assert not log.paused
