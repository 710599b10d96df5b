"""`make bench [ONLY=gateway]`: every benchmark, each figure a ratio of two things measured in the same run."""

from __future__ import annotations

import argparse
import dataclasses
import os
import signal
import sys
from collections.abc import Callable, Iterator

from deploy.local.stack import LocalStack
from deploy.local.trouble import Trouble
from tests.benchmarks import database, gateway, kernels, latency, processor, reading_side, recovery, scale, whole_way
from tests.benchmarks.contest import Row
from tests.benchmarks.libraries import provide
from tests.benchmarks.report import Report
from tests.benchmarks.servers import test_stack
from tests.benchmarks.settings import LEAST_RUNS, Size

os.environ.setdefault("POLARS_MAX_THREADS", "1")  # read when polars is imported: one thread against our one

WITH_SERVERS: dict[str, Callable[[LocalStack, Size], Iterator[Row]]] = {
    "gateway": gateway.run,
    "database": database.run,
    "processor": processor.run,
    "whole_way": whole_way.run,
    "latency": latency.run,
    "recovery": recovery.run,
    "reading_side": reading_side.run,
    "scale": scale.run,
}
BY_NAME_ONLY = ("reading_side", "recovery")
"""Only who asks gets it: the first takes minutes and disk of its own, the second does not pass yet (docs/benchmarks.md, B8)."""
ALONE: dict[str, Callable[[Size], Iterator[Row]]] = {"kernels": kernels.run}


def main(arguments: list[str]) -> int:
    """Run what was asked for and print the table, or one JSON object; 2 for a name that does not exist."""
    options = _parser().parse_args(arguments)
    size = dataclasses.replace(Size().tenth() if options.quick else Size(), runs=options.runs)
    if options.series:
        size = dataclasses.replace(size, scale=options.series)
    signal.signal(
        signal.SIGTERM, lambda *_: sys.exit(143)
    )  # so that databases, topics and processes are cleared away then too
    report = Report()
    try:
        for rows in _chosen(options.only, size):
            report.rows += rows
    except Trouble as trouble:
        print(f"Error: {trouble}", file=sys.stderr)
        return 1
    print(report.as_json() if options.json else report.as_table())
    return 0


def _chosen(only: list[str], size: Size) -> Iterator[Iterator[Row]]:
    alone = [name for name in ALONE if not only or name in only]
    if alone:
        provide()
    yield from (ALONE[name](size) for name in alone)
    served = [name for name in WITH_SERVERS if name in only or (not only and name not in BY_NAME_ONLY)]
    if served:
        with test_stack() as stack:
            for name in served:
                yield WITH_SERVERS[name](stack, size)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    names = [*WITH_SERVERS, *ALONE]
    parser.add_argument("--only", action="append", choices=names, default=[], help="one of them; may be repeated")
    parser.add_argument("--runs", type=_runs, default=LEAST_RUNS, help=f"rounds that count, at least {LEAST_RUNS}")
    parser.add_argument("--series", type=int, default=0, help="most series of `scale`: 1000000 takes minutes more")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, for a look")
    parser.add_argument("--json", action="store_true", help="JSON instead of the table")
    return parser


def _runs(text: str) -> int:
    if not text.isdecimal() or int(text) < LEAST_RUNS:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of at least {LEAST_RUNS}: a median needs them")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
