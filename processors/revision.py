"""Late data: every closed window a late reading belongs to is made anew, in the transaction that stores the reading.

1m windows are made from the stored readings; where raw readings of a window have been dropped by retention (its row counts more than is
stored) the late ones are merged into the row instead. Closed 15m, 1h and 1d windows take the late readings in by merging (their cost does
not grow with the length of the window); those of counters are merged anew from finer rows, because a late reading also changes the step of
the reading that follows it, possibly in a later window. Every row replaced gets the next revision.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import replace
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from ingest.contract.sensor_kinds import Mean
from processors.contract.rows import WindowRows
from processors.kernels.ordering import run_starts
from processors.kernels.starts import FixedWindows, LocalDays, Windows, starts_fixed
from processors.kernels.windows_of import PreviousReading, SeriesMeta, aggregate, empty_rows, merge
from processors.row_store import RowStore
from processors.series import NEVER_US, SeriesTable
from processors.windows import MINUTE_US, OpenReadings

Int64Array = npt.NDArray[np.int64]

_COARSE = (("windows_15m", "windows_1m"), ("windows_1h", "windows_15m"), ("windows_1d", "windows_15m"))
_SIZE_S = {"windows_15m": 900, "windows_1h": 3600}
_JOIN_GAP_US = 10 * MINUTE_US
"""Affected minutes of a series this close are read as one range: a few rows more are cheaper than another index probe."""


class Revision:
    """Revises the windows of one batch's late readings; `closed_until_us` is per local series (its partition's)."""

    def __init__(self, store: RowStore, table: SeriesTable, zone: ZoneInfo, closed_until_us: Int64Array) -> None:
        self._store, self._table, self._zone = store, table, zone
        self._closed_until_us = closed_until_us

    async def run(self, late: OpenReadings) -> dict[str, WindowRows]:
        """Rows written, by table. `late`: stored just now, sorted by (series, time), each before its partition's `closed_until_us`."""
        if len(late) == 0:
            return {}
        series, start = await self._affected_minutes(late)
        written = {"windows_1m": await self._minutes(late, series, start)}
        for table, finer in _COARSE:
            written[table] = await self._coarse(table, finer, late, (series, start))
        self._move_previous(late)
        return written

    async def _affected_minutes(self, late: OpenReadings) -> tuple[npt.NDArray[np.int32], Int64Array]:
        """Distinct (series, minute) to make anew: those of the late readings, and for counters those of the readings after them."""
        series, start = late.series, starts_fixed(late.time_us, 60)
        counters = late.take(self._table.column("mean_kind")[late.series] == Mean.COUNTER)
        if len(counters):
            ids = self._table.column("series_id")[counters.series].tolist()
            at = await self._store.times_after(ids, counters.time_us.tolist())
            found = at != NEVER_US
            of, at = counters.series[found], at[found]
            closed = at < self._closed_until_us[of]
            series = np.concatenate([series, of[closed]])
            start = np.concatenate([start, starts_fixed(at[closed], 60)])
        return _distinct(series, start)

    async def _minutes(self, late: OpenReadings, series: npt.NDArray[np.int32], start: Int64Array) -> WindowRows:
        ids = self._table.column("series_id")[series]
        old = await self._store.fetch_rows("windows_1m", ids.tolist(), start.tolist(), (start + MINUTE_US).tolist())
        new = await self._from_stored(series, start)
        added = await asyncio.to_thread(self._aggregate, late, FixedWindows(60))
        rows = _mend_dropped(self._table, old, new, added)
        rows = _next_revision(old, rows)
        await self._store.replace_rows("windows_1m", rows)
        return rows

    async def _from_stored(self, series: npt.NDArray[np.int32], start: Int64Array) -> WindowRows:
        """The 1m rows at (series, start) made from stored readings."""
        heads = run_starts(series) if len(series) else np.empty(0, np.intp)
        breaks = np.ones(len(series), np.bool_)
        breaks[1:] = start[1:] - start[:-1] > _JOIN_GAP_US
        breaks[heads] = True
        first = np.flatnonzero(breaks)
        last = np.append(first[1:], len(series)) - 1
        run_series, lo, hi = series[first], start[first], start[last] + MINUTE_US
        ids = self._table.column("series_id")[run_series]
        readings = await self._store.fetch_readings(ids.tolist(), lo.tolist(), hi.tolist())
        previous = await counter_values_before(self._store, self._table, run_series, lo)
        # each range is a series of its own here: two ranges of one counter have different predecessors
        meta = SeriesMeta(
            ids, self._table.column("mean_kind")[run_series], self._table.column("interval_s")[run_series]
        )
        rows = await asyncio.to_thread(
            aggregate, meta, readings.series, readings.time_us, readings.values, readings.flags,
            FixedWindows(60), PreviousReading(previous),
        )  # fmt: skip
        return rows.take(_is_among(rows.series_id, rows.start_us, self._table.column("series_id")[series], start))

    async def _coarse(
        self, table: str, finer: str, late: OpenReadings, minutes: tuple[npt.NDArray[np.int32], Int64Array]
    ) -> WindowRows:
        kind = self._table.column("mean_kind")
        series, start, end = self._closed_windows(table, *minutes)
        if len(series) == 0:
            return empty_rows()
        old = await self._store.fetch_rows(
            table,
            self._table.column("series_id")[series].tolist(),
            start.tolist(),
            (start + 1).tolist(),
        )
        counter = kind[series] == Mean.COUNTER
        parts = [empty_rows()]
        if not counter.all():
            parts.append(await asyncio.to_thread(self._with_late, table, old, late))
        if counter.any():
            ids = self._table.column("series_id")[series[counter]]
            fine = await self._store.fetch_rows(finer, ids.tolist(), start[counter].tolist(), end[counter].tolist())
            parts.append(await asyncio.to_thread(self._merge, table, fine))
        rows = _next_revision(old, WindowRows.concatenate(parts))
        await self._store.replace_rows(table, rows)
        return rows

    def _closed_windows(
        self, table: str, series: npt.NDArray[np.int32], minute: Int64Array
    ) -> tuple[npt.NDArray[np.int32], Int64Array, Int64Array]:
        """The distinct closed windows of `table` that hold the minutes; an open one will be made when it closes."""
        start, end = self._bounds(table, minute)
        closed = end <= self._closed_until_us[series]
        series, start = _distinct(series[closed], start[closed])
        return series, start, self._bounds(table, start)[1]

    def _windows(self, table: str) -> Windows:
        return LocalDays(self._zone) if table == "windows_1d" else FixedWindows(_SIZE_S[table])

    def _bounds(self, table: str, time_us: Int64Array) -> tuple[Int64Array, Int64Array]:
        start = self._windows(table).starts(time_us)
        return start, start + self._windows(table).lengths(start)

    def _with_late(self, table: str, old: WindowRows, late: OpenReadings) -> WindowRows:
        """The old rows of all but counters with the late readings merged in; late readings of open windows stay out."""
        end = self._bounds(table, late.time_us)[1]
        mine = (self._table.column("mean_kind")[late.series] != Mean.COUNTER) & (
            end <= self._closed_until_us[late.series]
        )
        added = self._aggregate(late.take(mine), self._windows(table))
        index = self._table.index_of(old.series_id)
        old = old.take(self._table.column("mean_kind")[index] != Mean.COUNTER)
        return self._merge(table, WindowRows.concatenate([old, added]))

    def _merge(self, table: str, rows: WindowRows) -> WindowRows:
        start, end = self._bounds(table, rows.start_us)
        return merge(self._table.meta, rows, self._table.index_of(rows.series_id), start, end - start)

    def _aggregate(self, readings: OpenReadings, windows: Windows) -> WindowRows:
        return aggregate(
            self._table.meta, readings.series, readings.time_us, readings.values, readings.flags, windows,
            PreviousReading(np.full(len(self._table), np.nan)),
        )  # fmt: skip

    def _move_previous(self, late: OpenReadings) -> None:
        """The last reading before the open windows may be a late one; sorted by time, so the last assignment is the latest."""
        previous_time, previous_value = self._table.column("previous_time_us"), self._table.column("previous_value")
        heads = run_starts(late.series)
        ends = np.append(heads[1:], len(late)) - 1
        series, time_us, value = late.series[ends], late.time_us[ends], late.values[ends]
        newer = time_us > previous_time[series]
        previous_time[series[newer]] = time_us[newer]
        previous_value[series[newer]] = value[newer]


