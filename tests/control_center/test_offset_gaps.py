"""Offsets that Kafka no longer had, wherever the ledger is shown; and the measure of how near that is."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace

from aiokafka import TopicPartition
from prometheus_client import CollectorRegistry

from control_center.app import ControlConfig
from control_center.metrics import ControlMetrics
from control_center.queries import Queries
from control_center.retention_watch import RetentionWatch, overdue
from tests.control_center.conftest import running, until
from tests.control_center.test_ledger_commands import ask, city
from tests.processors.gateway import PARTITIONS
from tests.processors.running import City
from tests.processors.test_accounting import one_device
from tests.processors.test_offset_gaps import cut_log

__all__ = ["city"]  # the fixture

_WEEK_MS = 7 * 24 * 3600 * 1000
HALF = {TopicPartition("r", 0): 100, TopicPartition("r", 1): 50, TopicPartition("c", 0): 7}


def test_only_unread_records_older_than_half_of_the_retention_are_overdue() -> None:
    cursors = {TopicPartition("r", 0): 90, TopicPartition("r", 1): 80, TopicPartition("c", 0): 7}
    assert overdue(cursors, HALF) == {"r": 10, "c": 0}


async def test_a_gap_is_named_by_command_api_metric_and_alarm(city: City, config: ControlConfig) -> None:
    records = city.gateway().frames(one_device(500), size=100)
    partition = records[0].partition
    async with city.processor():
        await city.send(records[:1])
        await city.caught_up()
    await city.send(records[1:4])
    await cut_log(city, partition, 3)
    async with city.processor():
        await city.send(records[4:])
        await city.caught_up()
    told = await ask(city)
    assert told.exit_code == 1
    where = f"{city.topics.readings}/{partition}"
    assert told.output.splitlines()[-1].endswith(f"  {where}  offsets 1 to 2  retention, 200 readings")
    (gap,) = json.loads((await ask(city, "--json")).output)["gaps"]
    assert (gap["topic"], gap["from_offset"], gap["to_offset"], gap["readings"]) == (city.topics.readings, 1, 2, 200)

    watching = replace(config, control=config.control.model_copy(update={"unaccounted_after_s": 0.0}))
    async with running(watching) as control:
        assert (await control.client.get("/api/v1/ledger")).json()["gaps"] == [gap]

        async def alarmed() -> bool:
            items = (await control.client.get("/api/v1/alarms", params={"state": "open"})).json()["items"]
            return {item["rule_id"] for item in items} == {"unaccounted", "offset_gap"}

        await until(alarmed)
        metrics = (await control.client.get("/metrics")).text
        assert 'citynerve_control_recent_offset_gaps{reason="retention"} 1.0' in metrics


async def test_what_is_unread_past_half_of_the_retention_is_counted(city: City, config: ControlConfig) -> None:
    records = city.gateway().frames(one_device(500), size=100)
    async with city.processor():
        await city.send(records[:2])
        await city.caught_up()
    await city.send(records[2:])
    registry = CollectorRegistry()
    pool = await config.database.pool("test", max_size=1)
    try:
        watch = RetentionWatch(config.kafka, Queries(pool), ControlMetrics(registry))
        now_ms = time.time_ns() // 1_000_000
        counted = []
        for later_ms in (0, _WEEK_MS // 2 + 60_000):
            async with asyncio.timeout(30):
                await watch.look(now_ms + later_ms)
            counted.append(
                registry.get_sample_value("citynerve_control_overdue_records", {"topic": city.topics.readings})
            )
    finally:
        await pool.close()
    assert counted == [0, 3]
    assert config.kafka.partitions == PARTITIONS
