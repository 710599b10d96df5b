"""How fast the kernels are here, in CPU nanoseconds a reading: `python -m tests.kernels.measure`. A script, not a timed test.

`make bench ONLY=kernels` compares them with polars, pandas and ddsketch.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from processors.kernels.from_readings import PERCENTS
from processors.kernels.sketch import quantiles, sketch_runs
from processors.kernels.sketch_bytes import decode, encode
from processors.kernels.starts import starts_fixed, starts_local_day
from processors.kernels.windows_of import SeriesMeta, merge
from tests.kernels.window_cases import Readings

FloatArray = npt.NDArray[np.float64]


def fleet(n: int, m: int, interval_s: int, *, late: float, ordered: bool = False) -> Readings:
    """n readings of m plain series, a share `late` up to an hour late, in order of arrival (or of series and time)."""
    rng = np.random.default_rng(1)
    rounds = n // m
    series = np.tile(rng.permutation(m).astype(np.int32), rounds)
    time_us = np.repeat(np.arange(rounds, dtype=np.int64) * interval_s * 1_000_000, m)
    time_us += rng.integers(0, interval_s * 500_000, len(time_us))
    arrival = time_us + np.where(rng.random(len(time_us)) < late, rng.integers(0, 3_600_000_000, len(time_us)), 0)
    order = np.lexsort((time_us, series)) if ordered else np.argsort(arrival, kind="stable")
    value = np.asarray(rng.normal(20, 5, len(time_us)).round(1), np.float64)
    flags = rng.choice(np.array([0, 0, 0, 0, 0, 0, 0, 4], np.int32), len(time_us))
    meta = SeriesMeta(np.arange(1, m + 1, dtype=np.int32), np.zeros(m, np.int8), np.full(m, interval_s, np.int32))
    return Readings(meta, series[order], time_us[order], value, flags)


def cpu_s(work: Callable[[], object], runs: int = 5) -> float:
    """Median CPU seconds of this process."""
    taken = []
    for _ in range(runs):
        begin = time.process_time()
        work()
        taken.append(time.process_time() - begin)
    return statistics.median(taken)


def say(name: str, seconds: float, n: int) -> None:
    sys.stdout.write(
        f"{name:<64} {seconds * 1e3:10.2f} ms {seconds / n * 1e9:8.1f} ns/reading {n / seconds / 1e6:8.1f} M/s\n"
    )


def measure_aggregate() -> None:
    """Whole rows, from the small batch of a live city to ten million readings."""
    for n, m, interval_s, size_s in ((2_000, 500, 15, 60), (20_000, 10_000, 30, 60), (1_000_000, 10_000, 10, 60)):
        readings = fleet(n, m, interval_s, late=0.01)
        say(
            f"aggregate {n} readings, {m} series, {size_s} s windows",
            cpu_s(partial(readings.windows, size_s), 9),
            n,
        )
    for late, ordered, size_s in ((0.01, False, 60), (0.01, False, 3600), (0.0, True, 3600)):
        readings = fleet(10_000_000, 10_000, 10, late=late, ordered=ordered)
        name = f"aggregate 10 M, 10,000 series, {size_s} s, {'in order' if ordered else '1 % late, by arrival'}"
        say(name, cpu_s(partial(readings.windows, size_s), 3), len(readings.series))


def measure_parts() -> None:
    """The kernels under it, over runs of 60 values, and the merge of minutes into quarter hours."""
    n = 1_000_000
    rng = np.random.default_rng(2)
    for kind, values in (("alike", rng.normal(20, 5, n)), ("over nine decades", rng.lognormal(0, 5, n))):
        starts = np.arange(0, n, 60)
        low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
        sketches = sketch_runs(values, starts)
        blobs = encode(sketches)
        say(f"sketch, values {kind}", cpu_s(partial(sketch_runs, values, starts)), n)
        say("  its quantiles", cpu_s(partial(quantiles, sketches, PERCENTS, low, high)), n)
        say("  to bytes", cpu_s(partial(encode, sketches)), n)
        say("  from bytes", cpu_s(partial(decode, blobs)), n)
    readings = fleet(n, 10_000, 10, late=0.0)
    rows = readings.windows(60)
    series, quarter = rows.series_id - 1, starts_fixed(rows.start_us, 900)
    say(
        "merge 1m rows into 15m (per reading behind them)",
        cpu_s(lambda: merge(readings.meta, rows, series, quarter, 900_000_000)),
        n,
    )
    say("starts of fixed windows", cpu_s(lambda: starts_fixed(readings.time_us, 60)), n)
    say("starts of local days", cpu_s(lambda: starts_local_day(readings.time_us, "Europe/Brussels")), n)


if __name__ == "__main__":
    measure_aggregate()
    measure_parts()
