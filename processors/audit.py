"""The audit beside the sessions: counts the stored rows of today, yesterday and one older day in turn, one processor at a time.

A theft, a manual DELETE or a second writer changes rows without the ledger; nothing that only follows frames can see that.
"""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import UTC, date, datetime, timedelta
from typing import TypeAlias

import asyncpg

from processors.contract.audit import AUDIT_LOCK, DayAudit, audit_day, days_stored
from processors.contract.database import DatabaseSettings
from processors.metrics import ProcessorMetrics

log = logging.getLogger(__name__)
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_SHARE = 1 / 20
"""At most this part of the time is spent counting, however large the days grow."""


def days_due(stored: list[date], today: date, after: date | None) -> tuple[list[date], date | None]:
    """Which days to audit now, and the older day of this turn: the next one back in time from `after`, beginning anew at the end.

    `stored` is in any order. Days ahead of today (clocks of devices) count as today: they are still written to.
    """
    yesterday = today - timedelta(days=1)
    due = sorted((day for day in stored if day >= yesterday), reverse=True)
    older = sorted((day for day in stored if day < yesterday), reverse=True)
    if not older:
        return due, None
    turn = next((day for day in older if after is not None and day < after), older[0])
    return [*due, turn], turn


class Auditor:
    """Audits for as long as it runs. Trouble is counted and never ends it."""

    def __init__(self, database: DatabaseSettings, metrics: ProcessorMetrics, *, interval_s: float) -> None:
        self._database, self._metrics, self._interval_s = database, metrics, interval_s
        self._turn: date | None = None
        self._differing: set[date] = set()

    async def run(self) -> None:
        """Until cancelled."""
        failing = False
        while True:
            started = time.monotonic()
            try:
                await self._round()
                failing = False
            except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
                self._metrics.audits.labels("failed").inc()
                if not failing:  # one line an outage
                    log.warning("audit interrupted", extra={"fields": {"error": repr(error)}})
                failing = True
            took_s = time.monotonic() - started
            await asyncio.sleep(max(self._interval_s, took_s / _SHARE))

    async def _round(self) -> None:
        connection = await self._database.connect("citynerve audit")
        try:
            if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", AUDIT_LOCK):
                return  # another processor is at it
            due, self._turn = days_due(await days_stored(connection), datetime.now(UTC).date(), self._turn)
            for day in due:
                self._note(await audit_day(connection, day))
        finally:
            connection.terminate()

    def _note(self, found: DayAudit) -> None:
        differs = found.missing + found.doubled > 0
        self._metrics.audits.labels("differs" if differs else "equal").inc()
        if differs and found.day not in self._differing:
            log.error(
                "stored readings differ from the ledger",
                extra={"fields": {"day": str(found.day), "missing": found.missing, "doubled": found.doubled}},
            )
        (self._differing.add if differs else self._differing.discard)(found.day)
