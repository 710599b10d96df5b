"""A city with many days of readings every quarter of an hour, loaded by COPY: what the reading side is measured on.

Each table gets the rows the processor would have written, in the order in which it would have: time first. The database keeps its name
between runs: one that is there has only the quarters since its newest reading added.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import asyncpg
import numpy as np

from deploy.local.stack import LocalStack
from processors.contract.tables import WINDOW_COLUMNS
from processors.fleet import sum_marked
from processors.migrate import create_topics, migrate
from processors.pgcopy import READING_COLUMNS
from tests.benchmarks.month_register import make_register
from tests.benchmarks.month_rows import QUARTER_S, SIZES_S, Fleet, readings_stream, windows_stream
from tests.benchmarks.servers import PARTITIONS, Place, administrator

LOADERS = 3
"""Connections: while one waits for numpy the others keep both cores busy."""
_DAY_S = 86_400
_MARK = "INSERT INTO city.fleet_marks (first, until) VALUES (to_timestamp($1::bigint), to_timestamp($2::bigint))"
_NEWEST_S = "SELECT extract(epoch FROM max(time))::bigint FROM city.readings"


@dataclass(frozen=True)
class Month:
    """A loaded city. `newest`: the end of its last quarter; `loaded_s`, `summed_s`: how long the rows and the fleet's sums took now;
    `kept`: it was there already."""

    place: Place
    newest: datetime
    loaded_s: float
    summed_s: float
    kept: bool
    rows: int
    disk_bytes: int

    def __str__(self) -> str:
        was = "kept from an earlier run, newest quarters added" if self.kept else "made anew"
        took = f"{was} in {self.loaded_s:.0f} s, summed in {self.summed_s:.0f} s"
        return f"{self.place.name}: {self.rows:,} rows, {self.disk_bytes / 1e9:.1f} GB, {took}"


def this_quarter_s() -> int:
    """The last full quarter of an hour, seconds since 1970: the newest windows are closed ones."""
    return int(time.time()) // QUARTER_S * QUARTER_S


async def month(stack: LocalStack, series: int, days: int) -> Month:
    """The city of that size up to this quarter of an hour, made or brought up to date."""
    began, until_s = time.monotonic(), this_quarter_s()
    place = Place(stack, f"month_{series}_{days}")
    kept = await _exists(place)
    if kept:
        await migrate(place.dsn)
    else:
        await _create(place, series, until_s)
    fleet, first_s = await _fleet(place.dsn), until_s - days * _DAY_S
    async with _connected(place.dsn) as connection:
        newest_s = await connection.fetchval(_NEWEST_S)
    if newest_s is None:
        await _load(place.dsn, fleet, first_s // QUARTER_S * QUARTER_S, until_s)
        await _settle(place.dsn)
    elif newest_s + QUARTER_S < until_s:
        await _load(place.dsn, fleet, newest_s + QUARTER_S, until_s)
    loaded_s, began = time.monotonic() - began, time.monotonic()
    await _sum(place.dsn)
    summed_s = time.monotonic() - began
    async with _connected(place.dsn) as connection:
        rows = await connection.fetchval(
            "SELECT sum(approximate_row_count(format('city.%I', hypertable_name)::regclass)) FROM timescaledb_information.hypertables"
            " WHERE hypertable_schema = 'city'"
        )
        disk = await connection.fetchval("SELECT pg_database_size(current_database())")
    return Month(place, datetime.fromtimestamp(until_s, UTC), loaded_s, summed_s, kept, int(rows), disk)


async def _exists(place: Place) -> bool:
    async with administrator(place.stack) as admin:
        return bool(await admin.fetchval("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", place.name))


async def _create(place: Place, series: int, until_s: int) -> None:
    async with administrator(place.stack) as admin:
        await admin.execute(f"CREATE DATABASE {place.name}")
    await migrate(place.dsn)
    await create_topics(place.stack.kafka_bootstrap, place.name, PARTITIONS)
    async with _connected(place.dsn) as connection:
        await make_register(connection, series, datetime.fromtimestamp(until_s, UTC), place.name)


async def _fleet(dsn: str) -> Fleet:
    async with _connected(dsn) as connection:
        rows = await connection.fetch("SELECT series_id FROM city.series ORDER BY series_id")
    return Fleet(np.array([row["series_id"] for row in rows], np.int32))


async def _load(dsn: str, fleet: Fleet, first_s: int, until_s: int) -> None:
    """All tables, a day of one table at a time, on a few connections: the order of time within a table is kept within a day."""
    waiting: asyncio.Queue[Job] = asyncio.Queue()
    for begin_s, end_s in _days(first_s, until_s):
        for job in _jobs(fleet, begin_s, end_s):
            waiting.put_nowait(job)

    async def work() -> None:
        async with _connected(dsn) as connection:
            await connection.execute("SET synchronous_commit = off")
            while not waiting.empty():
                await _copy(connection, waiting.get_nowait())

    await asyncio.gather(*(work() for _ in range(LOADERS)))
    async with _connected(dsn) as connection:
        await connection.execute(_MARK, first_s, until_s)


@dataclass(frozen=True)
class Job:
    """One COPY: the rows of one table in one day."""

    table: str
    columns: tuple[str, ...]
    stream: Callable[[], Iterator[bytes]]


def _jobs(fleet: Fleet, begin_s: int, end_s: int) -> Iterator[Job]:
    yield Job("readings", READING_COLUMNS, partial(readings_stream, fleet, begin_s, end_s))
    for table in SIZES_S:
        yield Job(table, WINDOW_COLUMNS, partial(windows_stream, fleet, table, begin_s, end_s))


def _days(first_s: int, until_s: int) -> Iterator[tuple[int, int]]:
    while first_s < until_s:
        end_s = min(until_s, first_s // _DAY_S * _DAY_S + _DAY_S)
        yield first_s, end_s
        first_s = end_s


async def _copy(connection: asyncpg.Connection[asyncpg.Record], job: Job) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for piece in job.stream():
            yield piece

    await connection.copy_to_table(
        job.table, schema_name="city", columns=job.columns, format="binary", source=pieces(), timeout=600
    )


async def _sum(dsn: str) -> None:
    """The fleet's sums of all that was loaded, as the processors make them."""
    async with _connected(dsn) as connection:
        while (done := await sum_marked(connection)) is None or done.waiting:
            pass
        await connection.execute("ANALYZE city.fleet_15m; ANALYZE city.fleet_1h")


async def _settle(dsn: str) -> None:
    """What autovacuum would have done by the end of a month: statistics and visibility."""
    tables = ["readings", *SIZES_S]

    async def vacuum() -> None:
        async with _connected(dsn) as connection:
            while tables:
                await connection.execute(f"VACUUM (ANALYZE) city.{tables.pop()}", timeout=1200)

    await asyncio.gather(vacuum(), vacuum())


@contextlib.asynccontextmanager
async def _connected(dsn: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(dsn, timeout=10, command_timeout=600)
    try:
        yield connection
    finally:
        await connection.close(timeout=60)
