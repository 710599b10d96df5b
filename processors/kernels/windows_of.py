"""All columns of window rows from readings (`aggregate`), and coarser rows from finer ones (`merge`).

Both are functions of their arguments: any order of the readings gives the same rows, and merging the windows of parts
gives the window of the whole. docs/kernels.md defines every column.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.contract.sensor_kinds import Mean
from processors.contract.rows import WindowRows
from processors.kernels.blocks import Readings, blocks_of_runs, blocks_of_series, in_order
from processors.kernels.from_parts import rows_of_parts
from processors.kernels.from_readings import WindowHeads, rows_of
from processors.kernels.ordering import is_ordered, run_starts
from processors.kernels.row_collector import RowCollector, no_rows, rows_at

FloatArray = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]
IndexArray = npt.NDArray[np.intp]
SeriesArray = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class SeriesMeta:
    """What is known of m series; readings name a series by its position here (local series index)."""

    series_id: npt.NDArray[np.int32]
    mean_kind: npt.NDArray[np.int8]
    interval_s: npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class PreviousReading:
    """Per local series, the value of its last reading before those given; NaN where there is none. float64[m]."""

    value: FloatArray


def aggregate(  # noqa: PLR0917 - six columns of the readings, as every caller holds them
    meta: SeriesMeta,
    series_idx: SeriesArray,
    time_us: Int64Array,
    values: FloatArray,
    flags: npt.NDArray[np.integer],
    start_us: Int64Array,
    length_us: int | Int64Array,
    previous: PreviousReading | None = None,
) -> WindowRows:
    """The window rows of n readings in any order: one per (series, start), sorted by (series_id, start), revision 0.

    `start_us` is the window start of each reading and must not fall as time rises within a series; `length_us` is one
    length or int64[n]. `previous` gives counters the reading their first step starts from.
    Raises ValueError on values that are not finite, columns of unequal length and starts that contradict the times.
    """
    n = len(series_idx)
    if any(len(column) != n for column in (time_us, values, flags, start_us)):
        raise ValueError("series_idx, time_us, values, flags and start_us must have one length")
    if n == 0:
        return empty_rows()
    each_length = length_us if isinstance(length_us, np.ndarray) else None
    rows = RowCollector(n)
    for block in blocks_of_series(
        Readings(series_idx, time_us, values, flags, start_us, each_length), len(meta.series_id)
    ):
        _check_finite(values, block.value)
        readings = in_order(block)
        starts = run_starts(readings.series, readings.start_us)
        lengths = np.int64(length_us) if readings.length_us is None else readings.length_us[starts]
        heads = _heads(meta, readings.series[starts], lengths)
        before = _before(meta, readings, previous)
        for windows, part in blocks_of_runs(starts, len(readings)):
            rows.add(
                rows_of(
                    readings.cut(part),
                    None if before is None else before[part],
                    starts[windows] - part.start,
                    heads.cut(windows),
                )
            )
    return _by_series_id(rows.collected())


def merge(
    meta: SeriesMeta, rows: WindowRows, series_idx: SeriesArray, start_us: Int64Array, length_us: int | Int64Array
) -> WindowRows:
    """Coarser window rows from n finer ones in any order: one per (series, coarse start), sorted by (series_id, start).

    `start_us` is the coarse start of each finer row. The result is `aggregate` over the readings behind the rows: counts,
    min, max, first, last, quantiles and sketch exactly, sums to 1e-9. Rows may also be parts of one window that overlap in
    time; the increase of a counter is then no more than the sum of the parts'. Revision 0; `expected` from length and
    interval.
    """
    n = len(rows)
    if len(series_idx) != n or len(start_us) != n:
        raise ValueError("rows, series_idx and start_us must have one length")
    if n == 0:
        return empty_rows()
    order = _order_of_parts(rows, series_idx, start_us)
    if order is not None:
        rows, series_idx, start_us = rows.take(order), series_idx[order], start_us[order]
        length_us = length_us[order] if isinstance(length_us, np.ndarray) else length_us
    starts = run_starts(series_idx, start_us)
    heads = _heads(
        meta, series_idx[starts], length_us[starts] if isinstance(length_us, np.ndarray) else np.int64(length_us)
    )
    out = RowCollector(n)
    for windows, part in blocks_of_runs(starts, n):
        out.add(rows_of_parts(rows_at(rows, part), start_us[part], starts[windows] - part.start, heads.cut(windows)))
    return _by_series_id(out.collected())


def _order_of_parts(rows: WindowRows, series_idx: SeriesArray, start_us: Int64Array) -> IndexArray | None:
    """Positions of parts by (series, coarse start, first time, last time); None where they stand so already."""
    same = series_idx[1:] == series_idx[:-1]
    follows = (rows.first_time_us[1:] > rows.last_time_us[:-1]) & (start_us[1:] >= start_us[:-1])
    if ((series_idx[1:] > series_idx[:-1]) | (same & follows)).all():
        return None
    # every column a sum can depend on decides ties, so that the order of the rows given never does
    return np.lexsort((rows.mean, rows.count, rows.first, rows.last_time_us, rows.first_time_us, start_us, series_idx))


def empty_rows() -> WindowRows:
    """No rows, each column of its type."""
    return no_rows(0)


def _check_finite(values: FloatArray, part: FloatArray) -> None:
    if not np.isfinite(part).all():
        at = int(np.argmin(np.isfinite(values)))
        raise ValueError(f"reading {at} is not finite; refuse such values before aggregating")


def _before(meta: SeriesMeta, readings: Readings, previous: PreviousReading | None) -> FloatArray | None:
    """The value before each ordered reading in its series, NaN: none known; None where no series is a counter."""
    if not (meta.mean_kind == Mean.COUNTER).any():
        return None
    before = np.empty_like(readings.value)
    before[1:] = readings.value[:-1]
    first = run_starts(readings.series)
    before[first] = np.nan if previous is None else previous.value[readings.series[first]]
    return before


def _heads(meta: SeriesMeta, series: SeriesArray, length_us: Int64Array | np.int64) -> WindowHeads:
    whole_intervals = length_us // (meta.interval_s[series].astype(np.int64) * 1_000_000)
    return WindowHeads(meta.series_id[series], meta.mean_kind[series], np.maximum(whole_intervals, 1).astype(np.int32))


def _by_series_id(rows: WindowRows) -> WindowRows:
    """Local indices need not rise with series ids; the rows do."""
    if is_ordered(rows.series_id, rows.start_us):
        return rows
    return rows.take(np.lexsort((rows.start_us, rows.series_id)))
