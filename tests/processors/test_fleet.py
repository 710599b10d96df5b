"""The fleet's sums are those of the windows: after late data, after a device has moved, after an upgrade, beside another processor."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta

import asyncpg
import numpy as np
import pytest

from processors.fleet import newest_first, sum_marked
from processors.migrate import migrate, shipped_migrations
from processors.window_store import fleet_spans
from tests.ops import city_rows
from tests.processors.running import City
from tests.processors.test_pipeline import some_readings

QUARTER_US = 900_000_000

_FROM_WINDOWS = """
SELECT time_bucket($1::interval, w.start) AS start, s.metric, d.kind, d.district, sum(w.count)::bigint AS count,
       sum(w.mean * w.count) AS total, sum(w.count * power(10, w.special / 10)) FILTER (WHERE s.mean_kind = 2) AS energy,
       min(w.min) AS min, max(w.max) AS max,
       coalesce(sum(least(w.count, w.expected)) FILTER (WHERE s.interval_s <= 900), 0)::bigint AS came, count(*)::bigint AS windows,
       900 * count(DISTINCT w.start)::int AS width_s
FROM city.windows_15m w JOIN city.series s USING (series_id) JOIN city.devices d USING (device_id)
GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4"""
_NUMBERS = ("count", "total", "energy", "min", "max", "came", "windows", "width_s")


async def assert_sums_are_those_of_windows(connection: asyncpg.Connection[asyncpg.Record]) -> int:
    """Every row of both tables; how many quarters' rows there are."""
    rows = 0
    for table, size in (("fleet_1h", timedelta(hours=1)), ("fleet_15m", timedelta(minutes=15))):
        wanted = await connection.fetch(_FROM_WINDOWS, size)
        found = await connection.fetch(f"SELECT * FROM city.{table} ORDER BY start, metric, kind, district")
        keys = [tuple(row[name] for name in ("start", "metric", "kind", "district")) for row in found]
        assert keys == [tuple(row[name] for name in ("start", "metric", "kind", "district")) for row in wanted]
        for one, other in zip(found, wanted, strict=True):
            for name in _NUMBERS:
                assert one[name] == (None if other[name] is None else pytest.approx(other[name])), (table, name, one)
        rows = len(found)
    return rows


async def sum_all(connection: asyncpg.Connection[asyncpg.Record], quarters: int = 96) -> int:
    """Rounds until nothing waits; how many."""
    for number in range(1, 1000):
        done = await sum_marked(connection, quarters)
        assert done is not None
        if not done.waiting:
            return number
    raise AssertionError("it never ends")


def test_the_newest_quarters_are_summed_first_and_once() -> None:
    assert newest_first([(0, 3), (2, 5), (8, 9), (5, 6)], 100) == ([(8, 9), (0, 6)], [])
    assert newest_first([(0, 6), (8, 9)], 3) == ([(8, 9), (4, 6)], [(0, 4)])
    assert newest_first([(0, 6), (8, 9)], 1) == ([(8, 9)], [(0, 6)])
    assert newest_first([], 5) == ([], [])


