"""Life cycle of a partition's windows. Pure: readings and watermarks in, rows to write out.

A window is a function of the stored readings. Readings of open 1-minute windows are held in memory; when the watermark passes the end of
a window its row is made, once. The rows of quarter hours that are still open are held too, so that 15m is merged without asking the
database; 1h and 1d are merged from 15m rows, which the caller fetches. `closed_until_us` is stored with the offsets: a new owner reads
from the database only what lies beyond it. A reading before it is late, and the caller revises the windows it belongs to.

Memory: 24 bytes a reading of an open minute, and about 160 bytes (its numbers and a small sketch) a 1-minute row of an unclosed quarter, of
which a partition holds HELD_ROWS_MOST at the most: beyond that they are read back when the quarter ends. Nothing else grows with time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from processors.contract.rows import WindowRows
from processors.kernels.ordering import run_starts
from processors.kernels.starts import FixedWindows, starts_fixed, starts_local_day
from processors.kernels.windows_of import PreviousReading, aggregate, empty_rows, merge
from processors.series import SeriesTable

MINUTE_US: Final = 60_000_000
QUARTER_US: Final = 15 * MINUTE_US
HOUR_US: Final = 60 * MINUTE_US
EVERY_SERIES: Final = 1 << 31
"""Beyond every local series index."""
HELD_ROWS_MOST: Final = 100_000
"""1-minute rows a partition holds for a quarter that is not over, 15 MB: where there are more, it holds none of that quarter's."""


@dataclass(frozen=True, slots=True)
class OpenReadings:
    """n stored readings of open 1-minute windows, in any order; `series` is the local series index."""

    series: npt.NDArray[np.int32]
    time_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    flags: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.series)

    def take(self, index: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> OpenReadings:
        """The readings at `index`."""
        return OpenReadings(self.series[index], self.time_us[index], self.values[index], self.flags[index])


def no_readings() -> OpenReadings:
    """No readings, with the right types."""
    return OpenReadings(np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0), np.empty(0, np.int32))


def joined(parts: Sequence[OpenReadings]) -> OpenReadings:
    """All readings of `parts`, of which there is at least one."""
    return OpenReadings(*(np.concatenate([getattr(part, name) for part in parts]) for name in OpenReadings.__slots__))


@dataclass(frozen=True, slots=True)
class CoarseSpan:
    """Coarse windows that close now: those with `first_us` <= start < `until_us`.

    They are merged from 15m rows: those stored with `first_us` <= start < `stored_until_us`, and the new ones before `until_us`.
    """

    first_us: int
    until_us: int
    stored_until_us: int

    def __bool__(self) -> bool:
        return self.first_us < self.until_us


@dataclass(frozen=True, slots=True)
class Closing:
    """What moving the watermark closed: finished 1m and 15m rows, and which hours and local days are due.

    `first_series`, `until_series`: the range of local series it is of, where a closing comes in parts. `stored_quarters`: the quarters that
    are to be merged from stored 1m rows, once `minutes` are stored too; `quarters` is empty then.
    """

    closed_until_us: int
    minutes: WindowRows
    quarters: WindowRows
    hours: CoarseSpan
    days: CoarseSpan
    first_series: int = 0
    until_series: int = EVERY_SERIES
    stored_quarters: CoarseSpan | None = None


