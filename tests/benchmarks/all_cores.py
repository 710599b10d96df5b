"""B4 with all cores, by the clock: our blocks on a thread a core against polars with as many threads as it wants.

`python -m tests.benchmarks.all_cores READINGS RUNS` prints the rows as JSON; `kernels` runs it in a process of its own.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from processors.kernels.room import Room
from tests.benchmarks.contest import Contest, Row
from tests.benchmarks.kernels import SIZES_S, by_polars, by_us, expect_equal, some_readings
from tests.benchmarks.libraries import provide


def wall_ns(work: Callable[[], object], of: int) -> float:
    """Nanoseconds by the clock for each of `of` values."""
    began = time.perf_counter_ns()
    work()
    return (time.perf_counter_ns() - began) / of


def rows(readings_wanted: int, runs: int) -> Iterator[Row]:
    """Windows of a minute and of an hour."""
    readings = some_readings(readings_wanted)
    n, cores = len(readings.series), len(os.sched_getaffinity(0))
    room = Room()
    with ThreadPoolExecutor(cores) as workers:
        for size_s in SIZES_S:
            ours, polars = by_us(readings, size_s, room, workers), by_polars(readings, size_s)
            expect_equal(ours.work(), polars.work())
            contestants = {
                contestant.name: functools.partial(wall_ns, contestant.work, n) for contestant in (ours, polars)
            }
            case = f"{n:,} readings, {size_s} s windows, {cores} cores"
            yield from Contest("B4 kernels", case, "ns a reading", contestants).run(runs)


if __name__ == "__main__":
    provide()
    print(json.dumps([dataclasses.asdict(row) for row in rows(int(sys.argv[1]), int(sys.argv[2]))]))
