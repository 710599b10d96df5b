"""The state of the data's way, taken once a second for all who ask: rates from the ledger, lag from the topic, alarms, stale devices."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import asyncpg

from control_center.api.payloads import StatusItem
from control_center.catching_up import BacklogWatch, CatchingUp
from control_center.flow import Facts, chain, draining_bytes
from control_center.flow_text import FlowItem, flow_item
from control_center.live import LiveTail
from control_center.metrics import GAP_REASONS, LEDGER_STATES, SEVERITIES, ControlMetrics
from control_center.neighbours import Neighbours
from control_center.queries import DATABASE_AWAY, Queries
from control_center.rows import LedgerAudit, LedgerTotals, Overview
from control_center.stream import Hub
from control_center.texts import Language

_log = logging.getLogger(__name__)

RATE_WINDOW_S: Final = 10.0
INTERVAL_S: Final = 1.0
_REGISTER_EVERY: Final = 60
_CLOCKS_EVERY: Final = 30
"""Samples: out of 20,000 letters the answer takes 0.2 s."""
_MOST_CLOCKS: Final = 100_000


@dataclass(frozen=True, slots=True)
class Rates:
    """Readings a second, averaged over the last seconds."""

    received: float = 0.0
    stored: float = 0.0
    rejected: float = 0.0
    duplicate: float = 0.0


class RateWindow:
    """Rates from cumulative totals. A total that falls (a life closed without its last words) counts as no progress."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, LedgerTotals]] = deque()

    def add(self, at_s: float, totals: LedgerTotals) -> Rates:
        """`at_s`: any steady clock, seconds."""
        self._samples.append((at_s, totals))
        while at_s - self._samples[0][0] > RATE_WINDOW_S:
            self._samples.popleft()
        first_at, first = self._samples[0]
        span = at_s - first_at
        if span <= 0:
            return Rates()

        def rate(new: int, old: int) -> float:
            return round(max(0, new - old) / span, 3)

        return Rates(
            received=rate(totals.received, first.received),
            stored=rate(totals.stored, first.stored),
            rejected=rate(totals.dead_letter + totals.refused, first.dead_letter + first.refused),
            duplicate=rate(totals.duplicate, first.duplicate),
        )