class PartitionWindows:
    """The open windows of one partition."""

    def __init__(
        self,
        table: SeriesTable,
        zone: ZoneInfo,
        *,
        closed_until_us: int | None = None,
        readings: OpenReadings | None = None,
        unclosed_minutes: WindowRows | None = None,
        minutes_are_held: bool = True,
        held_rows_most: int = HELD_ROWS_MOST,
    ) -> None:
        """`readings`: what a new owner found stored beyond `closed_until_us`; `unclosed_minutes`: the 1m rows of its quarter hour.

        `minutes_are_held`: whether those are given; if not, and beyond `held_rows_most`, they are read back when the quarter ends.
        """
        self._table = table
        self._zone = zone
        self.closed_until_us = closed_until_us
        self._open = [] if readings is None or len(readings) == 0 else [readings]
        self._minutes = [] if unclosed_minutes is None else [unclosed_minutes]
        self._holds, self._held_rows_most = minutes_are_held, held_rows_most

    @property
    def open_readings(self) -> int:
        """Readings held for open windows."""
        return sum(len(part) for part in self._open)

    @property
    def held_rows(self) -> int:
        """1-minute rows held for unclosed quarter hours."""
        return sum(len(part) for part in self._minutes)

    def is_late(self, time_us: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """Whether the 1-minute window of each reading is closed."""
        if self.closed_until_us is None:
            return np.zeros(len(time_us), np.bool_)
        return time_us < self.closed_until_us

    def add(self, readings: OpenReadings) -> None:
        """Take stored readings that are not late."""
        if len(readings):
            self._open.append(readings)

    def revise_held(self, rows: WindowRows) -> None:
        """Put revised 1-minute rows in the place of those held; rows of closed quarter hours are not held and pass by."""
        if self.closed_until_us is None or not self._holds:
            return
        rows = rows.take(rows.start_us >= self.closed_until_us - self.closed_until_us % QUARTER_US)
        if len(rows) == 0:
            return
        both = WindowRows.concatenate([*self._minutes, rows])
        order = np.lexsort((np.arange(len(both)), both.start_us, both.series_id))
        heads = run_starts(both.series_id[order], both.start_us[order])
        self._minutes = [both.take(order[np.append(heads[1:], len(order)) - 1])]  # the last of equals is the revision

    def is_due(self, watermark_us: int | None) -> bool:
        """Whether `close` would move on."""
        if watermark_us is None:
            return False
        if self.closed_until_us is None:
            return self.open_readings > 0
        return watermark_us - watermark_us % MINUTE_US > self.closed_until_us

    def size_of_close(self, watermark_us: int) -> int:
        """How many readings and rows `close` goes through."""
        if not self.is_due(watermark_us):
            return 0
        closed_us = self.closed_until_us
        ends_quarter = closed_us is None or watermark_us // QUARTER_US > closed_us // QUARTER_US
        return self.open_readings + (self.held_rows if ends_quarter else 0)

    def rows_of_close(self, watermark_us: int) -> int:
        """How many 1-minute rows `close` makes at the most."""
        if not self.is_due(watermark_us):
            return 0
        if self.closed_until_us is None:
            return self.open_readings
        return min(self.open_readings, len(self._table) * ((watermark_us - self.closed_until_us) // MINUTE_US + 1))

    def close(self, watermark_us: int | None) -> Closing | None:
        """Close what the watermark has passed; None where nothing closes. Updates the table's last reading before the open windows."""
        return next(self.close_in_parts(watermark_us), None)

    def close_in_parts(self, watermark_us: int | None, rows_at_once: int | None = None) -> Iterator[Closing]:
        """`close`, of some series after the others, about `rows_at_once` 1-minute rows a part; take all of them.

        A minute of a million series in one part took 700 MB for a moment.
        """
        if watermark_us is None:
            return
        until = watermark_us - watermark_us % MINUTE_US
        held = self._held()
        if self.closed_until_us is None:
            if len(held) == 0:
                return
            first = int(held.time_us.min())
            self.closed_until_us = min(first - first % MINUTE_US, until)
        since = self.closed_until_us
        if until <= since:
            return
        parts = 1 if rows_at_once is None else self.rows_of_close(watermark_us) // rows_at_once + 1
        closing = held.time_us < until
        self._open, due = [held.take(~closing)], held.take(closing)
        self.closed_until_us, before, self._minutes = until, self._minutes, []
        del held, closing
        bound_us, held_before = until - until % QUARTER_US, self._holds
        stored = None
        if since < bound_us:
            stored = None if held_before else CoarseSpan(since - since % QUARTER_US, bound_us, bound_us)
            self._holds = True  # of the quarter that begins
        bounds = [0, *(len(self._table) * part // parts for part in range(1, parts)), EVERY_SERIES]
        for low, high in pairwise(bounds):
            some = due if parts == 1 else due.take((due.series >= low) & (due.series < high))
            minutes = self._finish_minutes(some)
            if held_before:
                quarters = self._finish_quarters([*self._of_range(before, low, high), minutes], since, bound_us)
            else:
                quarters = empty_rows()
                self._hold(minutes.take(minutes.start_us >= bound_us))
            hours, days = self._hours(since, until), self._days(since, until)
            yield Closing(until, minutes, quarters, hours, days, low, high, stored)

    def _of_range(self, parts: Sequence[WindowRows], low: int, high: int) -> list[WindowRows]:
        """The rows of a range of local series."""
        if (low, high) == (0, EVERY_SERIES):
            return list(parts)
        found = []
        for rows in parts:
            series = self._table.index_of(rows.series_id)
            found.append(rows.take((series >= low) & (series < high)))
        return found

    def _held(self) -> OpenReadings:
        if len(self._open) == 1:
            return self._open[0]
        return joined(self._open) if self._open else no_readings()

    def _finish_minutes(self, readings: OpenReadings) -> WindowRows:
        if len(readings) == 0:
            return empty_rows()
        rows = aggregate(
            self._table.meta,
            readings.series,
            readings.time_us,
            readings.values,
            readings.flags,
            FixedWindows(60),
            PreviousReading(self._table.column("previous_value")),
        )
        last = np.append(run_starts(rows.series_id)[1:], len(rows)) - 1  # the latest window of each series
        series = self._table.index_of(rows.series_id[last])
        self._table.column("previous_time_us")[series] = rows.last_time_us[last]
        self._table.column("previous_value")[series] = rows.last[last]
        return rows

    def _finish_quarters(self, minutes: Sequence[WindowRows], since_us: int, bound_us: int) -> WindowRows:
        """Rows of the quarters that end; 1-minute rows of others are held."""
        minutes = [rows for rows in minutes if len(rows)]
        if since_us >= bound_us or not minutes:
            for rows in minutes:  # no quarter ends: what is held is not put together before one does
                self._hold(rows)
            return empty_rows()
        held = WindowRows.concatenate(minutes)
        done = held.start_us < bound_us
        self._hold(held.take(~done))
        finished = held.take(done)
        return empty_rows() if len(finished) == 0 else merge_quarters(self._table, finished)

    def _hold(self, minutes: WindowRows) -> None:
        if len(minutes) == 0 or not self._holds:
            return
        self._minutes.append(minutes)
        if self.held_rows > self._held_rows_most:
            self._minutes, self._holds = [], False

    def _hours(self, since_us: int, until_us: int) -> CoarseSpan:
        return CoarseSpan(
            since_us - since_us % HOUR_US, until_us - until_us % HOUR_US, since_us - since_us % QUARTER_US
        )

    def _days(self, since_us: int, until_us: int) -> CoarseSpan:
        days, _ = starts_local_day(np.array([since_us, until_us]), self._zone)
        return CoarseSpan(int(days[0]), int(days[1]), since_us - since_us % QUARTER_US)


def merge_quarters(table: SeriesTable, minutes: WindowRows) -> WindowRows:
    """15m rows from 1m rows."""
    return merge(
        table.meta, minutes, table.index_of(minutes.series_id), starts_fixed(minutes.start_us, 900), QUARTER_US
    )


def merge_hours(table: SeriesTable, quarters: WindowRows) -> WindowRows:
    """1h rows from 15m rows."""
    return merge(
        table.meta, quarters, table.index_of(quarters.series_id), starts_fixed(quarters.start_us, 3600), HOUR_US
    )


def merge_days(table: SeriesTable, quarters: WindowRows, zone: ZoneInfo) -> WindowRows:
    """1d rows (local days, 23 to 25 hours) from 15m rows."""
    start, end = starts_local_day(quarters.start_us, zone)
    return merge(table.meta, quarters, table.index_of(quarters.series_id), start, end - start)
