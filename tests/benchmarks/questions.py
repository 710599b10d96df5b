"""What operators ask: every panel of their dashboard by range, every kind of API call, the calls the page opens with; each timed."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TypeAlias

import asyncpg
import httpx

from tests.ops.grafana import FOLDER, TimeRange, expand_sql, queries
from tests.ops.test_dashboard_sql import all_chosen

BOARD = "operators-en.json"
RANGES = (("3 h", 0.125, "1m"), ("6 h", 0.25, "1m"), ("24 h", 1.0, "5m"), ("7 d", 7.0, "30m"), ("30 d", 30.0, "2h"))
"""Name, days, and the interval Grafana computes for a panel of half a screen."""
WINDOWS = ("15m", "1m")
"""The board's own choice of window, and the finest there is."""
SIZES = {"3 h": "1m", "6 h": "1m", "24 h": "15m", "7 d": "1h", "30 d": "1h"}
"""Windows the page asks for by range."""
CUT_MS = 15_000
"""statement_timeout of Grafana's role."""
_BUDGET_S = 60.0
_SPENT_S = 3.0
_LEAST = 5
Milliseconds = dict[str, list[float]]
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


@dataclass(frozen=True)
class Asked:
    """A panel's statement as Grafana would send it."""

    name: str
    statement: str


async def statements(connection: Connection, newest: datetime, days: int, folder: Path = FOLDER) -> list[Asked]:
    """Every panel by range and window; ranges longer than `days` and repetitions of one statement are left out."""
    chosen = await all_chosen(connection, BOARD)
    found: dict[str, Asked] = {}
    for (name, length_days, interval), window in (
        (chosen_range, window) for chosen_range in RANGES for window in WINDOWS
    ):
        if length_days > days:
            continue
        span = TimeRange(newest - timedelta(days=length_days), newest, interval)
        seen: set[str] = set()
        for query in (query for query in queries(BOARD, folder) if query.kind == "sql"):
            title = query.panel if query.panel not in seen else f"{query.panel} (list)"
            seen.add(query.panel)
            statement = expand_sql(query.text, chosen | {"resolution": window}, span)
            ranged = f"{title}, {name}" if newest.isoformat() in statement else title
            key = ranged if window == WINDOWS[0] else f"{ranged}, {window}"
            if statement not in (asked.statement for asked in found.values()):
                found[key] = Asked(key, statement)
    return list(found.values())


async def as_grafana(dsn: str) -> Connection:
    """A connection with the rights and the limit of Grafana's role."""
    connection = await asyncpg.connect(dsn, timeout=10, command_timeout=_BUDGET_S)
    await connection.execute(f"SET ROLE grafana; SET statement_timeout = {CUT_MS}")
    return connection


async def ask_panels(dsn: str, newest: datetime, days: int, times: int, folder: Path = FOLDER) -> Milliseconds:
    """Milliseconds of every panel's query; one that Grafana's limit cuts off counts as that long."""
    connection = await as_grafana(dsn)
    try:
        return {
            asked.name: await timed(functools.partial(_answer, connection, asked.statement), times)
            for asked in await statements(connection, newest, days, folder)
        }
    finally:
        await connection.close(timeout=10)


async def _answer(connection: Connection, statement: str) -> None:
    try:
        await connection.fetch(statement)
    except asyncpg.QueryCanceledError:
        return


def calls(newest: datetime, days: int) -> dict[str, tuple[str, dict[str, str]]]:
    """Name -> path and parameters of every kind of API call, one page each."""
    plain = (
        "live",
        "status",
        "flow",
        "city",
        "alarms",
        "ledger",
        "deadletters",
        "deadletters/reasons",
        "device-clocks",
    )
    found: dict[str, tuple[str, dict[str, str]]] = {name: (f"/api/v1/{name}", {}) for name in plain}
    found |= {
        "devices, 1,000": ("/api/v1/devices", {"limit": "1000"}),
        "devices by name": ("/api/v1/devices", {"q": "station 99"}),
        "series, 1,000": ("/api/v1/series", {"limit": "1000"}),
        "one device": ("/api/v1/devices/dev-00124", {}),
        "alarms of all states": ("/api/v1/alarms", {"state": "all", "limit": "1000"}),
        "alarms of a device": ("/api/v1/alarms", {"state": "all", "device": "dev-00124"}),
        "deadletters by reason": ("/api/v1/deadletters", {"reason": "out_of_range", "limit": "1000"}),
        "deadletters/reasons, 30 d": ("/api/v1/deadletters/reasons", {"days": "30"}),
    }
    one = {"device": "dev-00124", "metric": "pm2_5", "to": newest.isoformat(), "limit": "10000"}
    for name, length_days, _ in RANGES:
        if length_days <= days:
            begins = (newest - timedelta(days=length_days)).isoformat()
            found[f"readings, {name}"] = ("/api/v1/readings", one | {"from": begins})
            found[f"windows, {name}"] = ("/api/v1/windows", one | {"from": begins, "size": SIZES[name]})
    return found


async def ask_api(url: str, newest: datetime, days: int, times: int) -> Milliseconds:
    """Milliseconds of every kind of API call, and of all calls together that the page opens with."""
    found: Milliseconds = {}
    async with httpx.AsyncClient(base_url=url, timeout=_BUDGET_S, trust_env=False) as client:
        for name, (path, parameters) in calls(newest, days).items():
            found[name] = await timed(functools.partial(get, client, path, parameters), times)
        found["the page opens (all calls)"] = await timed(functools.partial(open_page, client), max(_LEAST, times // 2))
    return found


async def open_page(client: httpx.AsyncClient) -> None:
    """What control_center/ui asks for when it opens: lists to their last page, two at a time."""
    await get(client, "/api/v1/city", {})
    await asyncio.gather(every_page(client, "/api/v1/devices"), every_page(client, "/api/v1/series"))
    for path in ("live", "status", "flow", "ledger", "deadletters/reasons"):
        await get(client, f"/api/v1/{path}", {})
    await every_page(client, "/api/v1/alarms", state="open")


async def every_page(client: httpx.AsyncClient, path: str, **parameters: str) -> int:
    """Follow the cursor to the end; the number of items."""
    items, asked = 0, {"limit": "1000", **parameters}
    while True:
        answer = (await get(client, path, asked)).json()
        items += len(answer["items"])
        if answer["next_cursor"] is None:
            return items
        asked = {**asked, "cursor": answer["next_cursor"]}


async def get(client: httpx.AsyncClient, path: str, parameters: dict[str, str]) -> httpx.Response:
    """A call that must succeed."""
    answer = await client.get(path, params=parameters)
    assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text[:300]}"
    return answer


async def timed(ask: Callable[[], Awaitable[object]], times: int) -> list[float]:
    """Milliseconds of each of `times` questions after one that does not count; fewer, but at least five, where they are slow."""
    await ask()
    taken: list[float] = []
    began = time.monotonic()
    while len(taken) < times and (len(taken) < _LEAST or time.monotonic() - began < _SPENT_S):
        asked = time.perf_counter()
        await ask()
        taken.append((time.perf_counter() - asked) * 1e3)
    return taken
