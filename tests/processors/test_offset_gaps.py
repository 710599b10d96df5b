"""Offsets that Kafka no longer has: the row that says so, the readings that were in them, and the cursor behind them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from processors.migrate import create_topics
from tests.processors.gateway import PARTITIONS
from tests.processors.running import City
from tests.processors.test_accounting import ledger, one_device

_GAPS = "SELECT partition, from_offset, to_offset, reason, readings FROM city_view.offset_gaps"
_CURSOR = "SELECT next_offset FROM city.offsets WHERE topic = $1 AND partition = $2"
_BUDGET_S = 30.0


async def cut_log(city: City, partition: int, before: int) -> None:
    """As retention does it, at once."""
    admin = AIOKafkaAdminClient(bootstrap_servers=city.bootstrap)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(city.topics.readings, partition): RecordsToDelete(before)})
    finally:
        await admin.close()


async def until(condition: Callable[[], Awaitable[object]]) -> None:
    """The caller sets the deadline."""
    while True:
        if await condition():
            return
        await asyncio.sleep(0.1)


async def gone(admin: AIOKafkaAdminClient, topic: str) -> bool:
    return topic not in await admin.list_topics()


async def make_topic_anew(city: City) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=city.bootstrap)
    await admin.start()
    try:
        await admin.delete_topics([city.topics.readings])
        async with asyncio.timeout(_BUDGET_S):
            await until(lambda: gone(admin, city.topics.readings))
    finally:
        await admin.close()
    await create_topics(city.bootstrap, city.prefix, PARTITIONS)


async def gap_of(city: City) -> tuple[object, ...]:
    """The one gap there is, as soon as there is one."""
    async with asyncio.timeout(_BUDGET_S):
        await until(lambda: city.fetch(_GAPS))
    (gap,) = await city.fetch(_GAPS)
    return tuple(gap)


async def test_offsets_that_kafka_has_dropped_leave_a_gap_with_its_readings(city: City) -> None:
    records = city.gateway().frames(one_device(500), size=100)
    partition = records[0].partition
    async with city.processor():
        await city.send(records[:1])
        await city.caught_up()
    await city.send(records[1:4])
    await cut_log(city, partition, 3)
    async with city.processor() as service:
        await city.send(records[4:])
        await city.caught_up()
        assert service.registry.get_sample_value("citynerve_processor_lost_offsets_total") == 2
        gaps = {"reason": "retention"}
        assert service.registry.get_sample_value("citynerve_processor_offset_gaps_total", gaps) == 1
        assert service.registry.get_sample_value("citynerve_processor_restarts_total", {"reason": "internal"}) == 0
    assert await gap_of(city) == (partition, 1, 2, "retention", 200)
    found = await ledger(city)
    assert (found["stored"], found["unaccounted"]) == (300, 200)


async def test_a_gap_with_nothing_behind_it_is_on_record_at_once(city: City) -> None:
    records = city.gateway().frames(one_device(300), size=100)
    partition = records[0].partition
    async with city.processor():
        await city.send(records[:1])
        await city.caught_up()
    await city.send(records[1:])
    await cut_log(city, partition, 3)
    async with city.processor():
        assert await gap_of(city) == (partition, 1, 2, "retention", None)
        assert await city.value(_CURSOR, city.topics.readings, partition) == 3


async def test_offsets_cut_under_a_running_processor_are_no_gap_when_it_had_them(city: City) -> None:
    records = city.gateway().frames(one_device(300), size=100)
    async with city.processor():
        await city.send(records[:2])
        await city.caught_up()
        await cut_log(city, records[0].partition, 2)
        await city.send(records[2:])
        await city.caught_up()
    assert await city.fetch(_GAPS) == []
    assert (await ledger(city))["stored"] == 300


async def test_a_topic_made_anew_is_read_from_its_beginning(city: City) -> None:
    records = city.gateway().frames(one_device(600), size=100)
    partition = records[0].partition
    async with city.processor():
        await city.send(records[:4])
        await city.caught_up()
    await make_topic_anew(city)
    await city.send(records[5:])
    async with city.processor():
        assert (await gap_of(city))[:4] == (partition, 4, None, "recreated")
        async with asyncio.timeout(_BUDGET_S):
            await until(lambda: city.value("SELECT count(*) = 500 FROM city.readings"))
        assert await city.value(_CURSOR, city.topics.readings, partition) == 1
    assert await gap_of(city) == (partition, 4, None, "recreated", 100)
    assert (await ledger(city))["unaccounted"] == 100
