"""Faults of clocks: the wall clock of one part steps by an hour and back while it runs."""

import asyncio
import time
from dataclasses import dataclass
from datetime import datetime
from email.utils import parsedate_to_datetime

import asyncpg
import httpx

from deploy.chaos.arena import Arena
from deploy.chaos.clock_arena import ClockArena
from deploy.chaos.waits import pause, until
from deploy.local.readiness import HOST
from deploy.local.trouble import Trouble

HOUR_S = 3600
_FOR_S = 12.0
_BUDGET_S = 15.0
_NEAR_S = 60.0
_REFUSED_FOR_TIME = """
SELECT count(*) FROM city.dead_letters WHERE letter_id > $1 AND reason IN ('in_future', 'too_old')
    AND abs(substring(detail FROM ' at (-?[0-9]+) us')::numeric / 1000000 - extract(epoch FROM now())) < 86400"""
"""Good readings; those of the simulator that are to be refused are a year ahead."""
_LAST_LETTER = "SELECT coalesce(max(letter_id), 0) FROM city.dead_letters"
_WATERMARKS = "SELECT coalesce(extract(epoch FROM max(watermark)), 0) FROM city.offsets"


@dataclass(frozen=True, slots=True)
class StepClock:
    """The wall clock of `part` steps by `by_s`, stays there for a while, and steps back."""

    part: str
    by_s: int

    def __call__(self, arena: Arena) -> None:
        assert isinstance(arena, ClockArena)  # noqa: S101 - narrows for mypy: the table says so
        letters = _ask(arena, _LAST_LETTER)
        arena.clocks[self.part].set(self.by_s)
        try:
            until(
                lambda: abs(_seen_off_s(arena, self.part) - self.by_s) < _NEAR_S,
                _BUDGET_S,
                f"{self.part}'s clock stepped",
            )
            pause(_FOR_S)
            self._watermark_is_sound(arena)
        finally:
            arena.clocks[self.part].set(0)
        arena.over()
        until(lambda: abs(_seen_off_s(arena, self.part)) < _NEAR_S, _BUDGET_S, f"{self.part}'s clock is right again")
        self._watermark_is_sound(arena)
        if refused := _ask(arena, _REFUSED_FOR_TIME, letters):
            arena.problems.append(f"{refused:.0f} messages with good readings became dead letters for their time")

    def _watermark_is_sound(self, arena: Arena) -> None:
        ahead_s = _ask(arena, _WATERMARKS) - time.time()
        if ahead_s > 0:
            arena.problems.append(f"a watermark is {ahead_s:.0f} s ahead of the time")


def _seen_off_s(arena: ClockArena, part: str) -> float:
    """How far a part's clock is off: Kafka's as the gateway sees it, a service's as its answers are dated."""
    if part == "kafka":
        return arena.metric("ingest", "citynerve_ingest_kafka_clock_off_seconds") or 0.0
    ports = arena.stack.ports
    port = {"ingest": ports.ingest_port, "process": ports.processor_port, "control": ports.control_port}[part]
    try:
        dated = httpx.get(f"http://{HOST}:{port}/metrics", timeout=2.0, trust_env=False).headers["date"]
    except (httpx.HTTPError, KeyError):
        return 0.0
    said: datetime = parsedate_to_datetime(dated)
    return said.timestamp() - time.time()


def _ask(arena: Arena, query: str, *arguments: object) -> float:
    async def asked() -> float:
        connection = await asyncpg.connect(arena.dsn, timeout=10)
        try:
            return float(await connection.fetchval(query, *arguments))
        finally:
            await connection.close(timeout=10)

    try:
        return asyncio.run(asked())
    except (OSError, asyncpg.PostgresError) as error:
        raise Trouble(f"the database does not answer: {error}") from None
