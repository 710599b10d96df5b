"""All columns of window rows from readings (`aggregate`), and coarser rows from finer ones (`merge`).

Both are functions of their arguments: any order of the readings gives the same rows, and merging the windows of parts
gives the window of the whole. docs/kernels.md defines every column.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from ingest.contract.sensor_kinds import Mean
from processors.contract.rows import WindowRows
from processors.kernels.blocks import Block, Readings, blocks_of_runs, blocks_of_series, in_turn
from processors.kernels.from_parts import rows_of_parts
from processors.kernels.from_readings import OrderedReadings, WindowHeads, rows_of
from processors.kernels.ordering import is_ordered, run_starts
from processors.kernels.packing import Packing, order_by_code
from processors.kernels.room import Room
from processors.kernels.row_collector import RowCollector, no_rows, rows_at
from processors.kernels.starts import Windows

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


def aggregate(  # noqa: PLR0917 - four columns of the readings, as every caller holds them
    meta: SeriesMeta,
    series_idx: SeriesArray,
    time_us: Int64Array,
    values: FloatArray,
    flags: npt.NDArray[np.integer],
    windows: Windows,
    previous: PreviousReading | None = None,
    workers: Executor | None = None,
    room: Room | None = None,
) -> WindowRows:
    """The window rows of n readings in any order: one per (series, start), sorted by (series_id, start), revision 0.

    `previous` gives counters the reading their first step starts from. Threads of `workers` share more readings than a block holds;
    the rows are the same. With a `room` rows are lent: the next call with it overwrites them.
    Raises ValueError on values that are not finite and columns of unequal length.
    """
    n = len(series_idx)
    if any(len(column) != n for column in (time_us, values, flags)):
        raise ValueError("series_idx, time_us, values and flags must have one length")
    if n == 0:
        return empty_rows()
    memory = room or Room()
    packing = Packing.of(len(meta.series_id) - 1, time_us)
    readings = Readings(series_idx, time_us, values, flags)
    blocks = blocks_of_series(readings, packing, len(meta.series_id), memory, workers)
    rows = RowCollector(n, n, memory)
    if not (meta.mean_kind == Mean.COUNTER).any():
        work = partial(_rows_of_block, meta, packing, windows, None)
    else:
        work = partial(
            _rows_of_block, meta, packing, windows, previous or PreviousReading(np.full(len(meta.series_id), np.nan))
        )
    for made in in_turn(workers, work, blocks):
        for some, of in made:
            rows.add(some, of)
    return _by_series_id(rows.collected())


def _rows_of_block(
    meta: SeriesMeta,
    packing: Packing,
    windows: Windows,
    previous: PreviousReading | None,
    block: Callable[[], Block],
) -> list[tuple[WindowRows, int]]:
    """Rows of whole series, and of how many readings they are; `previous`: None where no series is a counter."""
    code, value = order_by_code(*block())
    series, time = packing.series(code), packing.time_us(code)
    start = windows.starts(time)
    starts = run_starts(series, start)
    heads = _heads(meta, series[starts], windows.lengths(start[starts]))
    before = None if previous is None else _before(series, value, previous)
    return [
        (
            rows_of(
                OrderedReadings(code[part], time[part], value[part], start[part]),
                None if before is None else before[part],
                starts[some] - part.start,
                heads.cut(some),
            ),
            part.stop - part.start,
        )
        for some, part in blocks_of_runs(starts, len(code))
    ]


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
    out = RowCollector(n, int(rows.sketch.offset[-1] - rows.sketch.offset[0]) // 4, Room())
    for windows, part in blocks_of_runs(starts, n):
        merged = rows_of_parts(rows_at(rows, part), start_us[part], starts[windows] - part.start, heads.cut(windows))
        out.add(merged, part.stop - part.start)
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


def _before(series: Int64Array, value: FloatArray, previous: PreviousReading) -> FloatArray:
    """The value before each ordered reading in its series, NaN: none known."""
    before = np.empty_like(value)
    before[1:] = value[:-1]
    first = run_starts(series)
    before[first] = previous.value[series[first]]
    return before


def _heads(meta: SeriesMeta, series: npt.NDArray[np.integer], length_us: Int64Array | np.int64) -> WindowHeads:
    # floats: both are whole microseconds below 2**53, so a quotient under a whole number is not rounded up to it; and numpy
    # divides integers one by one
    whole_intervals = np.floor(length_us / (meta.interval_s[series] * 1e6))
    return WindowHeads(meta.series_id[series], meta.mean_kind[series], np.maximum(whole_intervals, 1).astype(np.int32))


def _by_series_id(rows: WindowRows) -> WindowRows:
    """Local indices need not rise with series ids; the rows do."""
    if is_ordered(rows.series_id, rows.start_us):
        return rows
    return rows.take(np.lexsort((rows.start_us, rows.series_id)))
