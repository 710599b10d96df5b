"""Series as rules see them, written down one by one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from processors.condition_board import WatchedSeries
from processors.condition_pairs import NONE_US


@dataclass(frozen=True, slots=True)
class One:
    """A series; `last_time_us`: its newest reading."""

    series_id: int
    device_id: int
    device: str
    metric: str
    interval_s: int
    last_time_us: int = NONE_US


def columns_of(series: Sequence[One]) -> WatchedSeries:
    """The same as columns."""
    devices, metrics = sorted({one.device for one in series}), sorted({one.metric for one in series})
    return WatchedSeries(
        np.array([one.series_id for one in series], np.int32),
        np.array([one.device_id for one in series], np.int32),
        np.array([devices.index(one.device) for one in series], np.int32),
        np.array([metrics.index(one.metric) for one in series], np.int16),
        np.array([one.interval_s for one in series], np.int32),
        np.array([one.last_time_us for one in series], np.int64),
        devices,
        metrics,
    )
