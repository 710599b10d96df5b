"""The audit: a stored reading that is gone is missed, a row nobody stored is found, and what retention removed is neither."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta

import asyncpg
import numpy as np
import pytest

from processors.audit import days_due
from processors.contract.audit import DayAudit, audit_day, days_stored
from processors.ledger import stored_days
from processors.migrate import migrate, shipped_migrations
from tests.processors.gateway import repeated_as
from tests.processors.running import City
from tests.processors.test_pipeline import some_readings

TODAY = date(2026, 5, 10)


def before(days: int) -> date:
    return TODAY - timedelta(days=days)


def test_today_and_yesterday_are_audited_each_time_and_older_days_in_turn() -> None:
    stored = [before(n) for n in range(5)]
    due, turn = days_due(stored, TODAY, None)
    assert due == [before(0), before(1), before(2)]
    seen = []
    for _ in range(4):
        due, turn = days_due(stored, TODAY, turn)
        seen.append(due[-1])
    assert seen == [before(3), before(4), before(2), before(3)]


def test_a_day_ahead_of_today_is_audited_each_time() -> None:
    assert days_due([before(-1), before(0)], TODAY, None) == ([before(-1), before(0)], None)


def test_stored_readings_are_counted_by_utc_day_and_partition() -> None:
    day_us = 86_400_000_000
    time_us = np.array([0, day_us - 1, day_us, day_us, -1], np.int64)
    counted = stored_days(time_us, np.array([3, 3, 0, 1, 0], np.int32))
    assert counted == {
        (date(1969, 12, 31), 0): 1,
        (date(1970, 1, 1), 3): 2,
        (date(1970, 1, 2), 0): 1,
        (date(1970, 1, 2), 1): 1,
    }
    assert stored_days(time_us[:0], np.empty(0, np.int32)) == {}


async def audit_all(city: City) -> dict[date, DayAudit]:
    connection = await asyncpg.connect(city.dsn, server_settings={"timezone": "UTC"})
    try:
        return {day: await audit_day(connection, day) for day in await days_stored(connection)}
    finally:
        await connection.close()


def wrong(found: dict[date, DayAudit]) -> tuple[int, int, int]:
    """(missing, doubled, removed) over all days."""
    days = found.values()
    return sum(day.missing for day in days), sum(day.doubled for day in days), sum(day.removed for day in days)


async def test_a_stolen_reading_is_missing_and_a_planted_one_is_doubled(city: City) -> None:
    readings = some_readings(devices=3, minutes=60 * 40)
    records = city.gateway().frames(readings, size=500)
    async with city.processor():
        await city.send(records)
        await city.send(repeated_as(records, epoch=2))  # duplicates must not be counted as stored
        await city.caught_up()
    found = await audit_all(city)
    assert len(found) > 1
    assert wrong(found) == (0, 0, 0)
    assert sum(day.expected for day in found.values()) == len(readings)

    theft = "DELETE FROM city.readings WHERE (series_id, time) IN (SELECT series_id, time FROM city.readings LIMIT 1) RETURNING *"
    stolen = (await city.fetch(theft))[0]
    assert wrong(await audit_all(city)) == (1, 0, 0)
    back = "INSERT INTO city.readings (series_id, time, value, flags) VALUES ($1, $2, $3, $4)"
    await city.fetch(back, *stolen)
    assert wrong(await audit_all(city)) == (0, 0, 0)
    planted = stolen["time"] + timedelta(microseconds=1)
    await city.fetch(back, stolen["series_id"], planted, 1.0, 0)
    assert wrong(await audit_all(city)) == (0, 1, 0)


async def test_a_chunk_that_retention_dropped_is_removed_and_late_readings_after_it_still_count(city: City) -> None:
    readings = some_readings(devices=2, minutes=60 * 40)
    gateway = city.gateway()
    async with city.processor():
        await city.send(gateway.frames(readings[:-1]))
        await city.caught_up()
        await city.fetch("SELECT drop_chunks('city.readings', older_than => interval '0 days')")
        assert wrong(await audit_all(city)) == (0, 0, len(readings) - 1)
        await city.send(gateway.frames(readings[-1:]))
        await city.caught_up()
    found = await audit_all(city)
    assert wrong(found) == (0, 0, len(readings) - 1)
    assert sum(day.found for day in found.values()) == 1


async def test_a_running_processor_audits_by_itself(city: City) -> None:
    async with city.processor(audit_interval_s=1) as service:
        await city.send(city.gateway().frames(some_readings(devices=2, minutes=30)))
        await city.caught_up()
        await city.fetch("DELETE FROM city.readings WHERE time = (SELECT min(time) FROM city.readings)")
        async with asyncio.timeout(30):
            while await city.value("SELECT coalesce(sum(missing), 0) FROM city_view.ledger_audit") == 0:  # noqa: ASYNC110 - in a database
                await asyncio.sleep(0.1)
    assert service.registry.get_sample_value("citynerve_processor_audits_total", {"outcome": "differs"}) > 0  # type: ignore[operator]
    assert service.registry.get_sample_value("citynerve_processor_audits_total", {"outcome": "failed"}) == 0


async def test_readings_stored_by_the_program_before_are_counted_by_the_migration(empty_database: str) -> None:
    await migrate(empty_database, shipped_migrations()[:1])
    connection = await asyncpg.connect(empty_database, server_settings={"timezone": "Asia/Tokyo"})
    try:
        await connection.execute(
            "INSERT INTO city.devices (device) VALUES ('d');"
            "INSERT INTO city.series (device_id, metric, unit, interval_s, partition) VALUES (1, 'pm2_5', 'ug/m3', 60, 2)"
        )
        late = datetime(2026, 5, 1, 23, 30, tzinfo=UTC)
        await connection.executemany(
            "INSERT INTO city.readings (series_id, time, value) VALUES (1, $1, 1)",
            [(late + timedelta(minutes=20 * n),) for n in range(3)],
        )
        await migrate(empty_database)
        rows = await connection.fetch("SELECT day, partition, readings FROM city.stored_by_day ORDER BY day")
        assert [tuple(row) for row in rows] == [(date(2026, 5, 1), 2, 2), (date(2026, 5, 2), 2, 1)]
        audits = [await audit_day(connection, day) for day in await days_stored(connection)]
        assert [(day.missing, day.doubled) for day in audits] == [(0, 0), (0, 0)]
    finally:
        await connection.close()


@pytest.mark.parametrize(("expected", "found", "removed"), [(5, 5, 0), (5, 0, 5), (0, 0, 0)])
def test_a_day_that_adds_up_has_nothing_wrong(expected: int, found: int, removed: int) -> None:
    day = DayAudit(TODAY, expected, found, removed)
    assert (day.missing, day.doubled) == (0, 0)
