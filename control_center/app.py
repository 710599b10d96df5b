"""The control center as one ASGI application: the lifespan opens and closes everything, and all routes stand in one list."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

from fastapi import Depends, FastAPI
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from control_center.alarms.feed import AlarmFeed
from control_center.alarms.notify import Links, Notifier
from control_center.alarms.pipeline import AlarmStages
from control_center.alarms.publish import AlarmPublisher
from control_center.alarms.store import AlarmDesk
from control_center.api import alarms, clocks, devices, ledger, now, operations, pages, readings, series, windows
from control_center.api.errors import install_error_handlers
from control_center.api.parameters import refuse_unknown_parameters
from control_center.guard import Guard
from control_center.live import LiveTail
from control_center.metrics import ControlMetrics
from control_center.neighbours import Neighbours
from control_center.parts import Parts
from control_center.queries import Queries
from control_center.retention_watch import RetentionWatch
from control_center.settings import ControlSettings
from control_center.status import StatusSampler
from control_center.stream import Hub
from ingest.contract.broker import KafkaSettings
from ingest.contract.steady_clock import SteadyClock
from processors.contract.database import CitySettings, DatabaseSettings
from processors.contract.rules import Rule

_log = logging.getLogger(__name__)

_READ_ONLY: Final = {"default_transaction_read_only": "on"}
RESOURCES: Final = (devices, clocks, series, readings, windows, alarms, ledger, now)
"""Every resource of the API; each file says its own paths."""


@dataclass(frozen=True, slots=True)
class ControlConfig:
    """Everything the control center needs to be told."""

    control: ControlSettings
    city: CitySettings
    kafka: KafkaSettings
    database: DatabaseSettings
    rules: list[Rule]


def create_app(config: ControlConfig) -> FastAPI:
    """The application; nothing connects before its lifespan starts."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    metrics = ControlMetrics(registry)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.failed = asyncio.Event()
        async with _open_parts(config, metrics, app.state.failed) as parts:
            app.state.parts = parts
            yield

    app = FastAPI(
        title="CityNerve", version=version("citynerve"), description="The control center's API. Times are RFC 3339, UTC.",
        openapi_url="/api/openapi.json", docs_url=None, redoc_url=None, lifespan=lifespan, redirect_slashes=False,
    )  # fmt: skip
    for resource in RESOURCES:
        app.include_router(resource.router, dependencies=[Depends(refuse_unknown_parameters)])
    app.include_router(operations.router)
    app.include_router(pages.router)
    pages.install_page(app)
    install_error_handlers(app)
    app.add_middleware(Guard, settings=config.control, metrics=metrics)
    app.state.metrics = metrics
    app.state.query_parameters = _query_parameters(app.openapi())
    return app


def _query_parameters(document: dict[str, Any]) -> dict[str, frozenset[str]]:
    """The query parameters of each path, from the API's own description."""
    return {
        path: frozenset(
            parameter["name"]
            for operation in operations_of.values()
            for parameter in operation.get("parameters", [])
            if parameter["in"] == "query"
        )
        for path, operations_of in document["paths"].items()
    }


@contextlib.asynccontextmanager
async def _open_parts(config: ControlConfig, metrics: ControlMetrics, failed: asyncio.Event) -> AsyncIterator[Parts]:
    control = config.control
    limited = _READ_ONLY | {"statement_timeout": str(control.statement_timeout_ms)}
    async with contextlib.AsyncExitStack() as stack:
        reading = await config.database.pool("citynerve-api", max_size=control.database_pool, server_settings=limited)
        stack.push_async_callback(_close_pool, reading)
        # own connections for the status, the feed and the live table: callers' slow queries must not blind the operator
        watching = await config.database.pool("citynerve-control-watch", max_size=3, server_settings=_READ_ONLY)
        stack.push_async_callback(_close_pool, watching)
        writing = await config.database.pool("citynerve-control", max_size=3)
        stack.push_async_callback(_close_pool, writing)
        queries, own = Queries(reading), Queries(watching)
        live = LiveTail(config.kafka, own, metrics)
        hub = Hub(
            live.values,
            metrics,
            first_number=time.time_ns() // 1000,
            ring=control.sse_ring,
            max_clients=control.sse_max_clients,
        )
        neighbours = Neighbours(control.gateways, control.processors, metrics)
        status = StatusSampler(
            own,
            live,
            hub,
            metrics,
            neighbours=neighbours,
            topic=config.kafka.topics.readings,
            stale_after_intervals=control.stale_after_intervals,
        )
        feed = AlarmFeed(config.database, own, hub)
        notifier = _notifier(config, writing, metrics, live.clock)
        if notifier is not None:
            stack.push_async_callback(notifier.close)
        stages = AlarmStages(
            config.database,
            control,
            config.rules,
            status,
            AlarmPublisher(config.kafka, writing, metrics),
            notifier,
            metrics,
        )
        work = {
            "live tail": live.run(),
            "live priming": live.prime(),
            "status": status.run(),
            "neighbours": neighbours.run(),
            "retention": RetentionWatch(config.kafka, own, metrics).run(),
            "alarm feed": feed.run(),
            "alarm stages": stages.run(),
        }
        work["live stream"] = _publish_live(hub, control.sse_live_interval_s)
        tasks = [
            asyncio.create_task(_supervised(name, coroutine, failed), name=name) for name, coroutine in work.items()
        ]
        stack.push_async_callback(_end, tasks)
        stack.callback(hub.close)
        yield Parts(control, config.city, metrics, queries, AlarmDesk(writing, metrics), live, hub, status, feed)


def _notifier(config: ControlConfig, pool: Any, metrics: ControlMetrics, clock: SteadyClock) -> Notifier | None:
    control = config.control
    if not control.alertmanager_url:
        return None
    return Notifier(
        pool,
        metrics,
        url=control.alertmanager_url,
        links=Links(control.public_url, control.prometheus_url),
        interval_s=control.notify_interval_s,
        timeout_s=control.notify_timeout_s,
        now=clock.now,
    )


async def _supervised(name: str, work: Coroutine[Any, Any, None], failed: asyncio.Event) -> None:
    """Troubles the work knows it mends itself; anything else is a mistake of ours, and a service half alive is worse than one restarted."""
    try:
        await work
    except Exception:
        _log.exception("a part of the control center failed; stopping", extra={"fields": {"part": name}})
        failed.set()


async def _publish_live(hub: Hub, interval_s: float) -> None:
    while True:
        await asyncio.sleep(interval_s)
        hub.publish_live()


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _close_pool(pool: Any) -> None:
    try:
        async with asyncio.timeout(3):
            await pool.close()
    except TimeoutError:
        pool.terminate()
