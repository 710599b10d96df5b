"""Window columns of readings that stand in order of (series, time): the arithmetic under `windows_of.aggregate`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.contract.sensor_kinds import Mean
from processors.contract.rows import WindowRows
from processors.kernels import sketch, sketch_bytes, special
from processors.kernels.moments import extremes_and_moments
from processors.kernels.ordering import run_lengths
from processors.kernels.packing import count_marks

FloatArray = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]
IndexArray = npt.NDArray[np.intp]

PERCENTS = (50, 95, 99)


@dataclass(frozen=True, slots=True)
class OrderedReadings:
    """n readings by (series, time): their codes (`packing`), times, values and the starts of their windows."""

    code: Int64Array
    time_us: Int64Array
    value: FloatArray
    start_us: Int64Array


@dataclass(frozen=True, slots=True)
class WindowHeads:
    """What is known of w windows before their numbers: series id, kind of mean, expected readings."""

    series_id: npt.NDArray[np.int32]
    kind: npt.NDArray[np.int8]
    expected: npt.NDArray[np.int32]

    def cut(self, windows: slice) -> WindowHeads:
        """The heads of a range of windows."""
        return WindowHeads(self.series_id[windows], self.kind[windows], self.expected[windows])


def rows_of(readings: OrderedReadings, before: FloatArray | None, starts: IndexArray, heads: WindowHeads) -> WindowRows:
    """One row for each run of readings, that begins at `starts` (rising, the first is 0).

    `before`: the value preceding each reading in its series, NaN where none is known; None where no series is a counter.
    """
    n = len(readings.value)
    values = readings.value
    lengths = run_lengths(starts, n)
    ends = starts + lengths - 1
    low, high, mean, std = extremes_and_moments(values, starts, lengths)
    ranked = sketch.rank_runs(values, starts, lengths)
    p50, p95, p99 = ranked.quantiles(PERCENTS, low, high)
    late, flagged = count_marks(readings.code, starts, lengths)
    special_of, sum_sin, sum_cos = _special(values, before, starts, heads.kind)
    count = lengths.astype(np.int32)
    return WindowRows(
        series_id=heads.series_id,
        start_us=readings.start_us.take(starts),
        count=count,
        mean=mean,
        min=low,
        max=high,
        std=std,
        first=values.take(starts),
        last=values.take(ends),
        p50=p50,
        p95=p95,
        p99=p99,
        special=special_of,
        expected=heads.expected,
        valid=count - flagged,
        late=late,
        flagged=flagged,
        revision=np.zeros(len(starts), np.int32),
        first_time_us=readings.time_us.take(starts),
        last_time_us=readings.time_us.take(ends),
        sum_sin=sum_sin,
        sum_cos=sum_cos,
        sketch=sketch_bytes.encode(ranked.sketches()),
    )


def _special(
    all_values: FloatArray, before: FloatArray | None, starts: IndexArray, kind: npt.NDArray[np.int8]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """`special`, `sum_sin`, `sum_cos` of every window; each kind of mean costs only where it occurs."""
    result = np.full((3, len(starts)), np.nan)
    answer, sum_sin, sum_cos = result
    if not kind.any():
        return answer, sum_sin, sum_cos
    lengths = run_lengths(starts, len(all_values))
    for mean in (Mean.CIRCULAR, Mean.ENERGETIC, Mean.COUNTER):
        which = np.flatnonzero(kind == mean)
        if len(which) == 0:
            continue
        whole = len(which) == len(starts)
        at = slice(None) if whole else np.flatnonzero(np.repeat(kind == mean, lengths))
        values = all_values[at]
        runs = np.cumsum(lengths[which]) - lengths[which]
        if mean == Mean.CIRCULAR:
            sum_sin[which], sum_cos[which] = special.circular_sums(values, runs)
            answer[which] = special.circular_mean(sum_sin[which], sum_cos[which], lengths[which])
        elif mean == Mean.ENERGETIC:
            answer[which] = special.energetic_mean(values, runs)
        elif before is not None:
            answer[which] = np.add.reduceat(special.counter_steps(values, before[at]), runs)
    return answer, sum_sin, sum_cos
