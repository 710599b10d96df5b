"""Arrays that broke numeric code before: offsets, extremes, repeats, long and short runs."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]

_TINY = 5e-324
_HUGE = 1.7e308
_RNG = np.random.default_rng(20_22_09_01)


def _runs(*parts: list[float] | FloatArray) -> tuple[FloatArray, IndexArray]:
    arrays = [np.asarray(part, np.float64) for part in parts]
    lengths = np.array([len(part) for part in arrays])
    return np.concatenate(arrays), np.cumsum(lengths) - lengths


HOSTILE: dict[str, tuple[FloatArray, IndexArray]] = {
    "one element": _runs([3.25]),
    "many runs of one element": _runs(*[[value] for value in (0.0, -1.5, 1e300, 7.0, -0.0)]),
    "equal values whose sum rounds": _runs([0.1] * 3, [0.1] * 10, [-2.7] * 7),
    "1, 2, 3 plus 1e9": _runs([1e9 + 1, 1e9 + 2, 1e9 + 3], [1e9 + 1, 1e9 + 2, 1e9 + 3] * 100),
    "one outlier of 1e9 first": _runs([1e9, 1.0, 2.0, 3.0], [1.0, 2.0, 3.0, -1e9]),
    "unsorted": _runs([5.0, -3.0, 4.0, -3.0, 0.0, 99.0, 1e-9]),
    "sum cancels out": _runs([1e16, 1.0, -1e16], [3.0, -3.0]),
    "zeros": _runs([0.0], [0.0, -0.0, 0.0]),
    "zero beside large": _runs([0.0, 1e6, 0.0, 3e-7], [1e12] + [0.0] * 50, [-1e9, 0.0, 1e9]),
    "negative": _runs([-1.0, -1000.0, -1e-5], _RNG.normal(-50, 20, 500)),
    "huge, squares overflow": _runs([1e200, -1e200, 3e200], [1.0, 2.0]),
    "tiny": _runs([2.3e-308, 1e-300, 4e-305], [3e-200, 1e-200]),
    "powers of two on bucket edges": _runs([2.0**k for k in range(-20, 20)], [1 + k / 64 for k in range(65)]),
    "a long run": _runs(_RNG.lognormal(3, 1, 200_000)),
    "many readings of few values": _runs(_RNG.integers(0, 3, 70_000).astype(np.float64)),
    "long between short": _runs([1.0], _RNG.normal(20, 5, 5_000), [2.0, 3.0], _RNG.normal(1e6, 1, 1_000)),
    "angles around north": _runs([359.0, 1.0], [350.0, 10.0, 0.0, 360.0], [90.0, 270.0], [0.0, 120.0, 240.0]),
    "counter with resets": _runs([10.0, 12.0, 3.0, 3.0, 0.0, 8.0], [5.0], [9.0, 1.0]),
}
NOT_FINITE = {"NaN": np.nan, "inf": np.inf, "-inf": -np.inf}
