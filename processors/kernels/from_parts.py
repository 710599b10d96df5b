"""Window columns of parts (finer windows) that stand in order: the arithmetic under `windows_of.merge`."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ingest.contract.sensor_kinds import Mean
from processors.contract.rows import WindowRows
from processors.kernels import sketch, sketch_bytes, special
from processors.kernels.from_readings import PERCENTS, WindowHeads
from processors.kernels.moments import moments_of_parts
from processors.kernels.ordering import run_lengths

FloatArray = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]
IndexArray = npt.NDArray[np.intp]


def rows_of_parts(parts: WindowRows, start_us: Int64Array, starts: IndexArray, heads: WindowHeads) -> WindowRows:
    """One row for each run of parts that begins at `starts`; parts of a run stand by (first time, last time)."""
    low, high = np.minimum.reduceat(parts.min, starts), np.maximum.reduceat(parts.max, starts)
    counts = parts.count.astype(np.int64)
    mean, std = moments_of_parts(parts.mean, parts.std, counts, starts, (low, high))
    merged = sketch.merge_runs(sketch_bytes.decode(parts.sketch), starts)
    p50, p95, p99 = sketch.quantiles(merged, PERCENTS, low, high)
    special_of, sum_sin, sum_cos = _special(parts, starts, heads.kind)
    last = _last_part(parts, starts)
    return WindowRows(
        series_id=heads.series_id,
        start_us=start_us[starts],
        count=_total(parts.count, starts),
        mean=mean,
        min=low,
        max=high,
        std=std,
        first=parts.first[starts],
        last=parts.last[last],
        p50=p50,
        p95=p95,
        p99=p99,
        special=special_of,
        expected=heads.expected,
        valid=_total(parts.valid, starts),
        late=_total(parts.late, starts),
        flagged=_total(parts.flagged, starts),
        revision=np.zeros(len(starts), np.int32),
        first_time_us=parts.first_time_us[starts],
        last_time_us=parts.last_time_us[last],
        sum_sin=sum_sin,
        sum_cos=sum_cos,
        sketch=sketch_bytes.encode(merged),
    )


def _total(column: npt.NDArray[np.int32], starts: IndexArray) -> npt.NDArray[np.int32]:
    return np.add.reduceat(column, starts, dtype=np.int32)


def _last_part(parts: WindowRows, starts: IndexArray) -> IndexArray:
    """Position of the part with the latest reading of each run; of equally late ones, the highest last value."""
    ends = starts + run_lengths(starts, len(parts)) - 1
    rises = parts.last_time_us[1:] > parts.last_time_us[:-1]
    rises[starts[1:] - 1] = True
    if rises.all():
        return ends
    run = np.repeat(np.arange(len(starts)), run_lengths(starts, len(parts)))
    order = np.lexsort((parts.last, parts.last_time_us, run))
    last: IndexArray = order[ends]
    return last


def _special(
    parts: WindowRows, starts: IndexArray, kind: npt.NDArray[np.int8]
) -> tuple[FloatArray, FloatArray, FloatArray]:
    result = np.full((3, len(starts)), np.nan)
    answer, sum_sin, sum_cos = result
    if not kind.any():
        return answer, sum_sin, sum_cos
    lengths = run_lengths(starts, len(parts))
    for mean in (Mean.CIRCULAR, Mean.ENERGETIC, Mean.COUNTER):
        which = np.flatnonzero(kind == mean)
        if len(which) == 0:
            continue
        at = np.flatnonzero(np.repeat(kind == mean, lengths))
        runs = np.cumsum(lengths[which]) - lengths[which]
        if mean == Mean.CIRCULAR:
            sum_sin[which], sum_cos[which] = (
                np.add.reduceat(parts.sum_sin[at], runs),
                np.add.reduceat(parts.sum_cos[at], runs),
            )
            count = np.add.reduceat(parts.count[at], runs, dtype=np.int64)
            answer[which] = special.circular_mean(sum_sin[which], sum_cos[which], count)
        elif mean == Mean.ENERGETIC:
            answer[which] = special.energetic_mean(parts.special[at], runs, parts.count[at].astype(np.int64))
        else:
            answer[which] = np.add.reduceat(parts.special[at], runs)
    return answer, sum_sin, sum_cos
