"""The startable program: settings, status server, sessions one after the other until it is told to stop."""

from __future__ import annotations

import asyncio
import logging
import time

import asyncpg
import uvloop
from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry
from pydantic import BaseModel

from ingest.contract.broker import KafkaSettings
from ingest.contract.memory import give_back_now_and_then
from ingest.contract.operating import (
    EXIT_OK,
    EXIT_TROUBLE,
    configure_logging,
    load_sections,
    status_server,
    stop_event_on_signals,
)
from processors.audit import Auditor
from processors.contract.database import CitySettings, DatabaseSettings
from processors.cursors import FencedError
from processors.fleet import FleetSums
from processors.metrics import WAITS_FOR, ProcessorMetrics
from processors.pipeline import Session, StuckError
from processors.settings import ProcessorSettings

log = logging.getLogger(__name__)

_SECTIONS: dict[str, type[BaseModel]] = {
    "kafka": KafkaSettings,
    "database": DatabaseSettings,
    "city": CitySettings,
    "processors": ProcessorSettings,
}
_PAUSE_S = (0.2, 0.5, 1.0, 2.0, 5.0)


class ProcessorService:
    """Runs sessions; a failed one is followed by another after a pause."""

    def __init__(
        self, kafka: KafkaSettings, database: DatabaseSettings, city: CitySettings, settings: ProcessorSettings
    ) -> None:
        self.registry = CollectorRegistry()
        self.metrics = ProcessorMetrics(self.registry, settings.name)
        self._parts = (kafka, database, city, settings)
        self._settings = settings
        self._trouble: str | None = "starting"
        self._session: Session | None = None

    def reasons_not_ready(self) -> list[str]:
        """Why /readyz says 503; empty when partitions may be worked on (a member without any is ready too)."""
        return [] if self._trouble is None else [self._trouble]

    async def run(self, stop: asyncio.Event) -> int:
        """Until `stop`, or until nothing has worked for `restart_budget_s`; the exit code."""
        auditor = Auditor(self._parts[1], self.metrics, interval_s=self._settings.audit_interval_s)
        sums = FleetSums(self._parts[1], self.metrics, interval_s=self._settings.fleet_interval_s)
        beside = [
            asyncio.create_task(auditor.run(), name="audit"),
            asyncio.create_task(sums.run(), name="fleet"),
            asyncio.create_task(give_back_now_and_then(), name="memory"),
        ]
        try:
            return await self._sessions(stop)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)

    async def _sessions(self, stop: asyncio.Event) -> int:
        worked_at, failures = time.monotonic(), 0
        while not stop.is_set():
            session = self._session = Session(*self._parts, self.metrics, on_joined=self._joined)
            try:
                await session.run(stop)
                return EXIT_OK
            except Exception as error:
                self._note(error)
            if session.commits:
                worked_at, failures = time.monotonic(), 0
            if time.monotonic() - worked_at > self._settings.restart_budget_s:
                log.critical("nothing was committed for %.0f s; giving up", self._settings.restart_budget_s)
                return EXIT_TROUBLE
            await _pause(stop, _PAUSE_S[min(failures, len(_PAUSE_S) - 1)])
            failures += 1
        return EXIT_OK

    def _joined(self) -> None:
        self._trouble = None
        for name in WAITS_FOR:
            self.metrics.waiting.set(name, waits=False)

    def _note(self, error: Exception) -> None:
        reason, cause = reason_of(error)
        self.metrics.restarts.labels(reason).inc()
        if reason == "fenced":
            self.metrics.fenced.inc()
        if reason in WAITS_FOR:
            self.metrics.waiting.set(reason, waits=True)
        self._trouble = f"{reason}: {cause}"
        log.warning(
            "session ended, starting again: %s", cause, extra={"fields": {"reason": reason}},
            exc_info=cause if reason == "internal" else None,
        )  # fmt: skip


def reason_of(error: BaseException) -> tuple[str, BaseException]:
    """The reason label of a session's end, and the error that caused it."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, FencedError):
        return "fenced", error
    if isinstance(error, StuckError):
        return "stuck", error
    if isinstance(error, KafkaError):
        return "kafka", error
    # a killed backend may surface as InternalClientError, which is neither of asyncpg's documented roots (FAILURES 28)
    if isinstance(error, asyncpg.PostgresError | asyncpg.InterfaceError | asyncpg.InternalClientError | OSError):
        return "database", error
    return "internal", error


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return


def run_service(name: str | None = None) -> int:
    """Read the settings and run until a signal; the exit code. A wrong setting is a UserError."""
    loaded = load_sections(_SECTIONS, None)
    kafka, database, city, settings = (loaded[section] for section in _SECTIONS)
    assert isinstance(kafka, KafkaSettings)  # noqa: S101 - narrows for mypy what load_sections built
    assert isinstance(database, DatabaseSettings)  # noqa: S101
    assert isinstance(city, CitySettings)  # noqa: S101
    assert isinstance(settings, ProcessorSettings)  # noqa: S101
    if name is not None:
        settings = ProcessorSettings.model_validate(settings.model_dump() | {"name": name})
    configure_logging()
    for noisy in ("aiokafka", "uvicorn"):
        logging.getLogger(noisy).setLevel("WARNING")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(ProcessorService(kafka, database, city, settings), settings))


async def _serve(service: ProcessorService, settings: ProcessorSettings) -> int:
    stop = stop_event_on_signals()
    async with status_server(settings.http_host, settings.http_port, service.registry, service.reasons_not_ready):
        return await service.run(stop)
