"""Faults of the database: connections ended, a lock held, and an earlier state put back."""

import asyncio
import shutil
import subprocess
from dataclasses import dataclass

import asyncpg

from deploy.chaos.arena import Arena
from deploy.chaos.waits import pause
from deploy.local.trouble import Trouble

_COPY_BUDGET_S = 120
_TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name LIKE 'citynerve%' AND state <> 'idle' AND pid <> pg_backend_pid()
"""
_LOCK = "LOCK TABLE city.offsets IN ACCESS EXCLUSIVE MODE"


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


@dataclass(frozen=True, slots=True)
class RestoreEarlier:
    """The database's files are copied and put back after a while: cursors go back with the rows, Kafka is read again from there."""

    for_s: float

    def __call__(self, arena: Arena) -> None:
        data = arena.stack.place.data("postgres")
        copy = data.with_name("postgres-copy")
        arena.terminate("postgres")
        # cp keeps the owner, who is another user where we are root
        subprocess.run(["cp", "-a", str(data), str(copy)], check=True, timeout=_COPY_BUDGET_S)
        arena.start("postgres")
        pause(self.for_s)
        arena.kill("postgres")
        shutil.rmtree(data)
        copy.rename(data)
        arena.over()
        arena.start("postgres")
