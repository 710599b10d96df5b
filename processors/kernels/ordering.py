"""Order readings by (series, time), and find where one group of equal keys ends and the next begins."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

IntArray = npt.NDArray[np.integer]


def is_ordered(series_idx: IntArray, time_us: npt.NDArray[np.int64]) -> bool:
    """Whether the readings already stand by (series, time), equal times allowed."""
    step = series_idx[1:] > series_idx[:-1]
    step |= (series_idx[1:] == series_idx[:-1]) & (time_us[1:] >= time_us[:-1])
    return bool(step.all())


def sort_by_series_and_time(series_idx: IntArray, time_us: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Positions that put n readings in order of (series index, event time); equal pairs come in any order.

    `series_idx` >= 0. Readings of a stream arrive nearly in time order, so a stable radix sort by series (linear) is tried
    first; only where that leaves a series out of order are its readings sorted by time.
    """
    n = len(series_idx)
    if is_ordered(series_idx, time_us):
        return np.arange(n, dtype=np.intp)
    if int(series_idx.max()) < 1 << 16:
        order = np.argsort(series_idx.astype(np.uint16), kind="stable")  # 16 bits: numpy's radix sort
        if is_ordered(series_idx[order], time_us[order]):
            return order
    low, high = int(time_us.min()), int(time_us.max())
    time_bits = (high - low).bit_length()
    if time_bits + int(series_idx.max()).bit_length() > 63:
        return np.lexsort((time_us, series_idx))
    key = series_idx.astype(np.int64) << time_bits
    key += time_us - low
    return np.argsort(key)


def run_starts(*columns: npt.NDArray[np.integer]) -> npt.NDArray[np.intp]:
    """Where each run of equal tuples begins; the columns have one length n and equal tuples stand together. Empty for n = 0."""
    n = len(columns[0])
    change = np.ones(n, np.bool_)
    if n:
        change[1:] = columns[0][1:] != columns[0][:-1]
        for column in columns[1:]:
            change[1:] |= column[1:] != column[:-1]
    return np.flatnonzero(change)


def run_lengths(starts: npt.NDArray[np.intp], n: int) -> npt.NDArray[np.intp]:
    """Lengths of the runs that begin at `starts` in an array of n."""
    return np.diff(starts, append=n)
