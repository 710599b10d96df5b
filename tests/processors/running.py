"""A processor running inside the test, on the real servers, and the waiting for it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import SecretStr

from deploy.local.stack import LocalStack
from ingest.contract.broker import KafkaSettings
from ingest.contract.topics import Topics
from processors.contract.database import CitySettings, DatabaseSettings
from processors.service import ProcessorService
from processors.settings import ProcessorSettings
from tests.processors.gateway import PARTITIONS, Gateway, Record, produce

CAUGHT_UP_BUDGET_S = 60.0


@dataclass(frozen=True, slots=True)
class City:
    """One test's own topics and database on the shared servers."""

    bootstrap: str
    prefix: str
    dsn: str

    @property
    def topics(self) -> Topics:
        """The test's topic names."""
        return Topics(self.prefix)

    def gateway(self, name: str = "gw-1", epoch: int = 1) -> Gateway:
        """A gateway that writes to this test's topics."""
        return Gateway(self.topics, name, epoch)

    async def send(self, records: list[Record]) -> None:
        """Put records on Kafka."""
        await produce(self.bootstrap, records)

    def environment(self, **processors: object) -> dict[str, str]:
        """Settings for a processor in a process of its own."""
        return {
            "CITYNERVE_KAFKA__BOOTSTRAP": self.bootstrap,
            "CITYNERVE_KAFKA__TOPIC_PREFIX": self.prefix,
            "CITYNERVE_DATABASE__DSN": self.dsn,
            "CITYNERVE_PROCESSORS__HTTP_PORT": "0",
            **{f"CITYNERVE_PROCESSORS__{name.upper()}": str(value) for name, value in processors.items()},
        }

    @contextlib.asynccontextmanager
    async def processor(
        self, *, dsn: str | None = None, city: Mapping[str, Any] | None = None, **settings: Any
    ) -> AsyncIterator[ProcessorService]:
        """A processor while the body runs; at the end it is stopped as by SIGTERM and must have ended well."""
        service = ProcessorService(
            KafkaSettings(bootstrap=self.bootstrap, topic_prefix=self.prefix, partitions=PARTITIONS),
            DatabaseSettings(dsn=SecretStr(dsn or self.dsn), lock_timeout_ms=5000),
            CitySettings(**(city or {})),
            ProcessorSettings(**{"batch_max_wait_ms": 50, **settings}),
        )
        stop = asyncio.Event()
        running = asyncio.create_task(service.run(stop))
        try:
            yield service
        finally:
            stop.set()
            async with asyncio.timeout(30):
                code = await running
        assert code == 0

    async def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Ask the database."""
        connection = await asyncpg.connect(self.dsn, timeout=10)
        try:
            return await connection.fetch(query, *arguments)
        finally:
            await connection.close(timeout=10)

    async def value(self, query: str, *arguments: object) -> Any:
        """The single value a query gives."""
        return (await self.fetch(query, *arguments))[0][0]

    async def caught_up(self, budget_s: float = CAUGHT_UP_BUDGET_S) -> None:
        """Wait until every cursor stands at the end of its partition."""
        ends = await self._ends()
        async with asyncio.timeout(budget_s):
            while True:
                rows = await self.fetch("SELECT topic, partition, next_offset FROM city.offsets")
                stand = {(row["topic"], row["partition"]): row["next_offset"] for row in rows}
                if all(stand.get(partition, 0) >= end for partition, end in ends.items() if end):
                    return
                await asyncio.sleep(0.1)

    async def _ends(self) -> dict[tuple[str, int], int]:
        topics = self.topics
        wanted = [TopicPartition(topics.readings, number) for number in range(PARTITIONS)]
        wanted += [TopicPartition(topic, 0) for topic in (topics.dead_letters, topics.custody)]
        consumer = AIOKafkaConsumer(bootstrap_servers=self.bootstrap)
        await consumer.start()
        try:
            ends = await consumer.end_offsets(wanted)
        finally:
            await consumer.stop()
        return {(partition.topic, partition.partition): end for partition, end in ends.items()}


def city_of(stack: LocalStack, prefix: str, dsn: str) -> City:
    """The test's corner of the shared servers."""
    return City(stack.kafka_bootstrap, prefix, dsn)
