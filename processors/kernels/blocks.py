"""Readings cut into blocks that fit the processor's cache: whole series, in order, and runs of windows.

Temporaries of a whole batch would be written to fresh memory, which costs more than the arithmetic (measured: 10 M readings took
twice as long in one piece).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from processors.kernels.ordering import is_ordered, order_by_series, sort_by_series_and_time

IndexArray = npt.NDArray[np.intp]
Int64Array = npt.NDArray[np.int64]

_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Readings:
    """n readings as columns; `length_us`: length of the window of each, None where all windows are equally long."""

    series: npt.NDArray[np.int32]
    time_us: Int64Array
    value: npt.NDArray[np.float64]
    flags: npt.NDArray[np.integer]
    start_us: Int64Array
    length_us: Int64Array | None

    def __len__(self) -> int:
        return len(self.series)

    def cut(self, part: slice) -> Readings:
        """The readings of a range, without copying them."""
        length_us = None if self.length_us is None else self.length_us[part]
        return Readings(
            self.series[part], self.time_us[part], self.value[part], self.flags[part], self.start_us[part], length_us
        )

    def take(self, at: IndexArray, series: npt.NDArray[np.int32] | None = None) -> Readings:
        """The readings at positions `at`; `series` spares fetching that column where it is known."""
        return Readings(
            self.series.take(at) if series is None else series,
            self.time_us.take(at),
            self.value.take(at),
            self.flags.take(at),
            self.start_us.take(at),
            None if self.length_us is None else self.length_us.take(at),
        )


def blocks_of_series(readings: Readings, m: int) -> Iterator[Readings]:
    """All readings of m series in blocks of whole series, about _BLOCK readings each, rising; as they came within a series."""
    n = len(readings)
    if n <= _BLOCK:
        yield readings
        return
    counts = np.bincount(readings.series, minlength=m)
    ends = np.cumsum(counts)
    cuts = np.unique(np.append(np.searchsorted(ends, np.arange(_BLOCK, n, _BLOCK)), m)).tolist()
    order = None if is_ordered(readings.series, readings.time_us) else order_by_series(readings.series)
    for first, last in pairwise([0, *cuts] if cuts[0] else cuts):
        part = slice(int(ends[first - 1]) if first else 0, int(ends[last - 1]))
        if order is None:
            yield readings.cut(part)
        else:
            yield readings.take(order[part], np.repeat(np.arange(first, last, dtype=np.int32), counts[first:last]))


def in_order(readings: Readings) -> Readings:
    """The readings by (series, time, value). ValueError where a window start falls while time rises."""
    if not is_ordered(readings.series, readings.time_us):
        readings = readings.take(sort_by_series_and_time(readings.series, readings.time_us))
    same = readings.series[1:] == readings.series[:-1]
    if (same & (readings.time_us[1:] == readings.time_us[:-1])).any():
        # the store holds one value a moment; a caller who gives more must still not depend on the order of arrival
        readings = readings.take(np.lexsort((readings.value, readings.time_us, readings.series)))
    if (same & (readings.start_us[1:] < readings.start_us[:-1])).any():
        raise ValueError("start_us falls while time rises within a series; a start must be a function of the time")
    return readings


def blocks_of_runs(starts: IndexArray, n: int) -> Iterator[tuple[slice, slice]]:
    """Ranges (of runs, of the n elements they are made of) of about _BLOCK elements each; a run is never cut."""
    if n <= _BLOCK:
        yield slice(0, len(starts)), slice(0, n)
        return
    edges = np.unique(np.append(np.searchsorted(starts, np.arange(0, n, _BLOCK)), len(starts))).tolist()
    for first, last in pairwise(edges):
        yield slice(first, last), slice(int(starts[first]), int(starts[last]) if last < len(starts) else n)