async def counter_values_before(
    store: RowStore, table: SeriesTable, series: npt.NDArray[np.int32], time_us: Int64Array
) -> npt.NDArray[np.float64]:
    """The stored value before each moment of local series; only counters need one, NaN for all others and where there is none."""
    values = np.full(len(series), np.nan)
    counters = np.flatnonzero(table.column("mean_kind")[series] == Mean.COUNTER)
    if len(counters):
        ids = table.column("series_id")[series[counters]].tolist()
        values[counters] = await store.values_before(ids, time_us[counters].tolist())
    return values


def _distinct(series: npt.NDArray[np.int32], start: Int64Array) -> tuple[npt.NDArray[np.int32], Int64Array]:
    order = np.lexsort((start, series))
    heads = order[run_starts(series[order], start[order])]
    return series[heads], start[heads]


def _positions(rows: WindowRows) -> dict[tuple[int, int], int]:
    return {key: at for at, key in enumerate(zip(rows.series_id.tolist(), rows.start_us.tolist(), strict=True))}


def _is_among(
    series_id: npt.NDArray[np.int32], start: Int64Array, wanted_id: npt.NDArray[np.int32], wanted_start: Int64Array
) -> npt.NDArray[np.bool_]:
    wanted = set(zip(wanted_id.tolist(), wanted_start.tolist(), strict=True))
    keys = zip(series_id.tolist(), start.tolist(), strict=True)
    return np.fromiter((key in wanted for key in keys), np.bool_, len(series_id))


