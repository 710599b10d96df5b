"""Keeps the runs of equal values of all series, so that `quality` can flag stuck sensors as readings arrive."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from processors.columns import Columns
from processors.kernels.ordering import sort_by_series_and_time
from processors.quality import StuckLimits, StuckRuns, judge_stuck, limits_of
from processors.row_store import RowStore
from processors.series import METRIC_LIST, SeriesTable


class StuckWatch:
    """Runs per local series of one table."""

    def __init__(self, table: SeriesTable) -> None:
        self._table = table
        self._by_metric = limits_of(metric.name for metric in METRIC_LIST)
        self._runs = StuckRuns.none(0)

    async def remember(self, store: RowStore, series: npt.NDArray[np.intp]) -> None:
        """Read back the newest stored readings of series that come up for the first time, so that a restart does not forget a run.

        As far back as the limits look: the shortest time that is stuck, or twice the expected time of the readings it takes.
        """
        self._runs = self._runs.extended(len(self._table))
        limits = self._limits()
        last_us = self._table.column("last_time_us")[series]
        wanted = (limits.min_count[limits.kinds_of(series)] > 0) & (last_us > 0)
        series, last_us = series[wanted], last_us[wanted]
        if len(series) == 0:
            return
        interval_us = self._table.column("interval_s")[series].astype(np.int64) * 1_000_000
        kind = limits.kinds_of(series)
        back_us = np.maximum(limits.min_duration_us[kind], 2 * limits.min_count[kind] * interval_us)
        ids = self._table.column("series_id")[series].tolist()
        stored = await store.fetch_readings(ids, (last_us - back_us).tolist(), (last_us + 1).tolist())
        order = sort_by_series_and_time(stored.series, stored.time_us)
        local = series[stored.series[order]].astype(np.int32)
        self._runs.apply(judge_stuck(limits, self._runs, local, stored.time_us[order], stored.values[order]))

    def flags(self, columns: Columns) -> npt.NDArray[np.int32]:
        """Flag.STUCK or 0 of readings in order of arrival. A batch that fails takes the whole session with it, these runs too."""
        judged = judge_stuck(self._limits(), self._runs, columns.series, columns.time_us, columns.values)
        self._runs.apply(judged)
        return judged.flags

    def _limits(self) -> StuckLimits:
        return replace(self._by_metric, kind=self._table.column("metric"))
