"""How much of what nobody has read is past half of its topic's retention: the alarm before Kafka deletes it (FAILURES 18).

Asked from here and not from the processors, which are what is away when it matters. The retention is the topic's own of that moment.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Mapping
from typing import Final

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code

from control_center.metrics import ControlMetrics
from control_center.queries import DATABASE_AWAY, Queries
from ingest.contract.broker import KafkaSettings

_log = logging.getLogger(__name__)

_EVERY_S: Final = 30.0
_BUDGET_S: Final = 30.0


def overdue(cursors: Mapping[TopicPartition, int], half: Mapping[TopicPartition, int]) -> dict[str, int]:
    """Topic -> unread records before `half`, the first offset of each partition younger than half of the retention."""
    found = {partition.topic: 0 for partition in half}
    for partition, offset in half.items():
        found[partition.topic] += max(0, offset - cursors.get(partition, offset))
    return found


class RetentionWatch:
    """Sets `citynerve_control_overdue_records`; NaN while nobody can say."""

    def __init__(self, kafka: KafkaSettings, queries: Queries, metrics: ControlMetrics) -> None:
        self._kafka, self._queries, self._metrics = kafka, queries, metrics
        topics = kafka.topics
        self._topics = (topics.readings, topics.dead_letters, topics.custody)

    async def run(self) -> None:
        """Look for ever."""
        said = False
        while True:
            try:
                async with asyncio.timeout(_BUDGET_S):
                    await self.look(time.time_ns() // 1_000_000)
                said = False
            except (KafkaError, asyncpg.PostgresError, *DATABASE_AWAY) as error:
                for topic in self._topics:
                    self._metrics.overdue_records.labels(topic).set(math.nan)
                if not said:  # one line an outage
                    _log.warning("retention not known", extra={"fields": {"error": repr(error)}})
                said = True
            await asyncio.sleep(_EVERY_S)

    async def look(self, now_ms: int) -> None:
        """Once."""
        cursors = {
            TopicPartition(topic, number): offset for topic, number, offset in await self._queries.read_offsets()
        }
        retention_ms = await self._retention_ms()
        consumer = AIOKafkaConsumer(group_id=None, **self._kafka.client_options())
        try:
            await consumer.start()
            read = [where for where in cursors if where.topic in retention_ms]
            at_ms = {where: now_ms - retention_ms[where.topic] // 2 for where in read}
            younger = await consumer.offsets_for_times(at_ms) if at_ms else {}
            ends = await consumer.end_offsets(read) if read else {}
        finally:
            await consumer.stop()
        half = {where: ends[where] if younger[where] is None else younger[where].offset for where in read}
        for topic, records in overdue(cursors, half).items():
            self._metrics.overdue_records.labels(topic).set(records)

    async def _retention_ms(self) -> dict[str, int]:
        """Of the topics that do not keep everything for ever."""
        admin = AIOKafkaAdminClient(**self._kafka.client_options())
        try:
            await admin.start()
            wanted = [ConfigResource(ConfigResourceType.TOPIC, topic, {"retention.ms": None}) for topic in self._topics]
            answers = await admin.describe_configs(wanted)
        finally:
            await admin.close()
        found: dict[str, int] = {}
        for answer in answers:
            for code, _, _, topic, entries in answer.resources:
                if code:
                    raise for_code(code)(f"the settings of {topic}")
                settings = {entry[0]: entry[1] for entry in entries}
                if int(settings.get("retention.ms", -1)) > 0:
                    found[topic] = int(settings["retention.ms"])
        return found
