"""Duplicates within a batch: of readings with the same series and time the one that arrived first is kept. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from processors.kernels.ordering import run_starts, sort_by_series_and_time


def first_arrivals(series: npt.NDArray[np.int32], time_us: npt.NDArray[np.int64]) -> npt.NDArray[np.intp]:
    """Positions of the readings to keep of n in order of arrival, sorted by (series, time)."""
    order = sort_by_series_and_time(series, time_us)
    starts = run_starts(series[order], time_us[order])
    if len(starts) == len(order):
        return order
    # equal pairs may stand in any order after the sort; the smallest position is the one that came first
    return np.minimum.reduceat(order, starts)
