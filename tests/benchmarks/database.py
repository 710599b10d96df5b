"""B3: columns in memory to committed rows of the real schema, a batch in one transaction; each contestant finds an empty table.

Plain COPY is the same binary stream without the store's savepoint and without finding out what was there already; the
unkeyed table is an ordinary one without key, check or hypertable: the limit of COPY.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

import asyncpg
import numpy as np
from pydantic import SecretStr

from deploy.local.stack import LocalStack
from processors.contract.database import DatabaseSettings
from processors.database_session import copy_binary, open_session
from processors.pgcopy import READING_COLUMNS, readings_copy
from processors.timescale_sink import StoredReadings, store_readings
from tests.benchmarks.contest import OURS, Contest, Row
from tests.benchmarks.servers import own_place
from tests.benchmarks.settings import Size

SERIES = 10_000
START_US = 1_750_032_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
TEXTBOOK_ROWS = 1000
INSERT = "INSERT INTO city.readings (series_id, time, value, flags) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"
STORED = "SELECT (SELECT count(*) - 1 FROM city.readings) + (SELECT count(*) FROM unkeyed)"
UNKEYED = "CREATE TABLE unkeyed (series_id int, time timestamptz, value double precision, flags int)"

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Writer: TypeAlias = Callable[[Connection, StoredReadings], Awaitable[object]]


def run(stack: LocalStack, size: Size) -> Iterator[Row]:
    """One batch of new readings of 10,000 series."""
    batch = new_readings(size.rows)
    writers: dict[str, Writer] = {
        OURS: ours,
        "copy_records_to_table": copy_records,
        "executemany, 1,000 rows each": executemany,
        "plain binary COPY, same table": plain_copy,
        "plain binary COPY, unkeyed table": unkeyed_copy,
    }
    with own_place(stack) as place:
        asyncio.run(execute(place.dsn, UNKEYED))
        contestants = {name: functools.partial(rate, place.dsn, writer, batch) for name, writer in writers.items()}
        case = f"{size.rows:,} new rows, {SERIES:,} series"
        yield from Contest("B3 database", case, "rows/s", contestants, more_is_better=True).run(size.runs)


def new_readings(rows: int) -> StoredReadings:
    """Rows in the order the processor gives them: by series and time."""
    chance = np.random.default_rng(1)
    series, times = np.divmod(np.arange(rows), max(1, rows // SERIES))
    return StoredReadings(
        series.astype(np.int32) + 1, START_US + times * 10_000_000, chance.gamma(4, 10, rows), np.zeros(rows, np.int32)
    )


async def ours(connection: Connection, batch: StoredReadings) -> None:
    """As the processor stores a batch."""
    async with connection.transaction():
        outcome = await store_readings(connection, batch, np.zeros(len(batch), np.bool_))
    assert outcome.new.all()


async def copy_records(connection: Connection, batch: StoredReadings) -> None:
    """What asyncpg offers for many rows: one tuple for each."""
    async with connection.transaction():
        await connection.copy_records_to_table(
            "readings", schema_name="city", columns=READING_COLUMNS, records=tuples(batch)
        )


async def executemany(connection: Connection, batch: StoredReadings) -> None:
    """The textbook."""
    rows = tuples(batch)
    for low in range(0, len(rows), TEXTBOOK_ROWS):
        await connection.executemany(INSERT, rows[low : low + TEXTBOOK_ROWS])


async def plain_copy(connection: Connection, batch: StoredReadings) -> None:
    """The same stream, nothing around it."""
    async with connection.transaction():
        await copy_binary(connection, "readings", "city", READING_COLUMNS, stream(batch))


async def unkeyed_copy(connection: Connection, batch: StoredReadings) -> None:
    """The same stream into a table that checks nothing."""
    async with connection.transaction():
        await copy_binary(connection, "unkeyed", "public", READING_COLUMNS, stream(batch))


def stream(batch: StoredReadings) -> memoryview:
    """The batch as one COPY stream."""
    return readings_copy(batch.series_id, batch.time_us, batch.values, batch.flags)


def tuples(batch: StoredReadings) -> list[tuple[int, datetime, float, int]]:
    """Columns as rows of Python objects, exact to the microsecond."""
    times = [EPOCH + timedelta(microseconds=at) for at in batch.time_us.tolist()]
    return list(zip(batch.series_id.tolist(), times, batch.values.tolist(), batch.flags.tolist(), strict=True))


def rate(dsn: str, writer: Writer, batch: StoredReadings) -> float:
    """Rows a second of one batch, into tables that were just emptied; the chunk is there already."""
    return asyncio.run(_rate(dsn, writer, batch))


async def _rate(dsn: str, writer: Writer, batch: StoredReadings) -> float:
    own = writer not in {copy_records, executemany}
    connection = (
        await open_session(DatabaseSettings(dsn=SecretStr(dsn)), "bench") if own else await asyncpg.connect(dsn)
    )
    try:
        await connection.execute("TRUNCATE city.readings, unkeyed")
        await connection.execute(
            "INSERT INTO city.readings VALUES (0, timestamptz 'epoch' + $1::bigint * interval '1 us', 0, 0)", START_US
        )
        began = time.perf_counter()
        await writer(connection, batch)
        seconds = time.perf_counter() - began
        stored = await connection.fetchval(STORED)
        assert stored == len(batch), f"{stored} rows of {len(batch)}"
    finally:
        await connection.close(timeout=10)
    return len(batch) / seconds


async def execute(dsn: str, statement: str) -> None:
    """One statement on a connection of its own."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await connection.execute(statement, timeout=60)
    finally:
        await connection.close(timeout=10)
