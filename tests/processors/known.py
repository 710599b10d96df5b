"""Rows of city.series written down one by one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from processors.series import METRIC_CODES, KnownSeries


class Row(NamedTuple):
    """One series as the database has it."""

    series_id: int
    device_id: int
    device: str
    metric: str
    mean_kind: int
    interval_s: int
    partition: int


def known(*rows: Row) -> KnownSeries:
    """The same as columns."""
    devices = sorted({row.device for row in rows})
    return KnownSeries(
        devices,
        np.array([devices.index(row.device) for row in rows], np.int32),
        np.array([row.series_id for row in rows], np.int32),
        np.array([row.device_id for row in rows], np.int32),
        np.array([METRIC_CODES.get(row.metric, -1) for row in rows], np.int16),
        np.array([row.mean_kind for row in rows], np.int8),
        np.array([row.interval_s for row in rows], np.int32),
        np.array([row.partition for row in rows], np.int32),
    )
