"""The way of an alarm, in order: conditions -> alarms (store) -> Kafka (publish) -> Alertmanager (notify). Nothing else happens here."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from typing import Any, Final

import asyncpg

from control_center.alarms.gap_watch import GapWatch
from control_center.alarms.leadership import leadership
from control_center.alarms.ledger_watch import LedgerWatch
from control_center.alarms.notify import Notifier
from control_center.alarms.publish import AlarmPublisher, KafkaAwayError
from control_center.alarms.rules import INTERNAL_SUBJECT, OFFSET_GAP, UNACCOUNTED
from control_center.alarms.store import BATCH, Connection, Taken, open_subjects, sync_rules, take_changes, take_internal
from control_center.metrics import ControlMetrics
from control_center.queries import DATABASE_AWAY
from control_center.settings import ControlSettings
from control_center.status import StatusSampler
from processors.contract.database import DatabaseSettings
from processors.contract.rules import Rule
from processors.contract.tables import CONDITIONS_CHANNEL

_log = logging.getLogger(__name__)
_RETRY_S: Final = 2.0
_LOOK_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class AlarmStages:
    """The stages of the leading replica. `run` until cancelled."""

    database: DatabaseSettings
    settings: ControlSettings
    rules: list[Rule]
    status: StatusSampler
    publisher: AlarmPublisher
    notifier: Notifier | None
    metrics: ControlMetrics

    async def run(self) -> None:
        """Lead whenever possible; any trouble with the database ends the turn and begins another."""
        said = False
        while True:
            try:
                async with leadership(self.database) as connection:
                    said = False
                    await self._lead(connection)
            except* (asyncpg.PostgresError, *DATABASE_AWAY) as group:
                self.metrics.alarm_restarts.inc()
                if not said:  # one line an outage
                    _log.warning("alarm stages interrupted", extra={"fields": {"error": repr(group.exceptions[0])}})
                said = True
            finally:
                self.metrics.leading.set(0)
            await asyncio.sleep(_RETRY_S)

    async def _lead(self, connection: Connection) -> None:
        self._count(await sync_rules(connection, self.rules, self.status.now()))
        self.metrics.leading.set(1)
        changed = [asyncio.Event(), asyncio.Event()]
        async with asyncio.TaskGroup() as stages:
            stages.create_task(self._take(connection, changed), name="alarms: take changes")
            stages.create_task(self._publish(changed[0]), name="alarms: publish")
            if self.notifier is not None:
                stages.create_task(self._notify(self.notifier, changed[1]), name="alarms: notify")

    async def _take(self, connection: Connection, changed: list[asyncio.Event]) -> None:
        active = INTERNAL_SUBJECT in await open_subjects(connection, UNACCOUNTED)
        watch = LedgerWatch(after_s=self.settings.unaccounted_after_s, active=active)
        gaps = GapWatch(active=INTERNAL_SUBJECT in await open_subjects(connection, OFFSET_GAP))
        waiting = await self._listen(connection)
        while True:
            waiting.clear()
            taken = await take_changes(connection, self.status.now())
            events = self._count(taken) + await self._look_at_ledger(connection, watch, gaps)
            if events:
                for event in changed:
                    event.set()
            if taken.changes < BATCH:
                # the ledger is looked at this often in any case, and a notification that did not come costs no more than this
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self.settings.alarm_poll_s):
                        await waiting.wait()

    @staticmethod
    async def _listen(connection: Connection) -> asyncio.Event:
        """An event that processors set by the commit that holds new changes."""
        waiting = asyncio.Event()

        def on_notify(*_: Any) -> None:
            waiting.set()

        await connection.add_listener(CONDITIONS_CHANNEL, on_notify)
        return waiting

    async def _look_at_ledger(self, connection: Connection, watch: LedgerWatch, gaps: GapWatch) -> int:
        overview = self.status.overview
        if overview is None or self.status.problem is not None:
            return 0
        now = self.status.now()
        found = [watch.observe(overview.totals, overview.audit, now), gaps.observe(overview.recent_gaps, now)]
        changes = [change for change in found if change is not None]
        return self._count(await take_internal(connection, changes, now)) if changes else 0

    async def _publish(self, changed: asyncio.Event) -> None:
        failing = False
        try:
            while True:
                try:
                    while await self.publisher.publish_waiting():
                        failing = False
                except KafkaAwayError as error:
                    if not failing:
                        _log.warning("alarm events wait for Kafka", extra={"fields": {"error": str(error)}})
                    failing = True
                # acknowledgements of other replicas wake nobody here, so the outbox is looked at every second
                await _wait(changed, _RETRY_S if failing else _LOOK_S)
        finally:
            await self.publisher.close()

    async def _notify(self, notifier: Notifier, changed: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        due = 0.0
        while True:
            everything = loop.time() >= due
            accepted = await notifier.tell(everything=everything)
            if everything and accepted:
                due = loop.time() + self.settings.notify_interval_s
            await _wait(changed, _LOOK_S if accepted else _RETRY_S)

    def _count(self, taken: Taken) -> int:
        for name, count in taken.events.items():
            self.metrics.alarm_changes.labels(name).inc(count)
        for reason, count in taken.ignored.items():
            self.metrics.alarm_changes_ignored.labels(reason).inc(count)
        return taken.events.total()


async def _wait(event: asyncio.Event, timeout_s: float) -> None:
    try:
        async with asyncio.timeout(timeout_s):
            await event.wait()
        event.clear()
        await asyncio.sleep(0.05)  # a burst of changes becomes one round
    except TimeoutError:
        pass
