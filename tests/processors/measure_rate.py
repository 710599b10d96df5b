"""Measures readings/s from frames on Kafka to committed rows. Not a test: a script for the real servers of the test stack.

python -m tests.processors.measure_rate [readings] [devices] [interval_s]
"""

from __future__ import annotations

import asyncio
import os
import resource
import sys
import time
import uuid

import asyncpg
import numpy as np
from aiokafka.admin import AIOKafkaAdminClient

from ingest.contract.frame import FrameColumns, encode_readings
from ingest.contract.topics import partition_of
from processors.migrate import create_topics, migrate
from tests.conftest import servers_of_tests
from tests.processors.gateway import PARTITIONS, Gateway, Record
from tests.processors.running import City, city_of

METRICS = ["pm2_5", "laeq", "air_temperature"]
FRAME = 4096
START_US = 1_700_000_000_000_000


def frames(gateway: Gateway, readings: int, devices: int, interval_s: float) -> list[Record]:
    """Every device sends all metrics every `interval_s`; per partition in order of time, devices one after the other."""
    chance = np.random.default_rng(1)
    records = []
    for partition in range(PARTITIONS):
        names = [f"dev-{n}" for n in range(devices) if partition_of(f"dev-{n}", PARTITIONS) == partition]
        series = len(names) * len(METRICS)
        at = np.arange(readings // PARTITIONS)
        times = START_US + (at // series * interval_s * 1e6).astype(np.int64) + (at % series) // len(METRICS) * 1000
        for low in range(0, len(at), FRAME):
            some = at[low : low + FRAME]
            columns = FrameColumns(
                names, METRICS, (some % series // len(METRICS)).astype(np.int32), (some % len(METRICS)).astype(np.int16),
                times[low : low + FRAME], chance.gamma(4, 10, len(some)), np.zeros(len(some), np.uint16),
            )  # fmt: skip
            header = gateway.header(gateway.topics.readings, partition, len(some))
            records.append(Record(gateway.topics.readings, partition, header.to_kafka(), encode_readings(columns)))
    return records


async def measure(city: City, readings: int, devices: int, interval_s: float) -> None:
    """Fill Kafka, then time the processor from its first commit to its last."""
    await city.send(frames(city.gateway(), readings, devices, interval_s))
    began = os.times()
    async with city.processor(batch_max_readings=50_000, batch_max_wait_ms=200):
        while not await city.value("SELECT coalesce(sum(n_stored), 0) > 0 FROM city.offsets"):  # noqa: ASYNC110 - the event is in the database
            await asyncio.sleep(0.005)
        first, started = await city.value("SELECT sum(n_stored)::bigint FROM city.offsets"), time.perf_counter()
        await city.caught_up(600)
        seconds = time.perf_counter() - started
    ended = os.times()
    windows = await city.value("SELECT count(*) FROM city.windows_1m")
    cpu = ended.user + ended.system - began.user - began.system
    print(
        f"{readings - first:,} readings of {devices * len(METRICS):,} series in {seconds:.2f} s: {(readings - first) / seconds:,.0f}/s, "
        f"{windows:,} 1m windows, processor CPU {cpu / readings * 1e6:.2f} us a reading, "
        f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB"
    )


async def main(readings: int, devices: int, interval_s: float) -> None:
    """Run on a database and topics made for it and removed after."""
    stack = servers_of_tests()
    name = f"rate_{uuid.uuid4().hex[:8]}"
    admin = await asyncpg.connect(stack.postgres_dsn(), timeout=10)
    await admin.execute(f"CREATE DATABASE {name}")
    try:
        await migrate(stack.postgres_dsn(name))
        await create_topics(stack.kafka_bootstrap, name, PARTITIONS)
        await measure(city_of(stack, name, stack.postgres_dsn(name)), readings, devices, interval_s)
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await admin.close(timeout=10)
        kafka = AIOKafkaAdminClient(bootstrap_servers=stack.kafka_bootstrap)
        await kafka.start()
        await kafka.delete_topics([topic for topic in await kafka.list_topics() if topic.startswith(f"{name}.")])
        await kafka.close()


if __name__ == "__main__":
    given = [float(argument) for argument in sys.argv[1:4]]
    asyncio.run(main(*(int(x) if i < 2 else x for i, x in enumerate(given + [1_000_000, 1000, 10.0][len(given) :]))))  # type: ignore[arg-type]
