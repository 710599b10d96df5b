"""The special aggregate of a window: circular mean (directions), Leq (decibels), increase (counters)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from processors.kernels.ordering import run_lengths

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]

_NO_DIRECTION = 1e-9


def circular_sums(degrees: FloatArray, starts: IndexArray) -> tuple[FloatArray, FloatArray]:
    """Sum of sines and sum of cosines of each run: what circular means are merged from."""
    radians = np.deg2rad(degrees)
    return np.add.reduceat(np.sin(radians), starts), np.add.reduceat(np.cos(radians), starts)


def circular_mean(sum_sin: FloatArray, sum_cos: FloatArray, count: npt.NDArray[np.integer]) -> FloatArray:
    """Mean direction in degrees, 0 <= x < 360; NaN where the directions cancel out (mean resultant length < 1e-9)."""
    mean = np.rad2deg(np.arctan2(sum_sin, sum_cos)) % 360.0
    mean[mean >= 360.0] = 0.0  # -1e-15 % 360 rounds to 360
    mean[np.hypot(sum_sin, sum_cos) < _NO_DIRECTION * count] = np.nan
    return mean


def energetic_mean(
    levels: FloatArray, starts: IndexArray, weights: npt.NDArray[np.integer] | None = None
) -> FloatArray:
    """Leq = 10 log10(mean(10^(L/10))) of each run in dB (ISO 1996-1), weighted by `weights` where given.

    Levels are taken relative to the loudest of their run, so no level overflows.
    """
    lengths = run_lengths(starts, len(levels))
    loudest = np.maximum.reduceat(levels, starts)
    energy = np.power(10.0, (levels - np.repeat(loudest, lengths)) / 10.0)
    if weights is None:
        return loudest + 10.0 * np.log10(np.add.reduceat(energy, starts) / lengths)
    share = np.add.reduceat(energy * weights, starts) / np.add.reduceat(weights, starts)
    return loudest + 10.0 * np.log10(share)


def counter_steps(values: FloatArray, before: FloatArray) -> FloatArray:
    """How far a counter moved to reach each value from the reading `before` it; NaN before: 0 (nothing is known).

    A fall is a reset: the counter began again at 0 and reached `value` (as Prometheus' `increase`, without extrapolation).
    """
    step = values - before
    step = np.where(step < 0.0, values, step)
    return np.where(np.isnan(before), 0.0, step)
