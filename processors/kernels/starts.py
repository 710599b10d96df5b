"""Window starts: which window a moment belongs to. Windows are half open, [start, start + length)."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

Int64Array = npt.NDArray[np.int64]

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_US = dt.timedelta(microseconds=1)


class Windows(Protocol):
    """Which windows there are: a function of the time that never falls while time rises."""

    def starts(self, time_us: Int64Array) -> Int64Array:
        """Start of the window of each moment."""

    def lengths(self, start_us: Int64Array) -> Int64Array:
        """Length in microseconds of the windows that begin at the starts."""


@dataclass(frozen=True, slots=True)
class FixedWindows:
    """Windows of `size_s` seconds, counted from the epoch."""

    size_s: int

    def starts(self, time_us: Int64Array) -> Int64Array:
        """See `Windows`."""
        return starts_fixed(time_us, self.size_s)

    def lengths(self, start_us: Int64Array) -> Int64Array:
        """See `Windows`."""
        return np.full(len(start_us), self.size_s * 1_000_000)


@dataclass(frozen=True, slots=True)
class LocalDays:
    """The calendar days of a time zone."""

    zone: ZoneInfo | str

    def starts(self, time_us: Int64Array) -> Int64Array:
        """See `Windows`."""
        return starts_local_day(time_us, self.zone)[0]

    def lengths(self, start_us: Int64Array) -> Int64Array:
        """See `Windows`."""
        start, end = starts_local_day(start_us, self.zone)
        return end - start


def starts_fixed(time_us: Int64Array, size_s: int) -> Int64Array:
    """Start (us) of the `size_s` long window of each moment, windows counted from the epoch; floors before 1970 too."""
    size_us = size_s * 1_000_000
    return time_us // size_us * size_us  # not a - a % b: numpy divides by a constant in vectors, but not for %


def starts_local_day(time_us: Int64Array, zone: ZoneInfo | str) -> tuple[Int64Array, Int64Array]:
    """Start and end (us, UTC) of the local calendar day of `zone` that each moment falls in.

    A day lasts 23 or 25 hours where clocks change. Years 2 to 9998; others are a ValueError.
    """
    if len(time_us) == 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    key = zone if isinstance(zone, str) else str(zone)
    first, last = (_year_of(int(moment)) for moment in (time_us.min(), time_us.max()))
    if last - first <= 2:
        bounds = _day_bounds(key, first, last)
        low = int(np.searchsorted(bounds, time_us.min(), "right")) - 1
        high = int(np.searchsorted(bounds, time_us.max(), "right")) + 1
        bounds = bounds[low:high]  # a batch spans few days: the search then costs two or three comparisons
        at = np.searchsorted(bounds, time_us, "right")
        return bounds[at - 1], bounds[at]
    start, end = np.empty_like(time_us), np.empty_like(time_us)
    years = time_us.astype("M8[us]").astype("M8[Y]").astype(np.int64) + 1970
    for year in np.unique(years):
        of_year = years == year
        start[of_year], end[of_year] = starts_local_day(time_us[of_year], key)
    return start, end


def _year_of(time_us: int) -> int:
    year = int(np.datetime64(time_us, "us").astype("M8[Y]").astype(np.int64)) + 1970
    if not 2 <= year <= 9998:
        raise ValueError(f"a reading's time lies in the year {year}; local days are known from year 2 to 9998")
    return year


@lru_cache(maxsize=64)
def _day_bounds(zone: str, first_year: int, last_year: int) -> Int64Array:
    """UTC microseconds of every local midnight from a day before `first_year` to two days after `last_year`.

    A midnight that clocks skip resolves to the moment of the skip, one that comes twice to the first (PEP 495, fold 0).
    """
    tz = ZoneInfo(zone)
    day = dt.date(first_year, 1, 1) - dt.timedelta(days=2)
    stop = dt.date(last_year, 12, 31) + dt.timedelta(days=3)
    moments = []
    while day <= stop:
        midnight = dt.datetime(day.year, day.month, day.day, tzinfo=tz)
        moments.append((midnight.astimezone(dt.UTC) - _EPOCH) // _US)
        day += dt.timedelta(days=1)
    return np.maximum.accumulate(np.array(moments, np.int64))