def _counts(rows: WindowRows) -> Mapping[tuple[int, int], int]:
    return {key: int(rows.count[at]) for key, at in _positions(rows).items()}


def _mend_dropped(table: SeriesTable, old: WindowRows, new: WindowRows, added: WindowRows) -> WindowRows:
    """`new`, except where the old row knew more readings than are stored now: there the old row with the late readings merged in."""
    old_counts, new_counts, late_counts = _counts(old), _counts(new), _counts(added)
    dropped = [key for key, count in old_counts.items() if count + late_counts.get(key, 0) > new_counts.get(key, 0)]
    if not dropped:
        return new
    both = WindowRows.concatenate([_of_keys(old, dropped), _of_keys(added, dropped)])
    mended = merge(table.meta, both, table.index_of(both.series_id), both.start_us, MINUTE_US)
    gone = set(dropped)
    kept = np.array([at for key, at in _positions(new).items() if key not in gone], np.intp)
    return WindowRows.concatenate([new.take(kept), mended])


def _of_keys(rows: WindowRows, keys: Iterable[tuple[int, int]]) -> WindowRows:
    positions = _positions(rows)
    return rows.take(np.array([positions[key] for key in keys if key in positions], np.intp))


def _next_revision(old: WindowRows, new: WindowRows) -> WindowRows:
    """`new` with the revision after the one of the row it replaces; 0 where there was none."""
    positions = _positions(old)
    revision = np.zeros(len(new), np.int32)
    for key, at in _positions(new).items():
        if key in positions:
            revision[at] = old.revision[positions[key]] + 1
    return replace(new, revision=revision)
