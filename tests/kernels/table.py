"""KERNELS: every kernel over runs of values with its slow reference and its properties. A new kernel is tested by being listed.

All have one shape: values float64[n] cut into runs that begin at `starts` -> one number per run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from processors.kernels import special
from processors.kernels.moments import extremes_and_moments
from processors.kernels.ordering import run_lengths
from processors.kernels.sketch import quantiles, sketch_runs
from tests.kernels import references
from tests.kernels.references import Reference

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Kernel:
    """One row of the table.

    `relative`: allowed error relative to the reference; `of_largest`: relative to the largest magnitude of the run (sums may
    cancel out). `bound`: the largest magnitude the kernel is defined for. `shifts`: adding a constant adds it to the result
    ("with"), or leaves the result ("not"); None where neither holds. `any_order`: the order within a run does not matter.
    """

    name: str
    run: Callable[[FloatArray, IndexArray], FloatArray]
    reference: Reference
    relative: float = 0.0
    of_largest: float = 0.0
    bound: float = 1.7e308
    shifts: str | None = None
    any_order: bool = True
    angle: bool = False

    def expected(self, runs: Sequence[Sequence[float]]) -> list[float]:
        """The reference of every run."""
        return [self.reference(run) for run in runs]


def _extremes(values: FloatArray, starts: IndexArray) -> tuple[FloatArray, FloatArray]:
    return np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)


def _mean(values: FloatArray, starts: IndexArray) -> FloatArray:
    return extremes_and_moments(values, starts, run_lengths(starts, len(values)))[2]


def _std(values: FloatArray, starts: IndexArray) -> FloatArray:
    return extremes_and_moments(values, starts, run_lengths(starts, len(values)))[3]


def _quantile(percent: int) -> Callable[[FloatArray, IndexArray], FloatArray]:
    def run(values: FloatArray, starts: IndexArray) -> FloatArray:
        low, high = _extremes(values, starts)
        return quantiles(sketch_runs(values, starts), (percent,), low, high)[0]

    return run


def _circular(values: FloatArray, starts: IndexArray) -> FloatArray:
    sum_sin, sum_cos = special.circular_sums(values, starts)
    return special.circular_mean(sum_sin, sum_cos, run_lengths(starts, len(values)))


def _increase(values: FloatArray, starts: IndexArray) -> FloatArray:
    before = np.concatenate(([np.nan], values[:-1]))
    before[starts] = np.nan
    return np.add.reduceat(special.counter_steps(values, before), starts)


KERNELS = (
    Kernel("mean", _mean, references.mean, of_largest=1e-13, shifts="with"),
    Kernel("std", _std, references.std, relative=1e-9, of_largest=1e-15, shifts="not"),
    *(
        Kernel(f"p{percent}", _quantile(percent), references.lower_quantile(percent), relative=0.01)
        for percent in (0, 1, 25, 50, 75, 95, 99, 100)
    ),
    Kernel("circular mean", _circular, references.circular_mean, of_largest=1e-9, bound=1e6, angle=True),
    Kernel("Leq", special.energetic_mean, references.leq, of_largest=1e-13),
    Kernel("increase", _increase, references.increase, of_largest=1e-9, bound=1e300, any_order=False),
)


def runs_of(flat: FloatArray, starts: IndexArray) -> list[list[float]]:
    """The runs as lists."""
    return [part.tolist() for part in np.split(flat, starts[1:])]
