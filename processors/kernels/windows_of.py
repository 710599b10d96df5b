"""All columns of window rows from readings (`aggregate`), and coarser rows from finer ones (`merge`).

Both are functions of their arguments: any order of the readings gives the same rows, and merging the windows of parts
gives the window of the whole. docs/kernels.md defines every column.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from ingest.contract.sensor_kinds import Mean
from processors.contract.rows import WindowRows
from processors.kernels.from_parts import rows_of_parts
from processors.kernels.from_readings import OrderedReadings, WindowHeads, rows_of
from processors.kernels.ordering import is_ordered, order_by_series, run_starts, sort_by_series_and_time

FloatArray = npt.NDArray[np.float64]
Int64Array = npt.NDArray[np.int64]
IndexArray = npt.NDArray[np.intp]
SeriesArray = npt.NDArray[np.int32]

_BLOCK = 1 << 16  # readings aggregated at a time, so that the temporaries stay in the processor's cache
_COLUMN_TYPES: dict[type, tuple[str, ...]] = {
    np.int32: ("series_id", "count", "expected", "valid", "late", "flagged", "revision"),
    np.int64: ("start_us", "first_time_us", "last_time_us"),
    np.float64: ("mean", "min", "max", "std", "first", "last", "p50", "p95", "p99", "special", "sum_sin", "sum_cos"),
    np.object_: ("sketch",),
}


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
    finite = np.isfinite(values)
    if not finite.all():
        raise ValueError(f"reading {int(np.argmin(finite))} is not finite; refuse such values before aggregating")
    order = None if is_ordered(series_idx, time_us) else order_by_series(series_idx)
    in_series = series_idx if order is None else series_idx.take(order)
    rows = []
    for begin, end in _series_blocks(in_series):
        part = slice(begin, end)
        at = part if order is None else order[part]
        block = _Block(
            in_series[part], time_us[at], values[at], flags[at], start_us[at],
            length_us[at] if isinstance(length_us, np.ndarray) else np.broadcast_to(np.int64(length_us), end - begin),
        )  # fmt: skip
        rows += _rows_of_block(meta, block, previous)
    return _by_series_id(WindowRows.concatenate(rows) if len(rows) > 1 else rows[0])


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
    lengths = np.broadcast_to(np.asarray(length_us, np.int64), n)
    # every column a sum can depend on decides ties, so that the order of the rows given never does
    order = np.lexsort((rows.mean, rows.count, rows.first, rows.last_time_us, rows.first_time_us, start_us, series_idx))
    parts, series, coarse, lengths = rows.take(order), series_idx[order], start_us[order], lengths[order]
    starts = run_starts(series, coarse)
    return _by_series_id(rows_of_parts(parts, coarse, starts, _heads(meta, series[starts], lengths[starts])))


def empty_rows() -> WindowRows:
    """No rows, each column of its type."""
    return WindowRows(**{name: np.empty(0, kind) for kind, names in _COLUMN_TYPES.items() for name in names})


@dataclass(frozen=True, slots=True)
class _Block:
    """Readings of some whole series, series after series."""

    series: SeriesArray
    time_us: Int64Array
    value: FloatArray
    flags: npt.NDArray[np.integer]
    start_us: Int64Array
    length_us: Int64Array

    def take(self, at: IndexArray) -> _Block:
        return _Block(*(getattr(self, column)[at] for column in self.__slots__))


def _series_blocks(series: SeriesArray) -> list[tuple[int, int]]:
    """Ranges of whole series of about _BLOCK readings: small enough to be sorted and aggregated within the cache."""
    n = len(series)
    if n <= _BLOCK:
        return [(0, n)]
    cuts = np.searchsorted(series, series[np.arange(_BLOCK, n, _BLOCK)], "left")
    return list(pairwise(np.unique(np.concatenate(([0], cuts, [n]))).tolist()))


def _rows_of_block(meta: SeriesMeta, block: _Block, previous: PreviousReading | None) -> list[WindowRows]:
    block = _in_order(block)
    before = _before(meta, block.series, block.value, previous)
    readings = OrderedReadings(block.time_us, block.value, block.flags, block.start_us, before)
    starts = run_starts(block.series, block.start_us)
    heads = _heads(meta, block.series[starts], block.length_us[starts])
    edges = np.append(starts, len(block.series))
    rows = []
    for first, last in _blocks(starts, len(block.series)):
        begin, end = int(edges[first]), int(edges[last])
        rows.append(rows_of(readings.cut(begin, end), starts[first:last] - begin, _cut(heads, first, last)))
    return rows


def _in_order(block: _Block) -> _Block:
    """The block by (series, time, value)."""
    if not is_ordered(block.series, block.time_us):
        block = block.take(sort_by_series_and_time(block.series, block.time_us))
    same = block.series[1:] == block.series[:-1]
    if (same & (block.time_us[1:] == block.time_us[:-1])).any():
        # the store holds one value a moment; a caller who gives more must still not depend on the order of arrival
        block = block.take(np.lexsort((block.value, block.time_us, block.series)))
    if (same & (block.start_us[1:] < block.start_us[:-1])).any():
        raise ValueError("start_us falls while time rises within a series; a start must be a function of the time")
    return block


def _before(
    meta: SeriesMeta, series: SeriesArray, values: FloatArray, previous: PreviousReading | None
) -> FloatArray | None:
    """The value before each ordered reading in its series, NaN: none known; None where no series is a counter."""
    if not (meta.mean_kind == Mean.COUNTER).any():
        return None
    before = np.empty_like(values)
    before[1:] = values[:-1]
    first = run_starts(series)
    before[first] = np.nan if previous is None else previous.value[series[first]]
    return before


def _heads(meta: SeriesMeta, series: SeriesArray, length_us: Int64Array) -> WindowHeads:
    whole_intervals = length_us // (meta.interval_s[series].astype(np.int64) * 1_000_000)
    return WindowHeads(meta.series_id[series], meta.mean_kind[series], np.maximum(whole_intervals, 1).astype(np.int32))


def _cut(heads: WindowHeads, first: int, last: int) -> WindowHeads:
    return WindowHeads(heads.series_id[first:last], heads.kind[first:last], heads.expected[first:last])


def _blocks(starts: IndexArray, n: int) -> list[tuple[int, int]]:
    """Ranges of windows that hold about _BLOCK readings each; a window is never cut."""
    edges = np.unique(np.append(np.searchsorted(starts, np.arange(0, n, _BLOCK)), len(starts))).tolist()
    return list(pairwise(edges))


def _by_series_id(rows: WindowRows) -> WindowRows:
    """Local indices need not rise with series ids; the rows do."""
    if is_ordered(rows.series_id, rows.start_us):
        return rows
    return rows.take(np.lexsort((rows.start_us, rows.series_id)))
