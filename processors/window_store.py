"""Window rows in the database: written when they close, read back for coarser windows, put in the place of older revisions."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TypeAlias

import asyncpg
import numpy as np
import numpy.typing as npt

from processors.contract.binary_column import BinaryColumn
from processors.contract.rows import WindowRows
from processors.contract.tables import WINDOW_COLUMNS, WINDOW_TABLES
from processors.database_session import copy_binary
from processors.kernels.windows_of import empty_rows
from processors.pgcopy import FIXED_COLUMNS, NULLABLE, window_rows, windows_copy
from processors.series import NEVER_US
from processors.windows import OpenReadings

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_FIELDS = {"start": "start_us", "first_time": "first_time_us", "last_time": "last_time_us"}
_LIST = ", ".join(f'"{column}"' for column in WINDOW_COLUMNS)
_PREFIXED = ", ".join(f'w."{column}"' for column in WINDOW_COLUMNS)
_NUMBERS = ", ".join(
    f"""coalesce(w."{column}", 'NaN')""" if column in NULLABLE else f'w."{column}"' for column in FIXED_COLUMNS
)
_AS_RECORDS = 500
"""Series asked for up to which records are cheaper than two statements."""
_ASSIGNMENTS = ", ".join(
    f'"{column}" = excluded."{column}"' for column in WINDOW_COLUMNS if column not in {"series_id", "start"}
)

_MARK = "INSERT INTO city.fleet_marks (first, until) SELECT * FROM unnest($1::timestamptz[], $2::timestamptz[])"
_QUARTER_US = 900_000_000


class WindowStore:
    """`RowStore` in PostgreSQL, in whatever transaction the connection is in."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def insert_rows(self, table: str, rows: WindowRows) -> None:
        """See `RowStore`."""
        if len(rows) == 0:
            return
        try:
            async with self._connection.transaction():
                await self._copy(_known(table), "city", rows)
            await self._mark(table, rows)
        except asyncpg.UniqueViolationError:
            await self.replace_rows(table, rows)

    async def replace_rows(self, table: str, rows: WindowRows) -> None:
        """See `RowStore`."""
        if len(rows) == 0:
            return
        await self._connection.execute("DELETE FROM pg_temp.staged_windows")
        await self._copy("staged_windows", "pg_temp", rows)
        await self._connection.execute(
            f"INSERT INTO city.{_known(table)} ({_LIST}) SELECT {_LIST} FROM pg_temp.staged_windows ORDER BY series_id, start "
            f"ON CONFLICT (series_id, start) DO UPDATE SET {_ASSIGNMENTS}"
        )
        await self._mark(table, rows)

    async def _mark(self, table: str, rows: WindowRows) -> None:
        """Tell `fleet` which quarters of an hour have changed."""
        if table == "windows_15m":
            first, until = fleet_spans(rows.start_us)
            await self._connection.execute(_MARK, first.tolist(), until.tolist())

    async def _copy(self, table: str, schema: str, rows: WindowRows) -> None:
        await copy_binary(self._connection, table, schema, WINDOW_COLUMNS, windows_copy(rows))

    async def fetch_rows(
        self, table: str, series_id: Sequence[int], first_us: Sequence[int], until_us: Sequence[int]
    ) -> WindowRows:
        """See `RowStore`."""
        if len(series_id) > _AS_RECORDS:
            return await self._fetch_columns(_known(table), series_id, first_us, until_us)
        records = await self._connection.fetch(
            # the range belongs to each series, so that the primary key (series_id, start) serves it
            f"SELECT {_PREFIXED} FROM unnest($1::int[], $2::timestamptz[], $3::timestamptz[]) AS k(series_id, first, until) "
            f"CROSS JOIN LATERAL (SELECT * FROM city.{_known(table)} r WHERE r.series_id = k.series_id "
            "AND r.start >= k.first AND r.start < k.until) w",
            series_id,
            first_us,
            until_us,
        )
        return _rows(records)

    async def _fetch_columns(
        self, table: str, series_id: Sequence[int], first_us: Sequence[int], until_us: Sequence[int]
    ) -> WindowRows:
        """Rows of many series, without an object for each of their 23 values: the numbers by one binary COPY, the sketches as one string.

        Two statements see the same rows: nobody else writes those of series that are ours.
        """
        source = (
            "FROM unnest($1::int[], $2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY AS k(series_id, first, until, position) "
            f"CROSS JOIN LATERAL (SELECT * FROM city.{table} r WHERE r.series_id = k.series_id "
            "AND r.start >= k.first AND r.start < k.until) w"
        )
        received = io.BytesIO()
        await self._connection.copy_from_query(
            f"SELECT {_NUMBERS}, octet_length(w.sketch) {source} ORDER BY k.position, w.start",
            series_id, first_us, until_us, output=received, format="binary",
        )  # fmt: skip
        sketches = await self._connection.fetchval(
            f"SELECT string_agg(w.sketch, ''::bytea ORDER BY k.position, w.start) {source}",
            series_id,
            first_us,
            until_us,
        )
        return window_rows(received.getbuffer(), sketches or b"")

    async def fetch_readings(
        self, series_id: Sequence[int], first_us: Sequence[int], until_us: Sequence[int]
    ) -> OpenReadings:
        """See `RowStore`."""
        records = await self._connection.fetch(
            "SELECT k.position, r.time, r.value, r.flags "
            "FROM unnest($1::int[], $2::timestamptz[], $3::timestamptz[]) WITH ORDINALITY AS k(series_id, first, until, position) "
            "CROSS JOIN LATERAL (SELECT time, value, flags FROM city.readings r WHERE r.series_id = k.series_id "
            "AND r.time >= k.first AND r.time < k.until) r",
            series_id,
            first_us,
            until_us,
        )
        position, time_us, values, flags = zip(*records, strict=True) if records else ((), (), (), ())
        return OpenReadings(
            np.array(position, np.int32) - 1,
            np.array(time_us, np.int64),
            np.array(values, np.float64),
            np.array(flags, np.int32),
        )

    async def values_before(self, series_id: Sequence[int], time_us: Sequence[int]) -> npt.NDArray[np.float64]:
        """See `RowStore`."""
        values = np.full(len(series_id), np.nan)
        for row in await self._connection.fetch(
            "SELECT k.position, p.value FROM unnest($1::int[], $2::timestamptz[]) WITH ORDINALITY AS k(series_id, time, position) "
            "CROSS JOIN LATERAL (SELECT value FROM city.readings r WHERE r.series_id = k.series_id AND r.time < k.time "
            "ORDER BY time DESC LIMIT 1) p",
            series_id,
            time_us,
        ):
            values[row["position"] - 1] = row["value"]
        return values

    async def times_after(self, series_id: Sequence[int], time_us: Sequence[int]) -> npt.NDArray[np.int64]:
        """See `RowStore`."""
        times = np.full(len(series_id), NEVER_US, np.int64)
        for row in await self._connection.fetch(
            "SELECT k.position, n.time FROM unnest($1::int[], $2::timestamptz[]) WITH ORDINALITY AS k(series_id, time, position) "
            "CROSS JOIN LATERAL (SELECT time FROM city.readings r WHERE r.series_id = k.series_id AND r.time > k.time "
            "ORDER BY time LIMIT 1) n",
            series_id,
            time_us,
        ):
            times[row["position"] - 1] = row["time"]
        return times


def fleet_spans(start_us: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Spans without a hole that hold all quarters of an hour beginning at `start_us` (n >= 1): first and end of each, microseconds."""
    starts = np.unique(start_us)
    heads = np.flatnonzero(np.diff(starts, prepend=starts[0] - 2 * _QUARTER_US) != _QUARTER_US)
    return starts[heads], starts[np.append(heads[1:], len(starts)) - 1] + _QUARTER_US


def _rows(records: Sequence[asyncpg.Record]) -> WindowRows:
    if not records:
        return empty_rows()
    types = {name: getattr(empty_rows(), name).dtype for name in WindowRows.__slots__ if name != "sketch"}
    columns = dict(zip(WINDOW_COLUMNS, zip(*records, strict=True), strict=True))
    sketch = BinaryColumn.of(columns.pop("sketch"))
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for column, values in columns.items():
        name = _FIELDS.get(column, column)
        arrays[name] = np.array(values, dtype=types[name])  # None becomes NaN
    return WindowRows(**arrays, sketch=sketch)  # type: ignore[arg-type]  # each dtype is taken from the class's own empty rows


def _known(table: str) -> str:
    if table not in WINDOW_TABLES:
        raise ValueError(f"{table!r} is no window table")
    return table