def test_quarters_of_windows_are_marked_as_spans() -> None:
    starts = np.array([5, 1, 2, 2, 9], np.int64) * QUARTER_US
    first, until = fleet_spans(starts)
    assert (first // QUARTER_US).tolist() == [1, 5, 9]
    assert (until // QUARTER_US).tolist() == [3, 6, 10]


async def test_sums_follow_windows_that_late_readings_revised(city: City) -> None:
    readings = some_readings(devices=4, minutes=60 * 30)
    random.Random(3).shuffle(readings)
    async with city.processor(fleet_interval_s=1) as service:
        await city.send(city.gateway().frames(readings, size=400))
        await city.caught_up()
        async with asyncio.timeout(30):
            while await city.value("SELECT count(*) FROM city.fleet_marks") > 0:  # noqa: ASYNC110 - in a database
                await asyncio.sleep(0.1)
    assert await city.value("SELECT max(revision) FROM city.windows_15m") > 0
    connection = await asyncpg.connect(city.dsn)
    try:
        await sum_all(connection)  # what the last batch closed while the service was being stopped
        assert await assert_sums_are_those_of_windows(connection) > 100
    finally:
        await connection.close()
    assert service.registry.get_sample_value("citynerve_processor_fleet_rounds_total", {"outcome": "failed"}) == 0
    assert service.registry.get_sample_value("citynerve_processor_fleet_quarters_total") > 0  # type: ignore[operator]


async def test_what_was_stored_before_the_upgrade_is_summed_after_it(empty_database: str) -> None:
    await migrate(empty_database, shipped_migrations()[:4])
    connection = await asyncpg.connect(empty_database, server_settings={"timezone": "Asia/Kathmandu"})
    try:
        await city_rows.write(connection)
        await migrate(empty_database)
        assert await migrate(empty_database) == []
        assert await connection.fetchval("SELECT count(*) FROM city.fleet_15m") == 0
        assert await sum_all(connection, quarters=5) > 1
        assert await assert_sums_are_those_of_windows(connection) > 50
    finally:
        await connection.close()


async def test_a_device_takes_its_past_to_its_new_district(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        await city_rows.fill(connection)
        await connection.execute(
            "UPDATE city.devices SET district = 'Port', kind = 'air_quality' WHERE device = 'air-0001'"
        )
        assert await connection.fetchval("SELECT count(*) FROM city.fleet_15m WHERE district = 'Port'") == 0
        await sum_all(connection)
        assert await connection.fetchval("SELECT count(*) FROM city.fleet_15m WHERE district = 'Port'") > 10
        await assert_sums_are_those_of_windows(connection)
        await connection.execute("UPDATE city.devices SET name = 'x', district = district")
        assert await connection.fetchval("SELECT count(*) FROM city.fleet_marks") == 0
    finally:
        await connection.close()


async def test_sums_outlive_windows_that_retention_dropped(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        await city_rows.fill(connection)
        kept = await connection.fetch("SELECT * FROM city.fleet_15m ORDER BY start, metric, kind, district")
        gone = "DELETE FROM city.windows_15m WHERE series_id = (SELECT min(series_id) FROM city.series WHERE metric = 'laeq')"
        await connection.execute(gone)
        await connection.execute("DELETE FROM city.windows_15m WHERE start < now() - interval '1 hour'")
        await connection.execute("INSERT INTO city.fleet_marks (first) VALUES (now() - interval '1 day')")
        await sum_all(connection)
        assert await connection.fetch("SELECT * FROM city.fleet_15m ORDER BY start, metric, kind, district") == kept
    finally:
        await connection.close()


async def test_a_number_too_large_for_a_sum_does_not_stop_the_sums(database: str) -> None:
    connection = await asyncpg.connect(database)
    try:
        await city_rows.fill(connection)
        await connection.execute(
            "UPDATE city.windows_15m SET mean = 1.7e308, max = 1.7e308, special = 4000 WHERE special IS NOT NULL"
        )
        await connection.execute("INSERT INTO city.fleet_marks (first) VALUES (now() - interval '1 day')")
        await sum_all(connection)
        row = await connection.fetchrow(
            "SELECT max(total) AS total, max(energy) AS energy FROM city.fleet_1h WHERE metric = 'laeq'"
        )
        assert row is not None
        assert 1e290 < row["total"] < 1e300
        assert 1e290 < row["energy"] < 1e300
    finally:
        await connection.close()


async def test_one_at_a_time_sums(database: str) -> None:
    one, other = await asyncpg.connect(database), await asyncpg.connect(database)
    try:
        await one.execute(
            "INSERT INTO city.fleet_marks VALUES ($1, $2)",
            datetime(2026, 5, 1, tzinfo=UTC),
            datetime(2026, 5, 2, tzinfo=UTC),
        )
        async with one.transaction():
            assert await sum_marked(one) is not None
            assert await sum_marked(other) is None
        done = await sum_marked(other)
        assert done is not None
        assert done.waiting == 0
    finally:
        await one.close()
        await other.close()
