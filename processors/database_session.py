"""A connection as the processors use it: times are integers (microseconds since 1970), staging tables are there."""

from __future__ import annotations

from collections.abc import Sequence

import asyncpg

from processors.contract.database import DatabaseSettings
from processors.pgcopy import PG_EPOCH_US

_STAGING = """
CREATE TEMP TABLE staged_readings (series_id int, time timestamptz, value double precision, flags int) ON COMMIT DELETE ROWS;
CREATE TEMP TABLE staged_windows (LIKE city.windows_1m) ON COMMIT DELETE ROWS;
"""


async def open_session(settings: DatabaseSettings, application: str) -> asyncpg.Connection[asyncpg.Record]:
    """Connect. Closed by the caller: `terminate()` after any error, since the state of the connection is then unknown."""
    connection = await settings.connect(application)
    try:
        # a time as (microseconds since 2000,): no datetime object per row, no time zone to get wrong
        await connection.set_type_codec(
            "timestamptz",
            schema="pg_catalog",
            encoder=lambda time_us: (time_us - PG_EPOCH_US,),
            decoder=lambda wire: wire[0] + PG_EPOCH_US,
            format="tuple",
        )
        await connection.execute(_STAGING)
    except BaseException:
        connection.terminate()
        raise
    return connection


async def copy_binary(
    connection: asyncpg.Connection[asyncpg.Record], table: str, schema: str, columns: Sequence[str], stream: memoryview
) -> None:
    """COPY a binary stream (`pgcopy`) into a table."""
    await connection.copy_to_table(
        table,
        schema_name=schema,
        columns=columns,
        format="binary",
        source=stream,  # type: ignore[arg-type]  # asyncpg takes any buffer; its stubs know only files and iterators
    )
