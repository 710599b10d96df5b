"""Stuck sensors: the same value again and again where nature would move it. Pure; gives flags to OR into those of the readings.

Judged in order of arrival: a reading newer than everything of its series before it continues or ends the series' run of equal
values; an older one (late, or a second one of the same moment) is left alone and changes nothing. So the flags are a function of the
order in which readings are stored: a replay gives the same, however it is cut into batches. The readings at the head of a run
stay unflagged, because when they were stored nothing was known against them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from ingest.contract.reading import Flag
from ingest.contract.sensor_kinds import METRICS, Mean
from processors.kernels.ordering import newer_only, run_lengths, run_starts

Int64Array = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
_NEVER = np.iinfo(np.int64).min


@dataclass(frozen=True, slots=True)
class StuckLimit:
    """A run of at least `min_count` equal readings over at least `min_duration_s` is stuck; `min_count` 0 switches it off."""

    min_count: int = 12
    min_duration_s: int = 10_800

    def __post_init__(self) -> None:
        if self.min_count < 0 or self.min_count == 1 or self.min_duration_s < 0:
            raise ValueError("min_count must be 0 (off) or at least 2, min_duration_s 0 or more")


OFF = StuckLimit(min_count=0)
_RESTLESS = (
    "air_temperature", "globe_temperature", "dew_point", "relative_humidity", "air_pressure", "sea_level_pressure",
    "wind_speed", "wind_gust", "pm1", "pm2_5", "pm4", "pm10", "no2", "no", "o3", "co2",
    "sound_level", "laeq", "lamax", "voltage",
)  # fmt: skip
DEFAULT_LIMITS: Mapping[str, StuckLimit] = MappingProxyType({name: StuckLimit() for name in _RESTLESS})
"""Metrics that hardly ever stand still for 3 hours and 12 readings. Off elsewhere: a battery, a lamp or a car park at night rightly does.

SO2 and CO are off because clean air leaves them at the detection limit in coarse steps: 2.3 % of Beijing's SO2 would be flagged.
"""


@dataclass(frozen=True, slots=True)
class StuckLimits:
    """Limits of m kinds: min_count int32[m] (0: off), min_duration_us int64[m], the plausible range low, high float64[m].

    `kind` is the kind of each local series; None where each has its own. A row for each series instead was gathered anew every batch.
    A value at an end of its plausible range is at rest, not stuck: no wind, 100 % humidity, no rain.
    """

    min_count: npt.NDArray[np.int32]
    min_duration_us: Int64Array
    low: FloatArray
    high: FloatArray
    kind: npt.NDArray[np.integer[Any]] | None = None

    def kinds_of(self, series: npt.NDArray[np.intp]) -> npt.NDArray[np.integer[Any]]:
        """The kind of each of `series`."""
        return series if self.kind is None else self.kind[series]


@dataclass(frozen=True, slots=True)
class StuckRuns:
    """The run of equal values each of m local series is in: value, time of its first reading, readings so far, newest reading."""

    value: FloatArray
    since_us: Int64Array
    count: npt.NDArray[np.int32]
    last_us: Int64Array

    @classmethod
    def none(cls, m: int) -> StuckRuns:
        """m series of which nothing is known."""
        return cls(np.full(m, np.nan), np.full(m, _NEVER), np.zeros(m, np.int32), np.full(m, _NEVER))

    def extended(self, m: int) -> StuckRuns:
        """The same for m >= len series: new series appeared. Grows by an eighth at least, so that few of many calls copy."""
        if m <= len(self.value):
            return self
        m = max(m, len(self.value) * 9 // 8)
        more = StuckRuns.none(m - len(self.value))
        return StuckRuns(
            np.concatenate((self.value, more.value)),
            np.concatenate((self.since_us, more.since_us)),
            np.concatenate((self.count, more.count)),
            np.concatenate((self.last_us, more.last_us)),
        )

    def apply(self, judged: Judged) -> None:
        """Take over what a call judged, in place: only once its readings are committed, so a failed batch leaves no trace."""
        at = judged.series
        self.value[at], self.since_us[at] = judged.runs.value, judged.runs.since_us
        self.count[at], self.last_us[at] = judged.runs.count, judged.runs.last_us


@dataclass(frozen=True, slots=True)
class Judged:
    """Flags per reading (int32[n], Flag.STUCK or 0) and the runs of the `series` that moved on."""

    flags: npt.NDArray[np.int32]
    series: npt.NDArray[np.intp]
    runs: StuckRuns


def limits_of(metrics: Iterable[str], limits: Mapping[str, StuckLimit] = DEFAULT_LIMITS) -> StuckLimits:
    """Limits by metric names; counters and 0/1 metrics are off whatever `limits` says."""
    chosen = [(name, METRICS.get(name)) for name in metrics]
    judged = []
    for name, metric in chosen:
        two_valued = metric is not None and (metric.low, metric.high) == (0, 1)
        counter = metric is not None and metric.mean == Mean.COUNTER
        judged.append(OFF if metric is None or two_valued or counter else limits.get(name, OFF))
    return StuckLimits(
        min_count=np.array([limit.min_count for limit in judged], np.int32),
        min_duration_us=np.array([limit.min_duration_s * 1_000_000 for limit in judged], np.int64),
        low=np.array([-np.inf if metric is None else metric.low for _, metric in chosen], np.float64),
        high=np.array([np.inf if metric is None else metric.high for _, metric in chosen], np.float64),
    )


def judge_stuck(
    limits: StuckLimits, runs: StuckRuns, series_idx: npt.NDArray[np.int32], time_us: Int64Array, values: FloatArray
) -> Judged:
    """Flags of n readings in order of arrival, and how the runs go on; `runs` itself is not changed.

    After a restart feed the readings of the last `min_duration` of each series once, by time, to `StuckRuns.none`.
    """
    flags = np.zeros(len(series_idx), np.int32)
    at = newer_only(series_idx, time_us, runs.last_us[series_idx])
    series, times, value = series_idx[at].astype(np.intp), time_us[at], values[at]
    n = len(at)
    if n == 0:
        return Judged(flags, series, StuckRuns.none(0))
    first = run_starts(series)
    change = np.ones(n, np.bool_)
    change[1:] = value[1:] != value[:-1]
    change[first] = value[first] != runs.value[series[first]]
    goes_on = first[~change[first]]
    start = np.flatnonzero(change | _marks(first, n))
    lengths = run_lengths(start, n)
    since, carried = times[start], np.zeros(len(start), np.int64)
    resumed = np.searchsorted(start, goes_on)
    since[resumed], carried[resumed] = runs.since_us[series[goes_on]], runs.count[series[goes_on]]
    since = np.repeat(since, lengths)
    count = np.arange(1, n + 1) + np.repeat(carried - start, lengths)
    kind = limits.kinds_of(series)
    stuck = (limits.min_count[kind] > 0) & (count >= limits.min_count[kind])
    stuck &= times - since >= limits.min_duration_us[kind]
    stuck &= (value > limits.low[kind]) & (value < limits.high[kind])
    flags[at[stuck]] = int(Flag.STUCK)
    last = first + run_lengths(first, n) - 1
    return Judged(flags, series[last], StuckRuns(value[last], since[last], count[last].astype(np.int32), times[last]))


def _marks(positions: npt.NDArray[np.intp], n: int) -> npt.NDArray[np.bool_]:
    marks = np.zeros(n, np.bool_)
    marks[positions] = True
    return marks
