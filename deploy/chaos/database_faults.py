"""Faults of the database: connections ended, a lock held, an earlier state put back, its disk full."""

import asyncio
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import psutil

from deploy.chaos.arena import Arena
from deploy.chaos.small_disk import SmallDisk
from deploy.chaos.waits import NotHere, pause, until
from deploy.local.trouble import Trouble

_COPY_BUDGET_S = 120
_TERMINATE = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE application_name LIKE 'citynerve%' AND state <> 'idle' AND pid <> pg_backend_pid()
"""
_REFUSED = "SELECT count(*) FROM city.dead_letters WHERE reason = 'refused_by_database'"
_RESTARTS = 'citynerve_processor_restarts_total{reason="%s"}'
_FULL_BUDGET_S = 60.0
_END_S = 8.0
_LITTLE_WAL = (
    "ALTER SYSTEM SET max_wal_size = '64MB'",
    "ALTER SYSTEM SET min_wal_size = '32MB'",
    "SELECT pg_reload_conf()",
    "CHECKPOINT",
)
"""After a long run gigabytes of it would have to be moved to the small file system, and used up there."""
_USUAL_WAL = ("ALTER SYSTEM RESET max_wal_size", "ALTER SYSTEM RESET min_wal_size", "SELECT pg_reload_conf()")
_WAL_BYTES, _WAL_MESSAGE_BYTES = 4 << 30, 1 << 20
_WAL_MESSAGE = f"SELECT pg_logical_emit_message(true, 'chaos', repeat('x', {_WAL_MESSAGE_BYTES}))"
_AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
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


@dataclass(frozen=True, slots=True)
class FullPostgresDisk:
    """PostgreSQL's data on a small file system that something else fills. First COPY is refused; then the WAL cannot grow either,
    and PostgreSQL mostly ends itself (PANIC). If so it is started again when there is room, as its supervisor would.
    """

    spare_bytes: int = 96 * 1024 * 1024
    full_s: float = 12.0

    def __call__(self, arena: Arena) -> None:
        data = arena.stack.place.data("postgres")
        refused = asyncio.run(_count(arena.dsn, _REFUSED))
        asyncio.run(_run(arena.dsn, _LITTLE_WAL))
        arena.terminate("postgres")
        size = sum(path.stat().st_size for path in data.rglob("*") if path.is_file())
        try:
            if size > psutil.virtual_memory().available // 2:
                raise NotHere(f"the database's {size >> 20} MB do not fit into memory, where the small file system is")
            with SmallDisk(arena.folder / "postgres-disk", size + self.spare_bytes) as disk:
                _move(data, disk.path / "postgres")
                data.symlink_to(disk.path / "postgres")
                try:
                    arena.start("postgres")
                    self._full(arena, disk)
                finally:
                    arena.terminate("postgres")
                    data.unlink()
                    _move(disk.path / "postgres", data)
        finally:
            arena.start("postgres")
            asyncio.run(_run(arena.dsn, _USUAL_WAL))
        if asyncio.run(_count(arena.dsn, _REFUSED)) != refused:
            raise Trouble("readings became dead letters because the disk was full")

    def _full(self, arena: Arena, disk: SmallDisk) -> None:
        until(lambda: _caught_up(arena), _FULL_BUDGET_S, "the processor caught up")
        before = {reason: arena.metric("process", _RESTARTS % reason) for reason in ("database", "internal")}
        ends_s = time.monotonic() + self.full_s
        while time.monotonic() < ends_s:
            disk.fill()  # again and again: what it removes itself must not help it
            pause(0.3)
        if arena.metric("process", _RESTARTS % "database") == before["database"]:
            raise Trouble(f"PostgreSQL worked on with {disk.free_bytes} bytes free; nothing was tested")
        if arena.metric("process", _RESTARTS % "internal") != before["internal"]:
            raise Trouble("the processor took the full disk for a mistake of its own")
        self._end_it(arena, disk)
        disk.relieve()
        arena.over()
        if "postgres" not in arena.stack.records:
            arena.start("postgres")
        until(lambda: _caught_up(arena), _FULL_BUDGET_S, "the processor caught up")

    @staticmethod
    def _end_it(arena: Arena, disk: SmallDisk) -> None:
        """Use up the WAL until PostgreSQL ends. It need not: after a PANIC of its checkpointer alone it lives on and serves nobody."""
        ends_s = time.monotonic() + _END_S
        while "postgres" in arena.stack.records and time.monotonic() < ends_s:
            asyncio.run(_use_up_the_wal(arena.dsn))
            disk.fill()
            pause(0.3)


def _caught_up(arena: Arena) -> bool:
    lag_s = arena.metric("process", "citynerve_processor_lag_seconds")
    return lag_s is not None and lag_s < 1


def _move(data: Path, to: Path) -> None:
    """With `cp`, which keeps the owner: he is another user where we are root."""
    subprocess.run(["cp", "-a", str(data), str(to)], check=True, timeout=_COPY_BUDGET_S)
    shutil.rmtree(data)


async def _use_up_the_wal(dsn: str) -> None:
    """Write WAL and nothing else, until what was set aside for it is used up."""
    try:
        connection = await asyncpg.connect(dsn, timeout=10)
    except _AWAY:
        return
    try:
        for _ in range(_WAL_BYTES // _WAL_MESSAGE_BYTES):
            await connection.execute(_WAL_MESSAGE, timeout=10)
    except _AWAY:
        return
    finally:
        connection.terminate()
    raise Trouble(f"PostgreSQL had room for {_WAL_BYTES >> 20} MB of WAL on a full disk; nothing was tested")


async def _run(dsn: str, statements: tuple[str, ...]) -> None:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        for statement in statements:  # one by one: ALTER SYSTEM takes no transaction
            await connection.execute(statement, timeout=_COPY_BUDGET_S)
    finally:
        await connection.close(timeout=10)


async def _count(dsn: str, query: str) -> int:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        return int(await connection.fetchval(query))
    finally:
        await connection.close(timeout=10)
