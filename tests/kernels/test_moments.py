"""Short runs are summed as the columns of a table; that must not show, not even in the last bit."""

from __future__ import annotations

import numpy as np
import pytest

from processors.kernels.moments import extremes_and_moments, moments_of_runs


@pytest.mark.parametrize("longest", [1, 2, 5, 8, 9, 40])
@pytest.mark.parametrize("kind", ["alike", "over 600 decades", "many negative zeros"])
def test_short_runs_have_the_bits_of_long_ones(longest: int, kind: str) -> None:
    rng = np.random.default_rng(longest)
    for number_of_runs in (1, 3, 63, 64, 500):
        for lengths in (rng.integers(1, longest, number_of_runs, endpoint=True), np.full(number_of_runs, longest)):
            starts = np.cumsum(lengths) - lengths
            values = rng.normal(20, 5, lengths.sum())
            if kind == "over 600 decades":
                values *= 10.0 ** rng.integers(-300, 300, len(values))
            elif kind == "many negative zeros":
                values[rng.random(len(values)) < 0.4] = -0.0
            untouched = values.copy()
            low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
            wanted = (low, high, *moments_of_runs(values, starts, lengths, (low, high)))
            for got, column in zip(extremes_and_moments(values, starts, lengths), wanted, strict=True):
                assert got.tobytes() == column.tobytes()
            assert values.tobytes() == untouched.tobytes()
