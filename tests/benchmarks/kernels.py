"""B4: all columns of the windows by our kernels, by polars and by pandas; the quantile sketch against ddsketch. One thread each.

The others give exact quantiles and leave no sketch behind from which a coarser window could be merged; ours does. Counts,
extremes, first and last are compared exactly, mean and deviation to 1e-9, quantiles to the sketch's promised 1 %.
"""

from __future__ import annotations

import functools
import importlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from processors.contract.rows import WindowRows
from processors.kernels.sketch import Sketches, rank_runs
from tests.benchmarks.contest import OURS, Contest, Row
from tests.benchmarks.settings import Size
from tests.kernels.measure import fleet
from tests.kernels.window_cases import Readings

SERIES = 10_000
PERCENTS = (50, 95, 99)
LATE, FLAGGED = 4, 120
RUN = 60
EXACT = ("count", "min", "max", "first", "last", "first_time_us", "last_time_us", "late", "flagged")
TO_1E_9 = ("mean", "std")
Columns = dict[str, npt.NDArray[Any]]


def run(size: Size) -> Iterator[Row]:
    """Windows of a minute and of an hour, 1 % of the readings late, in order of arrival; then the sketch."""
    readings = fleet(size.readings, min(SERIES, size.readings // 100), 10, late=0.01)
    for size_s in (60, 3600):
        case = f"{len(readings.series):,} readings, {size_s} s windows"
        polars, pandas = by_polars(readings, size_s), by_pandas(readings, size_s)
        expect_equal(readings.windows(size_s), polars(), pandas())
        contestants = {
            OURS: functools.partial(cpu_ns, functools.partial(readings.windows, size_s), len(readings.series)),
            f"polars {importlib.import_module('polars').__version__}": functools.partial(cpu_ns, polars, len(readings.series)),
            f"pandas {importlib.import_module('pandas').__version__}": functools.partial(cpu_ns, pandas, len(readings.series)),
        }  # fmt: skip
        yield from Contest("B4 kernels", case, "ns CPU a reading", contestants).run(size.runs)
    yield from sketches(size)


def cpu_ns(work: Callable[[], object], of: int) -> float:
    """CPU nanoseconds of this process (all its threads) for each of `of` values."""
    began = time.process_time_ns()
    work()
    return (time.process_time_ns() - began) / of


def by_polars(readings: Readings, size_s: int) -> Callable[[], Columns]:
    """A lazy query over the readings; the frame is made before."""
    pl = importlib.import_module("polars")
    frame = pl.DataFrame({"s": readings.series, "t": readings.time_us, "v": readings.value, "f": readings.flags})
    v, t, size_us = pl.col("v"), pl.col("t"), size_s * 1_000_000
    columns = [
        pl.len().alias("count"), v.mean().alias("mean"), v.min().alias("min"), v.max().alias("max"),
        v.std(ddof=0).alias("std"), v.first().alias("first"), v.last().alias("last"),
        t.first().alias("first_time_us"), t.last().alias("last_time_us"),
        *(v.quantile(percent / 100, "lower").alias(f"p{percent}") for percent in PERCENTS),
        (pl.col("f") & LATE != 0).sum().alias("late"), (pl.col("f") & FLAGGED != 0).sum().alias("flagged"),
    ]  # fmt: skip
    query = (
        frame.lazy()
        .with_columns(w=t // size_us * size_us)
        .sort("s", "t")
        .group_by("s", "w", maintain_order=True)
        .agg(columns)
    )

    def work() -> Columns:
        return {column.name: column.to_numpy() for column in query.collect().get_columns()}

    return work


def by_pandas(readings: Readings, size_s: int) -> Callable[[], Columns]:
    """Named aggregation over a grouping of sorted rows; the frame is made before."""
    pd = importlib.import_module("pandas")
    frame = pd.DataFrame({"s": readings.series, "t": readings.time_us, "v": readings.value, "f": readings.flags})
    size_us = size_s * 1_000_000

    def work() -> Columns:
        columns = {
            "w": frame["t"] // size_us * size_us,
            "late": frame["f"] & LATE != 0,
            "flagged": frame["f"] & FLAGGED != 0,
        }
        grouped = frame.assign(**columns).sort_values(["s", "t"]).groupby(["s", "w"], sort=False)
        found = grouped.agg(
            count=("v", "size"), mean=("v", "mean"), min=("v", "min"), max=("v", "max"), first=("v", "first"), last=("v", "last"),
            first_time_us=("t", "first"), last_time_us=("t", "last"), late=("late", "sum"), flagged=("flagged", "sum"),
        )  # fmt: skip
        values = {name: found[name].to_numpy() for name in found.columns} | {"std": grouped["v"].std(ddof=0).to_numpy()}
        return values | {
            f"p{percent}": grouped["v"].quantile(percent / 100, interpolation="lower").to_numpy()
            for percent in PERCENTS
        }

    return work


def expect_equal(ours: WindowRows, *others: Columns) -> None:
    """Refuse to compare the speed of different results."""
    for other in others:
        for name in EXACT:
            np.testing.assert_array_equal(getattr(ours, name), other[name], err_msg=name)
        for name in TO_1E_9:
            np.testing.assert_allclose(getattr(ours, name), other[name], rtol=1e-9, atol=1e-9, err_msg=name)
        for percent in PERCENTS:
            np.testing.assert_allclose(
                getattr(ours, f"p{percent}"), other[f"p{percent}"], rtol=0.01, err_msg=f"p{percent}"
            )


def sketches(size: Size) -> Iterator[Row]:
    """Filled by runs of 60 values and asked for three quantiles each; both are within 1 % of the exact order statistic."""
    values = np.random.default_rng(2).normal(20, 5, size.values // RUN * RUN)
    starts = np.arange(0, len(values), RUN)
    ddsketch = importlib.import_module("ddsketch").DDSketch

    def ours() -> tuple[npt.NDArray[np.float64], Sketches]:
        low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
        ranked = rank_runs(values, starts, np.full(len(starts), RUN))
        return np.asarray(ranked.quantiles(PERCENTS, low, high)), ranked.sketches()

    def theirs() -> npt.NDArray[np.float64]:
        found = []
        for part in values.reshape(-1, RUN).tolist():
            sketch = ddsketch(0.01)
            for value in part:
                sketch.add(value)
            found.append([sketch.get_quantile_value(percent / 100) for percent in PERCENTS])
        return np.array(found).T

    exact = np.quantile(values.reshape(-1, RUN), np.array(PERCENTS) / 100, axis=1, method="lower")
    for found in (ours()[0], theirs()):
        np.testing.assert_allclose(found, exact, rtol=0.01 + 1e-9)
    contestants = {
        name: functools.partial(cpu_ns, work, len(values)) for name, work in ((OURS, ours), ("ddsketch", theirs))
    }
    case = f"sketch and quantiles, {len(values):,} values, runs of {RUN}"
    yield from Contest("B4 kernels", case, "ns CPU a value", contestants).run(size.runs)
