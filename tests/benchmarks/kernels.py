"""B4: all columns of the windows by our kernels, by polars and by pandas, one thread each; by all cores in `all_cores`; the sketch.

Ours keeps its memory from call to call in a `Room`; a row more shows it without (docs/kernels.md, Memory).
The others give exact quantiles and leave no sketch behind from which a coarser window could be merged; ours does. Counts,
extremes, first and last are compared exactly, mean and deviation to 1e-9, quantiles to the sketch's promised 1 %.
Of several idiomatic ways to ask polars and pandas the fastest competes, for each length of window.
"""

from __future__ import annotations

import functools
import importlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from processors.contract.rows import WindowRows
from processors.kernels.room import Room
from processors.kernels.sketch import Sketches, rank_runs
from processors.kernels.starts import FixedWindows
from processors.kernels.windows_of import aggregate
from tests.benchmarks.contest import OURS, Contest, Row
from tests.benchmarks.settings import Size
from tests.kernels.measure import fleet
from tests.kernels.window_cases import Readings

SERIES = 10_000
MINUTE_S = 60
SIZES_S = (MINUTE_S, 3600)
PERCENTS = (50, 95, 99)
LATE, FLAGGED = 4, 120
RUN = 60
EXACT = ("count", "min", "max", "first", "last", "first_time_us", "last_time_us", "late", "flagged")
TO_1E_9 = ("mean", "std")
Columns = dict[str, npt.NDArray[Any]]


def run(size: Size) -> Iterator[Row]:
    """Windows of a minute and of an hour, 1 % of the readings late, in order of arrival; then the sketch."""
    readings = some_readings(size.readings)
    n, room = len(readings.series), Room()
    for size_s in SIZES_S:
        polars, pandas = by_polars(readings, size_s), by_pandas(readings, size_s)
        expect_equal(readings.windows(size_s), polars.work(), pandas.work())
        contestants = {
            contestant.name: functools.partial(cpu_ns, contestant.work, n)
            for contestant in (by_us(readings, size_s, room), by_us(readings, size_s, None), polars, pandas)
        }
        yield from Contest("B4 kernels", f"{n:,} readings, {size_s} s windows", "ns CPU a reading", contestants).run(
            size.runs
        )
    del readings, room
    yield from all_cores(size)
    yield from sketches(size)


def some_readings(n: int) -> Readings:
    """Of up to 10,000 series."""
    return fleet(n, min(SERIES, n // 100), 10, late=0.01)


def all_cores(size: Size) -> Iterator[Row]:
    """`tests.benchmarks.all_cores` in a process of its own: polars fixes its number of threads when it is imported."""
    command = [sys.executable, "-m", "tests.benchmarks.all_cores", str(size.readings), str(size.runs)]
    environment = {name: value for name, value in os.environ.items() if name != "POLARS_MAX_THREADS"}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True, timeout=900)
    yield from (Row(**row) for row in json.loads(done.stdout))


@dataclass(frozen=True)
class Contestant:
    """Who does the work once per call."""

    name: str
    work: Callable[[], Any]


def by_us(readings: Readings, size_s: int, room: Room | None, workers: Executor | None = None) -> Contestant:
    """`aggregate` in a room that it keeps, or in fresh memory."""
    columns = (readings.meta, readings.series, readings.time_us, readings.value, readings.flags, FixedWindows(size_s))
    name = f"{OURS}, memory not kept" if room is None else OURS
    return Contestant(name, functools.partial(aggregate, *columns, workers=workers, room=room))


def cpu_ns(work: Callable[[], object], of: int) -> float:
    """CPU nanoseconds of this process (all its threads) for each of `of` values."""
    began = time.process_time_ns()
    work()
    return (time.process_time_ns() - began) / of


def by_polars(readings: Readings, size_s: int) -> Contestant:
    """A lazy query over the readings, made as suits the length of the windows; the frame is made before.

    Sorting all readings first takes 257 ns a reading for windows of a minute, sorting in the groups for first and last only 388; for
    windows of an hour 175 and 65. Others were slower in both: positions of the extreme times, `group_by_dynamic`, the streaming engine.
    """
    pl = importlib.import_module("polars")
    frame = pl.DataFrame({"s": readings.series, "t": readings.time_us, "v": readings.value, "f": readings.flags})
    v, t, size_us = pl.col("v"), pl.col("t"), size_s * 1_000_000

    def columns(in_order: Any) -> list[Any]:
        return [
            pl.len().alias("count"), v.mean().alias("mean"), v.min().alias("min"), v.max().alias("max"),
            v.std(ddof=0).alias("std"), in_order.first().alias("first"), in_order.last().alias("last"),
            t.min().alias("first_time_us"), t.max().alias("last_time_us"),
            *(v.quantile(percent / 100, "lower").alias(f"p{percent}") for percent in PERCENTS),
            (pl.col("f") & LATE != 0).sum().alias("late"), (pl.col("f") & FLAGGED != 0).sum().alias("flagged"),
        ]  # fmt: skip

    lazy = frame.lazy().with_columns(w=t // size_us * size_us)
    if size_s <= MINUTE_S:
        query = lazy.sort("s", "t").group_by("s", "w", maintain_order=True).agg(columns(v))
    else:
        query = lazy.group_by("s", "w").agg(columns(v.sort_by("t"))).sort("s", "w")

    def work() -> Columns:
        return {column.name: column.to_numpy() for column in query.collect().get_columns()}

    return Contestant(f"polars {pl.__version__}", work)


def by_pandas(readings: Readings, size_s: int) -> Contestant:
    """Aggregations over one grouping, first and last by the position of the extreme times; the frame is made before.

    Sorting all rows first took a third longer for windows of a minute and half again as long for hours.
    """
    pd = importlib.import_module("pandas")
    frame = pd.DataFrame({"s": readings.series, "t": readings.time_us, "v": readings.value, "f": readings.flags})
    size_us = size_s * 1_000_000

    def work() -> Columns:
        columns = {
            "w": frame["t"] // size_us * size_us,
            "late": frame["f"] & LATE != 0,
            "flagged": frame["f"] & FLAGGED != 0,
        }
        grouped = frame.assign(**columns).groupby(["s", "w"])
        found = grouped.agg(
            count=("v", "size"), mean=("v", "mean"), min=("v", "min"), max=("v", "max"), late=("late", "sum"),
            flagged=("flagged", "sum"), first_at=("t", "idxmin"), last_at=("t", "idxmax"),
        )  # fmt: skip
        values = {name: found[name].to_numpy() for name in found.columns} | {"std": grouped["v"].std(ddof=0).to_numpy()}
        for end in ("first", "last"):
            at = values.pop(f"{end}_at")
            values |= {end: frame["v"].to_numpy()[at], f"{end}_time_us": frame["t"].to_numpy()[at]}
        return values | {
            f"p{percent}": grouped["v"].quantile(percent / 100, interpolation="lower").to_numpy()
            for percent in PERCENTS
        }

    return Contestant(f"pandas {pd.__version__}", work)


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
