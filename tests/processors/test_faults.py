"""Processors killed, frozen, cut off and fighting each other on the real servers: nothing lost, nothing doubled, windows as ever."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer

from deploy.local.stack import LocalStack
from ingest.contract.reading import Reading
from tests.processors.cutting_proxy import cutting_proxy
from tests.processors.running import City
from tests.processors.test_accounting import ledger
from tests.processors.test_pipeline import ZONE, assert_windows_equal_reference, some_readings


class Child:
    """`citynerve process run` in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    def signal(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    async def ended(self, budget_s: float = 30) -> int:
        """Its exit code."""
        async with asyncio.timeout(budget_s):
            return await self._process.wait()


@contextlib.asynccontextmanager
async def child(city: City, name: str, log: Path, **settings: object) -> AsyncIterator[Child]:
    """A processor process; killed at the end if it still runs."""
    environment = (
        os.environ
        | city.environment(name=name, **settings)
        | {"CITYNERVE_CITY__TIME_ZONE": ZONE, "CITYNERVE_DATABASE__COMMAND_TIMEOUT_S": "8"}
    )
    with log.open("ab") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "processors", env=environment, stderr=output, stdout=output
        )
    try:
        yield Child(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def until(city: City, query: str, budget_s: float = 60) -> None:
    """Wait until a query gives true."""
    async with asyncio.timeout(budget_s):
        while not await city.value(query):  # noqa: ASYNC110 - the event is in another process
            await asyncio.sleep(0.05)


async def assert_nothing_lost_or_doubled(city: City, readings: list[Reading]) -> None:
    assert await city.value("SELECT count(*) FROM city.readings") == len(readings)
    found = await ledger(city)
    assert (found["received"], found["stored"], found["duplicate"]) == (len(readings), len(readings), 0)
    assert (found["in_flight"], found["unaccounted"], found["dead_letter"]) == (0, 0, 0)
    counts = {
        size: await city.value(f"SELECT coalesce(sum(count), 0) FROM city.windows_{size}")
        for size in ("1m", "15m", "1h", "1d")
    }
    closed = await city.value(
        "SELECT count(*) FROM city.readings r JOIN city.series s USING (series_id) JOIN city.offsets o "
        "ON o.partition = s.partition AND o.topic LIKE '%readings%' WHERE r.time < o.closed_until"
    )
    assert counts["1m"] == closed


def a_hundred_thousand() -> list[Reading]:
    readings = some_readings(devices=12, minutes=60 * 18)
    assert len(readings) > 60_000
    return readings + [
        Reading("filler", "no2", 1_700_000_000_000_000 + n * 100_000, float(n)) for n in range(100_000 - len(readings))
    ]


async def test_kill_9_in_the_middle_of_100_000_readings_loses_and_doubles_nothing(city: City, tmp_path: Path) -> None:
    readings = sorted(a_hundred_thousand(), key=lambda reading: reading.time_us)
    await city.send(city.gateway().frames(readings, size=500))
    for kill_after in (15_000, 50_000):
        async with child(city, "p1", tmp_path / "p1.log", batch_max_readings=2000) as processor:
            await until(city, f"SELECT count(*) > {kill_after} FROM city.readings")
            processor.signal(signal.SIGKILL)
            await processor.ended()
        assert await city.value("SELECT count(*) FROM city.readings") < len(readings), (
            "killed too late to prove anything"
        )
    async with child(city, "p1", tmp_path / "p1.log"):
        await city.caught_up()
    await assert_nothing_lost_or_doubled(city, readings)
    await assert_windows_equal_reference(city, readings)
    assert await city.value("SELECT max(revision) FROM city.windows_1m") == 0


async def test_sigterm_drains_and_hands_over_at_once(city: City, tmp_path: Path) -> None:
    readings = some_readings(devices=4, minutes=600)
    await city.send(city.gateway().frames(readings, size=300))
    async with child(city, "p1", tmp_path / "p1.log", batch_max_readings=500) as first:
        await until(city, "SELECT count(*) > 1000 FROM city.readings")
        first.signal(signal.SIGTERM)
        assert await first.ended() == 0
    started = time.monotonic()
    async with child(city, "p2", tmp_path / "p2.log") as second:
        await city.caught_up()
        # the session of the first would last 45 s had it not left the group
        assert time.monotonic() - started < 20
        second.signal(signal.SIGTERM)
        assert await second.ended() == 0
    await assert_nothing_lost_or_doubled(city, readings)
    await assert_windows_equal_reference(city, readings)


async def test_a_frozen_processor_is_fenced_when_it_wakes(city: City, tmp_path: Path) -> None:
    readings = sorted(a_hundred_thousand(), key=lambda reading: reading.time_us)
    await city.send(city.gateway().frames(readings, size=500))
    settings = {"session_timeout_ms": 6000, "batch_max_readings": 500}
    async with child(city, "p1", tmp_path / "p1.log", **settings) as zombie:
        await until(city, "SELECT count(*) > 5000 FROM city.readings")
        zombie.signal(signal.SIGSTOP)
        held = await city.value("SELECT count(*) FROM city.readings")
        assert held < len(readings), "frozen too late: nothing is left to do for the second"
        # a fixed 20,000 more was out of reach when the freeze came late
        half_of_the_rest = held + (len(readings) - held) // 2
        async with child(city, "p2", tmp_path / "p2.log", **settings):
            # the zombie may hold row locks in an open transaction: idle_in_transaction_session_timeout ends it, or it was between two
            await until(city, f"SELECT count(*) > {half_of_the_rest} FROM city.readings", budget_s=120)
            zombie.signal(signal.SIGCONT)
            await city.caught_up(budget_s=120)
    await assert_nothing_lost_or_doubled(city, readings)
    await assert_windows_equal_reference(city, readings)


_TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND application_name LIKE 'citynerve p%'
AND (state <> 'idle') AND (query ~ 'COPY|INSERT|UPDATE')
"""


async def test_backends_terminated_while_they_work_cost_nothing(city: City, stack: LocalStack) -> None:
    readings = some_readings(devices=8, minutes=60 * 12)
    name = city.dsn.rsplit("/", 1)[1]
    admin = await asyncpg.connect(stack.postgres_dsn(), timeout=10)
    killed = 0
    async with city.processor(city={"time_zone": ZONE}, batch_max_readings=1500) as service:
        sending = asyncio.create_task(city.send(city.gateway().frames(readings, size=250)))
        async with asyncio.timeout(60):
            while killed < 8:
                await asyncio.sleep(0.03)
                killed += len(await admin.fetch(_TERMINATE, name))
        await admin.close(timeout=10)
        await sending
        await city.caught_up()
        restarts = service.registry.get_sample_value("citynerve_processor_restarts_total", {"reason": "database"})
    assert restarts
    assert service.registry.get_sample_value("citynerve_processor_restarts_total", {"reason": "internal"}) == 0
    await assert_nothing_lost_or_doubled(city, readings)
    await assert_windows_equal_reference(city, readings)


async def test_the_answer_to_a_commit_lost_on_the_way_doubles_nothing(city: City, stack: LocalStack) -> None:
    readings = some_readings(devices=8, minutes=60 * 12)
    async with cutting_proxy(stack.postgres_port, every=4) as (port, proxy):
        dsn = city.dsn.replace(f":{stack.postgres_port}/", f":{port}/")
        async with city.processor(dsn=dsn, city={"time_zone": ZONE}, batch_max_readings=1500):
            await city.send(city.gateway().frames(readings, size=250))
            await city.caught_up()
    assert proxy.lost >= 3
    await assert_nothing_lost_or_doubled(city, readings)
    await assert_windows_equal_reference(city, readings)


@pytest.mark.slow
async def test_partitions_move_between_processors_that_come_and_go(city: City, tmp_path: Path) -> None:
    readings = sorted(a_hundred_thousand(), key=lambda reading: reading.time_us)
    records = city.gateway().frames(readings, size=250)
    async with (
        child(city, "p1", tmp_path / "p1.log", batch_max_readings=500),
        child(city, "p2", tmp_path / "p2.log", batch_max_readings=500),
    ):
        await city.send(records[: len(records) // 3])
        await until(city, "SELECT count(DISTINCT owner_name) = 2 FROM city.offsets")
        async with child(city, "p3", tmp_path / "p3.log", batch_max_readings=500) as third:
            await city.send(records[len(records) // 3 : 2 * len(records) // 3])
            await until(city, "SELECT count(DISTINCT owner_name) = 3 FROM city.offsets")
            third.signal(signal.SIGTERM)
            assert await third.ended() == 0
        await city.send(records[2 * len(records) // 3 :])
        await city.caught_up()
    await assert_nothing_lost_or_doubled(city, readings)
    await assert_windows_equal_reference(city, readings)


async def test_a_group_without_its_coordinator_holds_no_batch_up(city: City, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def unanswered(*_: object) -> None:
        nonlocal asked
        asked += 1
        await asyncio.Event().wait()

    monkeypatch.setattr(AIOKafkaConsumer, "commit", unanswered)
    monkeypatch.setattr("processors.pipeline._SHOW_OFFSETS_S", 0.0)
    readings = some_readings(devices=2, minutes=20)
    records = city.gateway().frames(readings, size=len(readings) // 8)
    async with city.processor():
        await city.send(records[:1])
        await city.caught_up()
        for record in records[1:]:
            await city.send([record])
            await city.caught_up(budget_s=5)
    assert asked == 1, "one question at a time"
