"""Faults of a line between two parts, and of the database's connections."""

import asyncio
from dataclasses import dataclass

import asyncpg

from deploy.chaos.arena import Arena
from deploy.chaos.proxy import Weather
from deploy.chaos.waits import pause
from deploy.local.trouble import Trouble

_TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name LIKE 'citynerve%' AND state <> 'idle' AND pid <> pg_backend_pid()
"""
_LOCK = "LOCK TABLE city.offsets IN ACCESS EXCLUSIVE MODE"


@dataclass(frozen=True, slots=True)
class UnderWeather:
    """A line under a weather for a while."""

    edge: tuple[str, str]
    for_s: float
    cut: bool = False
    black_hole: bool = False
    latency_s: float = 0.0
    bytes_per_s: float = 0.0
    lose_every: int = 0
    resets: int = 0

    def __call__(self, arena: Arena) -> None:
        line = arena.lines[self.edge]
        hurt_before = line.hurt
        weather = Weather(self.cut, self.black_hole, self.latency_s, self.bytes_per_s, self.resets, self.lose_every)
        with line.under(weather):
            pause(self.for_s)
        arena.over()
        if (self.cut or self.lose_every or self.resets) and line.hurt == hurt_before:
            raise Trouble(
                f"the fault touched nothing on the line {self.edge[0]} - {self.edge[1]} within {self.for_s:.0f} s"
            )


@dataclass(frozen=True, slots=True)
class TerminateBackends:
    """Every busy backend of ours is terminated again and again."""

    for_s: float
    every_s: float = 0.2

    def __call__(self, arena: Arena) -> None:
        if not asyncio.run(self._terminate(arena.dsn)):
            raise Trouble("no busy backend was met, so nothing was tested")
        arena.over()

    async def _terminate(self, dsn: str) -> int:
        connection = await asyncpg.connect(dsn, timeout=10)
        terminated = 0
        try:
            for _ in range(int(self.for_s / self.every_s)):
                terminated += len(await connection.fetch(_TERMINATE))
                await asyncio.sleep(self.every_s)
        finally:
            await connection.close(timeout=10)
        return terminated


@dataclass(frozen=True, slots=True)
class HoldLock:
    """Somebody holds the table of cursors."""

    for_s: float

    def __call__(self, arena: Arena) -> None:
        asyncio.run(self._hold(arena.dsn))
        arena.over()

    async def _hold(self, dsn: str) -> None:
        connection = await asyncpg.connect(dsn, timeout=10)
        try:
            async with connection.transaction():
                await connection.execute(_LOCK)
                await asyncio.sleep(self.for_s)
        finally:
            await connection.close(timeout=10)
