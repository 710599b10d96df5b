"""A month of a city of 10,000 series, made inside PostgreSQL: what the reading side is measured on.

2,500 devices of four metrics, a reading every 15 minutes. Values are a formula of series and time. Each table gets the rows the
processor would have written, but by INSERT ... SELECT, a day at a time, newest day first, so that a measurement after three days finds
what one after thirty finds.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import asyncpg

METRICS = (("pm2_5", "ug/m3"), ("air_temperature", "Cel"), ("relative_humidity", "%"), ("no2", "ug/m3"))
EVERY_S = 900
ROWS_A_SERIES_AND_DAY = 86_400 // EVERY_S
_BUDGET_S = 600
_SIZES = (("1m", 60), ("15m", 900), ("1h", 3600), ("1d", 86_400))

_DEVICES = """
INSERT INTO city.devices (device, name, kind, district, latitude, longitude)
SELECT 'dev-' || n, 'Station ' || n, 'air_quality', 'District ' || n % 24, 16 + n % 50 * 0.002, 108 + n / 50 * 0.002
FROM generate_series(1, $1::int) n"""

_SERIES = """
INSERT INTO city.series (device_id, metric, unit, interval_s, partition)
SELECT d.device_id, m.metric, m.unit, $3::int, d.device_id % 4
FROM city.devices d CROSS JOIN unnest($1::text[], $2::text[]) AS m(metric, unit) ORDER BY d.device_id, m.metric"""

_VALUE = "20 + 10 * sin(extract(epoch FROM {time}) / 13751) + s.series_id % 17"

_READINGS = f"""
INSERT INTO city.readings (series_id, time, value)
SELECT s.series_id, t, {_VALUE.format(time="t")}
FROM city.series s CROSS JOIN generate_series($1::timestamptz, $2::timestamptz - interval '1 second', make_interval(secs => $3)) t
ORDER BY s.series_id, t"""

_WINDOWS = """
INSERT INTO city.windows_{size} (series_id, start, count, mean, min, max, std, first, last, p50, p95, p99,
                                 expected, valid, late, flagged, first_time, last_time, sketch)
SELECT r.series_id, time_bucket(make_interval(secs => $3), r.time), count(*), avg(value), min(value), max(value),
       coalesce(stddev_pop(value), 0), min(value), max(value), avg(value), max(value), max(value),
       greatest(1, $3::int / $4::int), count(*), 0, 0, min(r.time), max(r.time), '\\x00000200'::bytea
FROM city.readings r WHERE r.time >= $1 AND r.time < $2 GROUP BY 1, 2 ORDER BY 1, 2 ON CONFLICT DO NOTHING"""
# on conflict: an hour or a day that two of our days share is written once, from one of its halves

_STATS = "ANALYZE city.readings; ANALYZE city.windows_1m; ANALYZE city.windows_15m; ANALYZE city.windows_1h; ANALYZE city.windows_1d"


async def make_city(dsn: str, series: int) -> None:
    """Devices and series."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        names, units = zip(*METRICS, strict=True)
        await connection.execute(_DEVICES, series // len(METRICS))
        await connection.execute(_SERIES, list(names), list(units), EVERY_S)
    finally:
        await connection.close(timeout=10)


async def add_days(dsn: str, newest: datetime, first: int, until: int) -> None:
    """The days `first`..`until - 1` before `newest` (0 is the last 24 hours), two at a time."""
    waiting: asyncio.Queue[int] = asyncio.Queue()
    for day in range(first, until):
        waiting.put_nowait(day)

    async def work() -> None:
        connection = await asyncpg.connect(dsn, timeout=10, command_timeout=_BUDGET_S)
        try:
            await connection.execute("SET synchronous_commit = off")
            while not waiting.empty():
                await _add_day(connection, newest - timedelta(days=waiting.get_nowait() + 1))
        finally:
            await connection.close(timeout=10)

    await asyncio.gather(work(), work())
    connection = await asyncpg.connect(dsn, timeout=10, command_timeout=_BUDGET_S)
    try:
        await connection.execute(_STATS)
    finally:
        await connection.close(timeout=10)


async def _add_day(connection: asyncpg.Connection[asyncpg.Record], begin: datetime) -> None:
    end = begin + timedelta(days=1)
    await connection.execute(_READINGS, begin, end, float(EVERY_S))
    for size, width_s in _SIZES:
        await connection.execute(_WINDOWS.format(size=size), begin, end, float(width_s), EVERY_S)


def this_hour() -> datetime:
    """Where the newest day ends: the last full quarter, so that the newest windows are closed ones."""
    now = datetime.now(UTC)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + timedelta(seconds=(now - midnight).total_seconds() // EVERY_S * EVERY_S)
