"""B9: every query of the operators' dashboard and every kind of API call on a month of 10,000 series; growth from 3 to 30 days.

Not part of `make bench` without a name: the first run makes two cities (minutes, 20 GB), which are kept: a later run adds the quarters
of an hour since, and is quick. Panels run as the role Grafana uses, over the ranges people choose, with the board's own window and the
finest there is; the API is asked over HTTP. The table shows the slowest of each group, the notes name the slowest.
"""

from __future__ import annotations

import asyncio
import statistics
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from deploy.local.places import REPOSITORY
from deploy.local.stack import LocalStack
from tests.benchmarks.contest import Row
from tests.benchmarks.control_process import control_center
from tests.benchmarks.month import Month, month
from tests.benchmarks.month_register import RULES_FILE
from tests.benchmarks.operators import EVERY_S, OPERATORS, POOL, refreshing
from tests.benchmarks.questions import Milliseconds, ask_api, ask_panels
from tests.benchmarks.servers import Place
from tests.benchmarks.settings import Size

DAYS = (3, 30)
SHOWN = 10
GOAL_MS = 500
_ROLE = REPOSITORY / "deploy/postgresql/grafana_role.sql"


@dataclass(frozen=True)
class Measured:
    """Answer times of one city by what was asked."""

    city: Month
    panels: Milliseconds
    calls: Milliseconds
    together: list[float]


def run(stack: LocalStack, size: Size) -> Iterator[Row]:
    """A city of three days and one of thirty, one after the other."""
    few, many = (measure(stack, size, days) for days in DAYS)
    for group, before, after in (("panel", few.panels, many.panels), ("API call", few.calls, many.calls)):
        yield _row(group, before, after, size, many.city)
    yield _together(few, many, size)


def measure(stack: LocalStack, size: Size, days: int) -> Measured:
    """Everything asked of the city with that many days."""
    city = asyncio.run(month(stack, size.series, days))
    grant(city.place)
    panels = asyncio.run(ask_panels(city.place.dsn, city.newest, days, size.runs * 4))
    with control_center(environment(city.place), RULES_FILE) as url:
        calls = asyncio.run(ask_api(url, city.newest, days, size.runs * 4))
    return Measured(city, panels, calls, asyncio.run(refreshing(city.place.dsn, city.newest, days)))


def _row(group: str, few: Milliseconds, many: Milliseconds, size: Size, city: Month) -> Row:
    after = {name: _p95(taken) for name, taken in many.items()}
    before = {name: _p95(taken) for name, taken in few.items()}
    slowest = sorted(after, key=lambda name: -after[name])
    growth = [before[name] / after[name] for name in after if name in before]
    over = [name for name in slowest if after[name] > GOAL_MS]
    notes = [str(city)]
    notes += [f"{name}: p95 {after[name]:,.0f} ms" + _was(before.get(name)) for name in slowest[:SHOWN]]
    notes.append(
        f"{len(over)} of {len(after)} {group}s have a p95 over {GOAL_MS} ms; median p95 {statistics.median(after.values()):,.0f} ms"
    )
    worst, worst_before = after[slowest[0]], max(before.values())
    return Row(
        "B9 reading side", f"slowest {group} at {DAYS[1]} days x {size.series:,} series", f"slowest {group} at {DAYS[0]} days",
        "ms, p95", worst, worst_before, worst_before / worst, min(growth), max(growth), size.runs, tuple(notes),
    )  # fmt: skip


def _together(few: Measured, many: Measured, size: Size) -> Row:
    before, after = _p95(few.together), _p95(many.together)
    note = (
        f"{OPERATORS} operators, each a refresh of the whole board every {EVERY_S:.0f} s, {POOL} connections; "
        f"{len(many.together)} answers, median {statistics.median(many.together):,.0f} ms, longest {max(many.together):,.0f} ms"
    )
    return Row(
        "B9 reading side", f"{OPERATORS} operators at {DAYS[1]} days", f"the same at {DAYS[0]} days", "ms, p95",
        after, before, before / after, before / after, before / after, size.runs, (note,),
    )  # fmt: skip


def _p95(taken: list[float]) -> float:
    return float(np.percentile(taken, 95))


def _was(ms: float | None) -> str:
    return "" if ms is None else f" (at {DAYS[0]} days {ms:,.0f} ms)"


def environment(place: Place) -> dict[str, str]:
    """Where the control center finds its Kafka and its database."""
    return {
        "CITYNERVE_KAFKA__BOOTSTRAP": place.stack.kafka_bootstrap,
        "CITYNERVE_KAFKA__TOPIC_PREFIX": place.name,
        "CITYNERVE_DATABASE__DSN": place.dsn,
    }


def grant(place: Place) -> None:
    """Make Grafana's role and give it the views."""
    command = [
        place.stack.tool("psql"),
        "-X",
        "-q",
        "-v",
        "ON_ERROR_STOP=1",
        "-v",
        "password=x",
        "-f",
        _ROLE,
        place.dsn,
    ]
    subprocess.run([str(part) for part in command], check=True, capture_output=True, timeout=30)
