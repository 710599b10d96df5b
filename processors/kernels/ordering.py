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

    `series_idx` >= 0. Readings of a stream arrive nearly in time order, so a stable radix sort by series (linear) is
    tried first; only where that leaves a series out of order are the readings sorted by time.
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
    """Where each run of equal tuples begins; columns of one length n, equal tuples stand together. Empty for n = 0."""
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


def newer_only(
    group: npt.NDArray[np.integer], time_us: npt.NDArray[np.int64], judged_us: npt.NDArray[np.int64]
) -> npt.NDArray[np.intp]:
    """Positions, by (group, time), of what is newer than all of its group that came before it.

    `judged_us` is the time the group had reached before, per element. What is left out depends on the order of arrival alone, never on
    how the arrivals were cut into calls.
    """
    at = np.flatnonzero(time_us > judged_us)
    at = at[np.argsort(group[at], kind="stable")]
    of, when = group[at].astype(np.int64), time_us[at]
    if not ((of[1:] == of[:-1]) & (when[1:] <= when[:-1])).any():
        return at
    moment = np.unique(when, return_inverse=True)[1]
    # one number that rises with (group, time), so that one running maximum serves all groups
    place = of * (int(moment.max()) + 1) + moment
    newer = np.ones(len(place), np.bool_)
    newer[1:] = place[1:] > np.maximum.accumulate(place)[:-1]
    return at[newer]