class StatusSampler:
    """Runs the one query a second, sets the gauges, feeds the streams."""

    def __init__(
        self,
        queries: Queries,
        live: LiveTail,
        hub: Hub,
        metrics: ControlMetrics,
        *,
        neighbours: Neighbours,
        topic: str,
        stale_after_intervals: float,
    ) -> None:
        self._queries = queries
        self._live = live
        self._hub = hub
        self._metrics = metrics
        self._topic = topic
        self._stale_after = stale_after_intervals
        self._neighbours = neighbours
        self._window = RateWindow()
        self._rates = Rates()
        self._backlog = BacklogWatch()
        self._catching_up: CatchingUp | None = None
        self._sampled_at: datetime | None = None
        self.overview: Overview | None = None
        self.problem: str | None = "the database has not been read yet"

    async def run(self) -> None:
        """Sample and tell for ever. Telling waits for no sample: a database that hangs must not make the page look dead."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._sample(), name="status sample")
            tasks.create_task(self._tell(), name="status")

    async def _sample(self) -> None:
        """A database that is away leaves the last numbers, the problem, and NaN where they would mislead."""
        loop = asyncio.get_running_loop()
        turn, said = 0, False
        while True:
            due = loop.time() + INTERVAL_S
            try:
                with self._metrics.waiting.during("database"):
                    if turn % _REGISTER_EVERY == 0:
                        self._live.values.set_intervals(await self._queries.device_intervals())
                    if turn % _CLOCKS_EVERY == 0:
                        self._metrics.wrong_clocks.set(len(await self._queries.device_clocks(limit=_MOST_CLOCKS)))
                    overview = await self._queries.overview(self._topic)
                self._observe(overview, loop.time())
                turn, said = turn + 1, False
            except (asyncpg.PostgresError, *DATABASE_AWAY) as error:
                if not said:  # one line an outage
                    _log.warning("status not known", extra={"fields": {"error": repr(error)}})
                said = True
                self.problem = f"the database does not answer: {error!r}"
                self._metrics.lag_seconds.set(math.nan)
            await asyncio.sleep(max(0.05, due - loop.time()))

    def _observe(self, overview: Overview, at_s: float) -> None:
        self.overview, self.problem, self._sampled_at = overview, None, self._live.clock.now()
        self._rates = self._window.add(at_s, overview.totals)
        self._set_gauges(overview, self.current(self._sampled_at))

    async def _tell(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            now = self._live.clock.now()
            status = self.current(now)
            self._catching_up = self._backlog.observe(
                lag_s=status.lag_s,
                event_age_s=None if status.watermark is None else (now - status.watermark).total_seconds(),
                draining_bytes=draining_bytes(self._neighbours.reports("gateway")),
                at_s=loop.time(),
            )
            left_s = None if self._catching_up is None else self._catching_up.left_s
            self._metrics.catching_up_left_s.set(math.nan if left_s is None else left_s)
            if self.problem is None or self._sampled_at is not None:
                self._hub.publish_status(self.current(now))
            await asyncio.sleep(INTERVAL_S)

    def flow(self, now: datetime, language: Language) -> FlowItem:
        """Who waits for whom, in one language."""
        overview, status = self.overview, self.current(now)
        facts = Facts(
            now=now,
            gateways=self._neighbours.reports("gateway"),
            processors=self._neighbours.reports("processor"),
            heard=overview.gateways if overview is not None else (),
            kafka_away_s=self._metrics.waiting.seconds("kafka"),
            database_away_s=self._metrics.waiting.seconds("database"),
            lag_s=status.lag_s,
            catching_up=self._catching_up,
            devices=overview.devices if overview is not None else None,
            stale_devices=status.stale_devices,
        )
        return flow_item(chain(facts), self._catching_up, now, language)

    def now(self) -> datetime:
        """The time, whatever this machine's clock does."""
        return self._live.clock.now()

    def current(self, now: datetime) -> StatusItem:
        """The last sample as the API gives it; zeros before the first."""
        overview = self.overview or Overview(LedgerTotals(0, 0, 0, 0, 0, 0, 0, 0, 0), LedgerAudit(), (), {}, 0)
        watermarks = [cursor.watermark for cursor in overview.cursors if cursor.watermark is not None]
        return StatusItem(
            lag_s=None if self.problem else self._live.lag_s(overview.cursors, now),
            watermark=min(watermarks, default=None),
            readings_per_s=self._rates.received,
            stored_per_s=self._rates.stored,
            rejected_per_s=self._rates.rejected,
            duplicate_per_s=self._rates.duplicate,
            in_flight=overview.totals.in_flight,
            unaccounted=overview.totals.unaccounted,
            active_alarms=sum(overview.active_alarms.values()),
            spooled=overview.totals.spooled,
            devices=overview.devices,
            stale_devices=self._live.stale_devices(now, self._stale_after),
            sampled_at=self._sampled_at,
            behind_s=None if self._catching_up is None else round(self._catching_up.behind_s, 1),
            left_s=None
            if self._catching_up is None or self._catching_up.left_s is None
            else round(self._catching_up.left_s, 1),
        )

    def _set_gauges(self, overview: Overview, status: StatusItem) -> None:
        self._metrics.unaccounted.set(overview.totals.unaccounted)
        self._metrics.doubled.set(overview.audit.doubled)
        for reason in GAP_REASONS:
            self._metrics.recent_gaps.labels(reason).set(sum(gap.reason == reason for gap in overview.recent_gaps))
        for state in LEDGER_STATES:
            self._metrics.ledger.labels(state).set(getattr(overview.totals, state))
        for severity in SEVERITIES:
            self._metrics.active_alarms.labels(severity).set(overview.active_alarms.get(severity, 0))
        self._metrics.stale_devices.set(status.stale_devices)
        self._metrics.lag_seconds.set(math.nan if status.lag_s is None else status.lag_s)
