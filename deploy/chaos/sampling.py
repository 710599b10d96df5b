"""What is seen of the stack while faults happen: twice a second, from outside, and without a value where a part does not answer."""

import asyncio
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import asyncpg

from deploy.chaos import memory
from deploy.chaos.arena import Arena
from deploy.chaos.scrape import largest
from deploy.demo_figures import Sent, Totals

EVERY_S = 0.5
_SERVERS_EVERY = 8
"""Looks between two at the servers' memory: those take more time than all the rest of a look."""
_ANSWER_BUDGET_S = 2.0
_NAMES = ("received", "stored", "duplicate", "dead_letter", "refused", "in_flight", "unaccounted", "redelivered")
_QUERY = f"SELECT {', '.join(f'coalesce(sum({name}), 0)::bigint AS {name}' for name in _NAMES)} FROM city_view.ledger"
_END_TO_END = "citynerve_processor_end_to_end_seconds"


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. Readings are cumulative; None where nobody answered.

    `latency_s`: from the gateway's receipt to the commit, the mean of the frames committed since the look before.
    `memory`: resident bytes by part.
    """

    at_s: float
    acked: int
    placed: int | None
    in_flight: int | None
    lag_s: float | None
    spool_bytes: float | None
    latency_s: float | None = None
    memory: Mapping[str, int] = field(default_factory=dict)


class LatencyWatch:
    """Makes the mean of what was added to a histogram since the look before; a process that began anew counts from 0."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0.0

    def mean_s(self, metrics: Mapping[str, float]) -> float | None:
        """None where nothing was added."""
        total, count = metrics.get(f"{_END_TO_END}_sum", 0.0), metrics.get(f"{_END_TO_END}_count", 0.0)
        if count < self._count:
            self._sum, self._count = 0.0, 0.0
        added, frames = total - self._sum, count - self._count
        self._sum, self._count = total, count
        return added / frames if frames > 0 else None


async def totals_of(dsn: str) -> Totals:
    """The sums of the ledger; raises OSError, TimeoutError or asyncpg.PostgresError where the database does not answer."""
    async with asyncio.timeout(_ANSWER_BUDGET_S):
        connection = await asyncpg.connect(dsn, timeout=_ANSWER_BUDGET_S)
        try:
            row = await connection.fetchrow(_QUERY)
        finally:
            connection.terminate()
    return Totals(**{name: int(row[name]) for name in _NAMES}) if row is not None else Totals()


def placed(totals: Totals) -> int:
    """Readings that have their place: a row, a duplicate's row, a dead letter, a counted refusal."""
    return totals.stored + totals.duplicate + totals.dead_letter + totals.refused


class Sampler:
    """A thread that looks on; `samples` grows."""

    def __init__(self, arena: Arena) -> None:
        self.samples: list[Sample] = []
        self._arena = arena
        before = self.totals()
        self.base = placed(before) if before is not None else 0
        """Readings placed before."""
        self._latency = LatencyWatch()
        self._latency.mean_s(arena.metrics("process") or {})
        self._end = threading.Event()

    def start(self, sent: Callable[[], Sent]) -> None:
        """Look on from now; `sent` answers what the load has had acknowledged."""
        self._sent = sent
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """No more samples."""
        self._end.set()
        self._thread.join(10)

    def totals(self) -> Totals | None:
        """The ledger's sums now; None where the database does not answer."""
        try:
            return asyncio.run(totals_of(self._arena.dsn))
        except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError):
            return None

    def _run(self) -> None:
        while not self._end.wait(EVERY_S):
            self.samples.append(self._look())

    def _look(self) -> Sample:
        taken = memory.ours(self._arena)
        if len(self.samples) % _SERVERS_EVERY == 0:
            taken |= memory.servers_together(self._arena)
        totals = self.totals()
        processor, gateway = self._arena.metrics("process"), self._arena.metrics("ingest")
        return Sample(
            time.monotonic(),
            self._sent().acked_readings,
            None if totals is None else placed(totals),
            None if totals is None else totals.in_flight,
            None if processor is None else largest(processor, "citynerve_processor_lag_seconds"),
            None if gateway is None else largest(gateway, "citynerve_ingest_spool_bytes"),
            None if processor is None else self._latency.mean_s(processor),
            taken,
        )
