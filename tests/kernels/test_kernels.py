"""Every kernel of the table against its slow reference, on random and on hostile runs, and its properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels.hostile import HOSTILE, FloatArray, IndexArray
from tests.kernels.table import KERNELS, Kernel, runs_of

every_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=lambda kernel: kernel.name)


def assert_close(kernel: Kernel, got: FloatArray, expected: list[float], flat: FloatArray, starts: IndexArray) -> None:
    largest = np.maximum.reduceat(np.abs(flat), starts)
    assert got.shape == (len(starts),)
    for value, wanted, scale in zip(got.tolist(), expected, largest.tolist(), strict=True):
        if math.isnan(wanted):
            assert math.isnan(value)
            continue
        error = abs(value - wanted)
        if kernel.angle:
            error = min(error, 360.0 - error)
        assert error <= kernel.relative * abs(wanted) + kernel.of_largest * max(scale, 1.0 if kernel.angle else 0.0), (
            f"{kernel.name}: {value!r} for {wanted!r}"
        )


@every_kernel
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_runs_give_the_reference(kernel: Kernel, case: str) -> None:
    flat, starts = HOSTILE[case]
    if np.abs(flat).max() > kernel.bound:
        flat = flat / np.abs(flat).max() * kernel.bound
    assert_close(kernel, kernel.run(flat, starts), kernel.expected(runs_of(flat, starts)), flat, starts)


@every_kernel
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_random_runs_give_the_reference(kernel: Kernel, data: st.DataObject) -> None:
    magnitude = min(kernel.bound, 1e150)
    number = st.floats(-magnitude, magnitude, allow_subnormal=False)
    runs = data.draw(st.lists(st.lists(number, min_size=1, max_size=30), min_size=1, max_size=6))
    flat = np.array([value for run in runs for value in run])
    starts = np.cumsum([0] + [len(run) for run in runs[:-1]]).astype(np.intp)
    assert_close(kernel, kernel.run(flat, starts), kernel.expected(runs), flat, starts)


@pytest.mark.parametrize("kernel", [k for k in KERNELS if k.any_order], ids=lambda kernel: kernel.name)
def test_the_order_within_a_run_does_not_matter(kernel: Kernel) -> None:
    rng = np.random.default_rng(7)
    values = rng.normal(20, 5, 1000)
    start = np.zeros(1, np.intp)
    for _ in range(5):
        assert kernel.run(rng.permutation(values), start) == pytest.approx(kernel.run(values, start), rel=1e-12)


@pytest.mark.parametrize("kernel", [k for k in KERNELS if k.shifts], ids=lambda kernel: kernel.name)
@pytest.mark.parametrize("offset", [1e3, 1e9, -1e9, 1e12])
def test_an_offset_shifts_the_result_or_leaves_it(kernel: Kernel, offset: float) -> None:
    values = np.array([1.0, 2.0, 3.0, 2.0, 1.0, 0.0, 7.0, 5.0])  # integers: exact beside 1e12 too
    start = np.zeros(1, np.intp)
    expected = kernel.run(values, start) + (offset if kernel.shifts == "with" else 0.0)
    assert kernel.run(values + offset, start) == pytest.approx(expected, rel=1e-12)


@every_kernel
def test_a_run_is_not_touched_by_its_neighbours(kernel: Kernel) -> None:
    rng = np.random.default_rng(3)
    alone = rng.normal(50, 10, 17)
    flat = np.concatenate((rng.normal(0, 1e6, 33), alone, rng.normal(-1e6, 1, 5)))
    together = kernel.run(flat, np.array([0, 33, 50]))[1]
    assert together == pytest.approx(kernel.run(alone, np.zeros(1, np.intp))[0], rel=1e-14)


def test_the_std_of_one_two_three_survives_an_offset_of_a_billion() -> None:
    kernel = next(kernel for kernel in KERNELS if kernel.name == "std")
    assert kernel.run(np.array([1.0, 2.0, 3.0]) + 1e9, np.zeros(1, np.intp))[0] == pytest.approx(
        math.sqrt(2 / 3), rel=1e-12
    )
