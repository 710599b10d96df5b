"""What is seen of the stack while faults happen: twice a second, from outside, and without a value where a part does not answer."""

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import asyncpg

from deploy.chaos.arena import Arena
from deploy.demo_figures import Sent, Totals

EVERY_S = 0.5
_ANSWER_BUDGET_S = 2.0
_NAMES = ("received", "stored", "duplicate", "dead_letter", "refused", "in_flight", "unaccounted", "redelivered")
_QUERY = f"SELECT {', '.join(f'coalesce(sum({name}), 0)::bigint AS {name}' for name in _NAMES)} FROM city_view.ledger"


@dataclass(frozen=True, slots=True)
class Sample:
    """One look. Readings are cumulative; None where nobody answered."""

    at_s: float
    acked: int
    placed: int | None
    in_flight: int | None
    lag_s: float | None
    spool_bytes: float | None


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
            totals = self.totals()
            self.samples.append(
                Sample(
                    time.monotonic(),
                    self._sent().acked_readings,
                    None if totals is None else placed(totals),
                    None if totals is None else totals.in_flight,
                    self._arena.metric("process", "citynerve_processor_lag_seconds"),
                    self._arena.metric("ingest", "citynerve_ingest_spool_bytes"),
                )
            )
