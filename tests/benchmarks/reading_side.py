"""B9: every query of the operators' dashboard and every kind of API call on a month of 10,000 series; growth from 3 to 30 days.

Not part of `make bench` without a name: making the month takes minutes and 20 GB. Panels run as the role Grafana uses, over the
ranges people choose, with the resolution that suits each; the API is asked over HTTP. Each is asked several times; the table
shows the slowest of each group, the notes name the slowest few.
"""

from __future__ import annotations

import asyncio
import functools
import statistics
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterator
from datetime import datetime, timedelta

import asyncpg
import httpx
import numpy as np

from deploy.local.places import REPOSITORY
from deploy.local.stack import LocalStack
from tests.benchmarks.contest import Row
from tests.benchmarks.control_process import control_center
from tests.benchmarks.month import add_days, make_city, this_hour
from tests.benchmarks.servers import Place, own_place
from tests.benchmarks.settings import Size
from tests.ops.grafana import TimeRange, expand_sql, queries
from tests.ops.test_dashboard_sql import all_chosen

BOARD = "operators-en.json"
RANGES = (("6 h", 0.25, "15m", "1m"), ("24 h", 1.0, "15m", "5m"), ("7 d", 7.0, "1h", "30m"), ("30 d", 30.0, "1h", "2h"))
"""Name, days, resolution of windows, Grafana's interval."""
DAYS = (3, 30)
SERIES = 10_000
SHOWN = 6
GOAL_MS = 500
_ROLE = REPOSITORY / "deploy/postgresql/grafana_role.sql"
_BUDGET_S = 60.0
Milliseconds = dict[str, list[float]]


def run(stack: LocalStack, size: Size) -> Iterator[Row]:
    """Three days first, then thirty, in the same database."""
    with own_place(stack) as place:
        grant(place)
        asyncio.run(make_city(place.dsn, size.series))
        newest, have = this_hour(), 0
        found: list[dict[str, Milliseconds]] = []
        for days in DAYS:
            asyncio.run(add_days(place.dsn, newest, have, days))
            have = days
            panels = asyncio.run(ask_panels(place.dsn, newest, days, size.runs * 2))
            with control_center(environment(place)) as url:
                api = asyncio.run(ask_api(url, newest, days, size.runs * 4))
            found.append({"panel": panels, "API call": api})
        for group in ("panel", "API call"):
            yield _row(group, found[0][group], found[1][group], size)


def _row(group: str, few: Milliseconds, many: Milliseconds, size: Size) -> Row:
    p95 = {name: float(np.percentile(taken, 95)) for name, taken in many.items()}
    before = {name: float(np.percentile(taken, 95)) for name, taken in few.items()}
    slowest = sorted(p95, key=lambda name: -p95[name])
    growth = [before[name] / p95[name] for name in p95 if name in before]
    over = [name for name in slowest if p95[name] > GOAL_MS]
    notes = [f"{name}: p95 {p95[name]:,.0f} ms" + _was(before.get(name)) for name in slowest[:SHOWN]]
    notes.append(
        f"{len(over)} of {len(p95)} {group}s have a p95 over {GOAL_MS} ms; median p95 {statistics.median(p95.values()):,.0f} ms"
    )
    worst = slowest[0]
    return Row(
        "B9 reading side", f"slowest {group} at {DAYS[1]} days x {size.series:,} series", f"the same at {DAYS[0]} days", "ms, p95",
        p95[worst], before.get(worst, p95[worst]), before.get(worst, p95[worst]) / p95[worst], min(growth), max(growth),
        size.runs, tuple(notes),
    )  # fmt: skip


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


async def ask_panels(dsn: str, newest: datetime, days: int, times: int) -> Milliseconds:
    """Milliseconds of every panel's query by range; ranges longer than there are days are left out."""
    connection = await asyncpg.connect(dsn, timeout=10, command_timeout=_BUDGET_S)
    found: Milliseconds = {}
    try:
        chosen = await all_chosen(connection, BOARD)
        await connection.execute("SET ROLE grafana")
        for name, length_days, resolution, interval in RANGES:
            if length_days > days:
                continue
            span = TimeRange(newest - timedelta(days=length_days), newest, interval)
            for query in (query for query in queries(BOARD) if query.kind == "sql"):
                statement = expand_sql(query.text, chosen | {"resolution": resolution}, span)
                key = f"{query.panel}, {name}" if str(newest.date()) in statement else query.panel
                if key not in found:
                    found[key] = await _timed(functools.partial(connection.fetch, statement), times)
    finally:
        await connection.close(timeout=10)
    return found


async def ask_api(url: str, newest: datetime, days: int, times: int) -> Milliseconds:
    """Milliseconds of every kind of API call."""
    device, metric = "dev-123", "pm2_5"
    ends = newest.isoformat()
    calls: dict[str, tuple[str, dict[str, str]]] = {
        name: (f"/api/v1/{name}", {})
        for name in ("devices", "series", "live", "status", "flow", "city", "alarms", "ledger", "deadletters")
    }
    calls["devices/{device}"] = (f"/api/v1/devices/{device}", {})
    one = {"device": device, "metric": metric, "to": ends}
    for name, length_days, resolution, _ in RANGES:
        if length_days <= days:
            begins = (newest - timedelta(days=length_days)).isoformat()
            calls[f"readings, {name}"] = ("/api/v1/readings", one | {"from": begins})
            calls[f"windows, {name}"] = ("/api/v1/windows", one | {"from": begins, "size": resolution})
    found: Milliseconds = {}
    async with httpx.AsyncClient(base_url=url, timeout=_BUDGET_S, trust_env=False) as client:
        for name, (path, parameters) in calls.items():
            found[name] = await _timed(functools.partial(_get, client, path, parameters), times)
    return found


async def _get(client: httpx.AsyncClient, path: str, parameters: dict[str, str]) -> None:
    answer = await client.get(path, params=parameters)
    assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:300]}"


async def _timed(ask: Callable[[], Awaitable[object]], times: int) -> list[float]:
    await ask()
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        await ask()
        taken.append((time.perf_counter() - began) * 1e3)
    return taken
