"""A connection that breaks at the worst moment interrupts the alarm stages; it does not end the control center."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import cast

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from control_center.alarms import pipeline
from control_center.alarms.pipeline import AlarmStages
from control_center.alarms.publish import AlarmPublisher
from control_center.metrics import ControlMetrics
from control_center.settings import ControlSettings
from control_center.status import StatusSampler
from processors.contract.database import DatabaseSettings

ERRORS = [
    asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress"),
    asyncpg.InterfaceError("connection is closed"),
    asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"),
    ConnectionResetError(),
    TimeoutError(),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
async def test_the_alarm_stages_begin_again(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = asyncio.Semaphore(0)

    @contextlib.asynccontextmanager
    async def broken(_database: DatabaseSettings) -> AsyncIterator[None]:
        turns.release()
        raise ExceptionGroup("stages", [error])
        yield

    monkeypatch.setattr(pipeline, "leadership", broken)
    monkeypatch.setattr(pipeline, "_RETRY_S", 0.01)
    registry = CollectorRegistry()
    stages = AlarmStages(
        DatabaseSettings(), ControlSettings(), [], cast("StatusSampler", None), cast("AlarmPublisher", None), None,
        ControlMetrics(registry),
    )  # fmt: skip
    running = asyncio.create_task(stages.run())
    async with asyncio.timeout(5):
        for _ in range(3):
            await turns.acquire()
    assert not running.done()
    running.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await running
