"""Mean and population standard deviation of runs, safe for a large offset (meter totals) and for huge values."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]

_SQUARE_OVERFLOWS = 1e150
_DOWN = 2.0**-600


def moments_of_runs(
    values: FloatArray, starts: IndexArray, lengths: IndexArray, held: tuple[FloatArray, FloatArray]
) -> tuple[FloatArray, FloatArray]:
    """Mean and population std of each run of `values` beginning at `starts`; `held` are the runs' minimum and maximum.

    Two passes: deviations from the mean are squared, never the values, because sum(x^2) - n mean^2 gives 0 for 1, 2, 3
    plus 1e9 (the error numbagg's move_std makes). The mean is held within [low, high], so a constant run has exactly its
    value and std 0.
    """
    low, high = held
    weights = lengths.astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.clip(np.add.reduceat(values, starts) / weights, low, high)
        deviation = values - np.repeat(mean, lengths)
        rest = np.add.reduceat(deviation, starts) / weights  # what rounding left in the mean
        deviation *= deviation
        variance = np.add.reduceat(deviation, starts) / weights - rest * rest
        mean = np.clip(mean + rest, low, high)
    std = np.sqrt(np.maximum(variance, 0.0))
    huge = np.maximum(-low, high) > _SQUARE_OVERFLOWS
    if huge.any():
        _scaled(values, starts, lengths, np.flatnonzero(huge), (mean, std))
    return mean, std


def _scaled(
    values: FloatArray, starts: IndexArray, lengths: IndexArray, which: IndexArray, out: tuple[FloatArray, FloatArray]
) -> None:
    """Runs whose squares overflow, one by one on values made smaller by a power of two. No plausible sensor needs it."""
    for run in which.tolist():
        part = values[starts[run] : starts[run] + lengths[run]] * _DOWN
        held = part.min(keepdims=True), part.max(keepdims=True)
        mean, std = moments_of_runs(part, np.zeros(1, np.intp), lengths[run : run + 1], held)
        out[0][run], out[1][run] = mean[0] / _DOWN, std[0] / _DOWN


def moments_of_parts(
    mean: FloatArray,
    std: FloatArray,
    count: npt.NDArray[np.int64],
    starts: IndexArray,
    held: tuple[FloatArray, FloatArray],
) -> tuple[FloatArray, FloatArray]:
    """Mean and population std of each run of parts beginning at `starts`, from the parts' own.

    Chan, Golub, LeVeque 1979, with the runs' first mean as shift. `held` are the runs' minimum and maximum.
    """
    low, high = held
    lengths = np.diff(starts, append=len(mean))
    weights = count.astype(np.float64)
    total = np.add.reduceat(weights, starts)
    shift = np.repeat(mean[starts], lengths)
    with np.errstate(over="ignore", invalid="ignore"):
        whole = np.clip(mean[starts] + np.add.reduceat(weights * (mean - shift), starts) / total, low, high)
        between = mean - np.repeat(whole, lengths)
        rest = np.add.reduceat(weights * between, starts) / total
        # hypot-like scaling is not needed below 1e150; above it std saturates to inf and is held by the spread
        variance = np.add.reduceat(weights * (std * std + between * between), starts) / total - rest * rest
        spread = high - low
    result = np.minimum(np.sqrt(np.maximum(variance, 0.0)), spread)
    return np.clip(whole + rest, low, high), np.where(low == high, 0.0, result)
