"""Mean and population standard deviation of runs, safe for a large offset (meter totals) and for huge and tiny values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from processors.kernels.ordering import run_lengths

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]
Extremes = tuple[FloatArray, FloatArray]
Shorter = tuple[IndexArray | slice, npt.NDArray[np.bool_]]
"""Columns of a table whose runs are shorter than it is high, and which of their places lie beyond the run."""
Numbers = tuple[FloatArray, FloatArray, FloatArray, FloatArray]

_SHORT = 8
_FEW = 64
_FEW_COLUMNS = 8

_SQUARES_OVERFLOW = 1e150
_SQUARES_VANISH = 1e-140


def extremes_and_moments(values: FloatArray, starts: IndexArray, lengths: IndexArray) -> Numbers:
    """Minimum, maximum, mean and population std of each run of `values` beginning at `starts` (the first is 0).

    Short runs are laid out as the columns of a table and summed row by row: `reduceat` costs 15 ns a run before its first value.
    Both give the same bits.
    """
    short = lengths <= _SHORT
    if short.all():
        return _of_short_runs(values, starts, lengths)
    if np.count_nonzero(short) < _FEW:
        low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
        return low, high, *moments_of_runs(values, starts, lengths, (low, high))
    result = np.empty((4, len(starts)))
    result[:, short] = _of_short_runs(values, starts[short], lengths[short])
    others = lengths[~short]
    rest = values[np.repeat(~short, lengths)]
    result[:, ~short] = extremes_and_moments(rest, np.cumsum(others) - others, others)
    low, high, mean, std = result
    return low, high, mean, std


def _of_short_runs(values: FloatArray, starts: IndexArray, lengths: IndexArray) -> Numbers:
    most = int(lengths.max())
    shorter: Shorter | None = None
    if len(values) == most * len(starts):
        table = np.array(
            values.reshape(-1, most).T, order="C"
        )  # a copy also where one run or one row is contiguous as it is
    else:
        place = np.arange(most)[:, None]
        table = values.take(starts + place, mode="clip")
        some = np.flatnonzero(lengths < most)
        columns = some if len(some) * _FEW_COLUMNS < len(starts) else slice(None)
        shorter = columns, place >= lengths[columns]
        ends = starts[columns] + lengths[columns] - 1
        _put_beyond(table, shorter, values[ends])  # the run's last value changes no extreme
    low, high = table.min(axis=0), table.max(axis=0)
    held, weights = (low, high), lengths.astype(np.float64)
    scale = _scale(held)
    if scale is not None:
        table *= scale
        held = low * scale, high * scale
    mean = np.clip(_sum_of_columns(table, shorter) / weights, *held)
    table -= mean
    rest = _sum_of_columns(table, shorter) / weights
    table *= table  # 0.0 beyond the runs, which changes no sum of squares
    variance = _sum_of_columns(table) / weights - rest * rest
    mean, std = np.clip(mean + rest, *held), np.sqrt(np.maximum(variance, 0.0))
    return (low, high, mean, std) if scale is None else (low, high, mean / scale, std / scale)


def _put_beyond(table: FloatArray, shorter: Shorter, value: FloatArray | float) -> None:
    """Fill what lies beyond the runs."""
    columns, beyond = shorter
    part = table[:, columns]
    np.copyto(part, value, where=beyond)
    if not isinstance(columns, slice):
        table[:, columns] = part


def _sum_of_columns(table: FloatArray, shorter: Shorter | None = None) -> FloatArray:
    """Sums of the columns without what lies beyond their runs, added in the order of `np.add.reduceat`."""
    if shorter is not None:
        _put_beyond(table, shorter, -0.0)  # the one number that changes no sum, not even that of -0.0
    first: FloatArray = table[0]
    return first if len(table) == 1 else first + np.add.reduce(table[1:], axis=0)


def moments_of_runs(
    values: FloatArray, starts: IndexArray, lengths: IndexArray, held: Extremes
) -> tuple[FloatArray, FloatArray]:
    """Mean and population std of each run of `values` beginning at `starts`; `held` are the runs' minimum and maximum.

    Two passes: deviations from the mean are squared, never the values, because sum(x^2) - n mean^2 gives 0 for 1, 2, 3
    plus 1e9 (the error numbagg's move_std makes). The mean is held within the extremes, so a constant run has exactly its
    value and std 0.
    """
    scale = _scale(held)
    if scale is not None:
        low, high = held[0] * scale, held[1] * scale
        mean, std = moments_of_runs(values * np.repeat(scale, lengths), starts, lengths, (low, high))
        return mean / scale, std / scale
    weights = lengths.astype(np.float64)
    mean = np.clip(np.add.reduceat(values, starts) / weights, *held)
    deviation = values - np.repeat(mean, lengths)
    rest = np.add.reduceat(deviation, starts) / weights  # what rounding left in the mean
    deviation *= deviation
    variance = np.add.reduceat(deviation, starts) / weights - rest * rest
    return np.clip(mean + rest, *held), np.sqrt(np.maximum(variance, 0.0))


def moments_of_parts(
    mean: FloatArray, std: FloatArray, count: npt.NDArray[np.int64], starts: IndexArray, held: Extremes
) -> tuple[FloatArray, FloatArray]:
    """Mean and population std of each run of parts beginning at `starts`, from the parts' own.

    Chan, Golub, LeVeque 1979, with each run's first mean as shift. `held` are the runs' minimum and maximum.
    """
    lengths = run_lengths(starts, len(mean))
    scale = _scale(held)
    if scale is not None:
        low, high = held[0] * scale, held[1] * scale
        every = np.repeat(scale, lengths)
        whole, spread = moments_of_parts(mean * every, std * every, count, starts, (low, high))
        return whole / scale, spread / scale
    weights = count.astype(np.float64)
    total = np.add.reduceat(weights, starts)
    shift = np.repeat(mean[starts], lengths)
    whole = np.clip(mean[starts] + np.add.reduceat(weights * (mean - shift), starts) / total, *held)
    between = mean - np.repeat(whole, lengths)
    rest = np.add.reduceat(weights * between, starts) / total
    variance = np.add.reduceat(weights * (std * std + between * between), starts) / total - rest * rest
    return np.clip(whole + rest, *held), np.sqrt(np.maximum(variance, 0.0))


def _scale(held: Extremes) -> FloatArray | None:
    """Powers of two (exact factors) that bring runs whose squares would overflow or vanish into range; None: no run needs it."""
    low, high = held
    if len(low) == 0:
        return None
    spread = high / 2 - low / 2  # halved first: high - low may overflow itself
    largest = max(-float(low.min()), float(high.max()))
    if largest <= _SQUARES_OVERFLOW and np.count_nonzero(spread < _SQUARES_VANISH) == np.count_nonzero(high == low):
        return None
    huge = np.maximum(-low, high) > _SQUARES_OVERFLOW
    tiny = (spread < _SQUARES_VANISH) & (high > low)
    if not (huge | tiny).any():
        return None
    return np.where(huge, 2.0**-600, np.where(tiny, 2.0**600, 1.0))
