"""Frames of the spool on their way to Kafka: waited for, and counted as far as it has them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from ingest.frames import OutFrame
from ingest.kafka_sink import SinkError, refusal

_MEANWHILE_EVERY_S = 0.2
Sent = list[tuple[OutFrame, asyncio.Future[object]]]


async def wait_for(sent: Sent, deadline_s: float, meanwhile: Callable[[], Awaitable[object]]) -> None:
    """Wait until all have ended, one has failed, or the time is up; `meanwhile` is called while some are under way."""
    ends = time.monotonic() + deadline_s
    waiting = {future for _, future in sent}
    while waiting and time.monotonic() < ends:
        done, waiting = await asyncio.wait(waiting, timeout=_MEANWHILE_EVERY_S, return_when=asyncio.FIRST_EXCEPTION)
        if any(future.cancelled() or future.exception() is not None for future in done):
            return
        if waiting:
            await meanwhile()


def count(sent: Sent, taken: Callable[[OutFrame, int], None]) -> None:
    """Give each acknowledged frame and its offset to `taken`: of each partition in order, up to the first that is missing.

    Raises:
        SinkError: one is missing.
    """
    stopped: set[tuple[str, int]] = set()
    failure: SinkError | None = None
    for frame, future in sent:
        partition = frame.topic, frame.partition
        trouble = _trouble(future)
        if trouble is None and partition not in stopped:
            taken(frame, int(getattr(future.result(), "offset", -1)))
        elif trouble is not None:
            stopped.add(partition)
            failure = failure if failure is not None and failure.reason == "refused" else trouble
    if failure is not None:
        raise failure


def _trouble(future: asyncio.Future[object]) -> SinkError | None:
    if not future.done():
        return SinkError("deadline", "no acknowledgement while draining the spool")
    if future.cancelled():
        return SinkError("refused", "the send was cancelled")
    error = future.exception()
    return None if error is None else refusal(error)
