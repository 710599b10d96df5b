"""How long a reading waits for others: not at all in a quiet city, until the running commit is done in a busy one."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest
from aiokafka import TopicPartition

from ingest.contract.broker import KafkaSettings
from processors.contract.tables import CONDITIONS_CHANNEL
from processors.kafka_source import KafkaSource
from processors.settings import ProcessorSettings
from tests.processors.running import City
from tests.processors.test_conditions_stored import minutes, put_rules, rule

PARTITION = TopicPartition("t.readings.v1", 0)


class Polls:
    """Stands in for the consumer: for an x in `script` a poll gives one record at once, for anything else nothing after its time."""

    def __init__(self, script: str = "") -> None:
        self._script = iter(script)
        self.offset = 0
        self.waited_ms: list[int] = []

    async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
        del max_records
        self.waited_ms.append(timeout_ms)
        if next(self._script, "-") != "x":
            await asyncio.sleep(timeout_ms / 1000)
            return {}
        self.offset += 1
        return {PARTITION: [SimpleNamespace(offset=self.offset - 1, headers=[("count", b"10")])]}


Make = Callable[..., KafkaSource]


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Make:
    """A source whose consumer is the given one."""

    async def nothing(*_: object) -> None:
        return None

    def make(polls: Polls, **settings: Any) -> KafkaSource:
        monkeypatch.setattr("processors.kafka_source.AIOKafkaConsumer", lambda **_: polls)
        return KafkaSource(
            KafkaSettings(topic_prefix="t"), ProcessorSettings(**settings), take_over=nothing, release=nothing
        )

    return make


async def test_a_batch_that_nothing_follows_ends_long_before_its_longest_wait(source: Make) -> None:
    began = time.monotonic()
    _, batch = await source(Polls("xx"), batch_max_wait_ms=10_000).next_records()
    assert [len(records) for records in batch.values()] == [2]
    assert time.monotonic() - began < 2


async def test_while_the_one_before_commits_a_batch_grows_beyond_its_longest_wait(source: Make) -> None:
    busy: Iterator[float] = iter([1.0] * 12)
    polls = Polls("x-----x-----x")
    _, batch = await source(polls, batch_max_wait_ms=1).next_records(lambda: next(busy, 0.0))
    assert len(polls.waited_ms) > 7
    assert [len(records) for records in batch.values()] == [2]


async def test_a_batch_grows_no_longer_than_it_is_told_to(source: Make) -> None:
    polls, rest_s = Polls("x--"), iter([0.004, 0.0])
    await source(polls, batch_max_wait_ms=10_000).next_records(lambda: next(rest_s, 0.0))
    assert polls.waited_ms[1:] == [4]


async def test_a_batch_that_could_be_committed_ends_after_its_longest_wait_although_more_keeps_coming(
    source: Make,
) -> None:
    began = time.monotonic()

    class Endless(Polls):
        async def getmany(self, *, timeout_ms: int, max_records: int) -> dict[TopicPartition, list[Any]]:
            await asyncio.sleep(timeout_ms / 2000)
            self._script = iter("x")
            return await super().getmany(timeout_ms=timeout_ms, max_records=max_records)

    _, batch = await source(Endless(), batch_max_wait_ms=100, batch_max_readings=1_000_000).next_records()
    assert len(batch["t.readings.v1", 0]) > 1
    assert time.monotonic() - began < 2


async def test_a_batch_that_is_full_ends_although_the_one_before_still_commits(source: Make) -> None:
    _, batch = await source(Polls("xxxxxxxxx"), batch_max_readings=30).next_records(lambda: 1.0)
    assert [len(records) for records in batch.values()] == [3]


@pytest.mark.servers
async def test_a_lone_reading_is_committed_at_once_and_wakes_who_waits_for_conditions(city: City) -> None:
    await put_rules(city, rule("high", metric="pm2_5", source="reading", column="value", raise_at=50.0))
    gateway, woken = city.gateway(), asyncio.Event()
    listener = await asyncpg.connect(city.dsn, timeout=10)
    await listener.add_listener(CONDITIONS_CHANNEL, lambda *_: woken.set())
    try:
        async with city.processor(batch_max_wait_ms=10_000):
            await city.send(gateway.frames(minutes([10])))
            await city.caught_up()
            assert not woken.is_set()
            await city.send(gateway.frames(minutes([60], first=1)))
            async with asyncio.timeout(3):
                await woken.wait()
            assert await city.value("SELECT count(*) FROM city.condition_changes WHERE active") == 1
    finally:
        await listener.close(timeout=10)
