"""Twenty operators with the dashboard open at once: the answer times of its panels through one small pool of connections."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from datetime import datetime
from itertools import cycle

import asyncpg

from tests.benchmarks.questions import CUT_MS, RANGES, Asked, as_grafana, statements

OPERATORS = 20
POOL = 4
EVERY_S = 10.0
"""Three times as often as the board refreshes by itself."""
_WATCHED_S = 30.0
_BUDGET_S = 60.0


async def refreshing(dsn: str, newest: datetime, days: int) -> list[float]:
    """Milliseconds of every answer, the wait for a connection included. Operators refresh in turn; each watches one of the ranges."""
    connection = await as_grafana(dsn)
    try:
        asked = await statements(connection, newest, days)
    finally:
        await connection.close(timeout=10)
    ranges = cycle([name for name, length_days, _ in RANGES if length_days <= days])
    boards = [_board(asked, next(ranges)) for _ in range(OPERATORS)]
    async with asyncpg.create_pool(dsn, min_size=POOL, max_size=POOL, setup=_setup, command_timeout=_BUDGET_S) as pool:
        until = time.monotonic() + _WATCHED_S
        watched = await asyncio.gather(
            *(_watch(pool, board, number * EVERY_S / OPERATORS, until) for number, board in enumerate(boards))
        )
    return [taken for one in watched for taken in one]


def _board(asked: Sequence[Asked], range_name: str) -> list[str]:
    """The statements of one refresh: panels of that range, and those that have none."""
    return [one.statement for one in asked if one.name.endswith(f", {range_name}") or "," not in one.name]


async def _setup(connection: asyncpg.pool.PoolConnectionProxy[asyncpg.Record]) -> None:
    await connection.execute(f"SET ROLE grafana; SET statement_timeout = {CUT_MS}")


async def _watch(pool: asyncpg.Pool[asyncpg.Record], board: Sequence[str], after_s: float, until: float) -> list[float]:
    await asyncio.sleep(after_s)
    taken: list[float] = []
    while time.monotonic() < until:
        began = time.monotonic()
        taken += await asyncio.gather(*(_answered(pool, statement) for statement in board))
        await asyncio.sleep(max(0.0, began + EVERY_S - time.monotonic()))
    return taken


async def _answered(pool: asyncpg.Pool[asyncpg.Record], statement: str) -> float:
    asked = time.perf_counter()
    async with pool.acquire(timeout=_BUDGET_S) as connection:
        with contextlib.suppress(asyncpg.QueryCanceledError):  # counted as long as Grafana waits for it
            await connection.fetch(statement)
    return (time.perf_counter() - asked) * 1e3
