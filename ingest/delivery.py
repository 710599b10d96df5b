"""Flushes on their way out: to Kafka in order, several in flight; to the spool when Kafka is away; and back, oldest first.

A flush is safe when every frame of it is acknowledged by Kafka or is on disk. New frames go behind the spooled ones until the spool is
empty, so each partition's order never breaks. When the spool is full nothing more is safe: flushes wait, MQTT is not acknowledged, and the
broker keeps what comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import time
from collections import deque
from functools import partial

from ingest.arrival_rate import ArrivalRate
from ingest.contract.steady_clock import wall_us
from ingest.custody import Custody
from ingest.flush import Flush, chunks
from ingest.frames import OutFrame
from ingest.kafka_sink import KafkaSink, SinkError, on_done
from ingest.metrics import IngestMetrics
from ingest.oversize import Oversize
from ingest.settings import IngestSettings
from ingest.spool import Position, Spool, SpoolFullError
from ingest.spool_drain import Sent, count, wait_for

log = logging.getLogger(__name__)

_OPEN_TIMEOUT_S = 5.0
_TELL_FULL_EVERY_S = 60.0
_DRAIN_FRAMES = 128
_CHUNK_BYTES = 8 * 1024 * 1024
_RETRY_FIRST_S, _RETRY_MOST_S = 0.25, 3.0


class Delivery:
    """The only way out of the gateway. `run` must be running; `put` hands a flush over."""

    def __init__(
        self, settings: IngestSettings, sink: KafkaSink, spool: Spool, custody: Custody, metrics: IngestMetrics
    ) -> None:
        self._settings = settings
        self._sink = sink
        self._spool = spool
        self._custody = custody
        self._metrics = metrics
        self._queue: deque[Flush] = deque()
        self._flying: deque[Flush] = deque()
        self._wake = asyncio.Event()
        self._emptied = asyncio.Event()
        self._emptied.set()
        self._failure: SinkError | None = None
        self._producers = 0
        self._taking = True
        self._opening: asyncio.Task[bool] | None = None
        self._next_try = 0.0
        self._retry_s = _RETRY_FIRST_S
        self._full = False
        self._tell_full_at = 0.0
        self._told: str | None = ""
        self._damage_told = 0, 0
        self._oversize, self._oversize_told = Oversize(spool.folder, settings.oversize_after_s), 0
        self.now_us = wall_us
        self._arrivals = ArrivalRate(time.monotonic())
        metrics.spool_max_bytes.set(settings.spool_max_bytes)

    def put(self, flush: Flush) -> None:
        """Take a flush over. Bounded by the source: unacknowledged messages stop the reading of the socket."""
        flush.since = flush.came = time.monotonic()
        if not flush.frames:
            flush.safe()
            return
        self._arrivals.add(sum(len(frame.body) for frame in flush.frames), flush.since)
        self._queue.append(flush)
        self._emptied.clear()
        self._wake.set()

    @property
    def idle(self) -> bool:
        """Whether everything handed over is safe (acknowledged by Kafka or on disk)."""
        return not self._queue and not self._flying

    def _note_idle(self) -> None:
        if self.idle:
            self._emptied.set()

    @property
    def blocked(self) -> str | None:
        """Why nothing can be made safe now; None while Kafka or the spool takes frames."""
        return (
            "the spool is full and Kafka is away: MQTT is not acknowledged, the broker keeps what comes"
            if self._full
            else None
        )

    def renew(self, reason: str, detail: str) -> None:
        """Ask for a new producer; what is not acknowledged is sent again on it."""
        self._failed(self._producers, SinkError(reason, detail))

    async def run(self) -> None:
        """Deliver for ever; every step is bounded. Cancel to end it."""
        await self._renew()
        while True:
            try:
                if self._spool.empty and self._sink.trouble is None:
                    await self._send_straight()
                else:
                    await self._through_the_spool()
            except SinkError as failure:
                await self._after(failure)

    async def until_idle(self, timeout_s: float) -> None:
        """Wait until everything handed over is safe, or the time is up."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._emptied.wait()

    async def spool_all(self) -> None:
        """Put on disk what Kafka has not acknowledged: the end of a stop whose budget is nearly used up."""
        while not self.idle and await self._spool_waiting():
            pass

    async def close(self) -> None:
        """Let the producer go."""
        if self._opening is not None:
            self._opening.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._opening
        await self._sink.close()

    # -- straight to Kafka

    async def _send_straight(self) -> None:
        self._metrics.kafka_is(up=True, waits=False)
        self._report_spool()
        while self._failure is None:
            while self._queue and self._failure is None:
                flush = self._queue.popleft()
                self._flying.append(flush)
                await self._send(flush)
            self._wake.clear()
            await self._wait(0.2)
            self._check_deadline()
        raise self._take_failure()

    async def _send(self, flush: Flush) -> None:
        for index in sorted(flush.waiting):
            frame = flush.frames[index]
            future = await self._sink.send(frame, self._settings.deliver_deadline_s)
            on_done(
                future,
                partial(self._acknowledged, self._producers, flush, index),
                partial(self._failed, self._producers),
            )

    def _acknowledged(self, producer: int, flush: Flush, index: int, offset: int) -> None:
        if producer != self._producers or self._failure is not None or index not in flush.waiting:
            # from a producer that was given up, or behind a frame it was refused: Kafka takes any number from a producer it does not know
            # yet, also the second. The frame is sent again, and counted then: counts that are out of order would call the first one sent
            return
        flush.waiting.discard(index)
        self._count(flush.frames[index], offset)
        while self._flying and not self._flying[0].waiting:
            self._flying.popleft().safe()
        self._note_idle()

    def _count(self, frame: OutFrame, offset: int) -> None:
        self._taking = True
        self._oversize.taken(frame)
        self._custody.acknowledged(frame.topic, frame.partition, frame.header, offset)
        self._metrics.frames.labels(frame.topic).inc()
        self._metrics.frame_readings.observe(frame.header.count)
        self._metrics.receive_to_kafka.observe(max(0.0, (self.now_us() - frame.header.received_us) / 1e6))

    def _failed(self, producer: int, failure: SinkError) -> None:
        if producer == self._producers and self._failure is None:
            self._failure = failure
            self._wake.set()

    def _check_deadline(self) -> None:
        """Kafka that does not answer is no failure of the batch: only a new producer and a replay are safe, never a second send."""
        if self._flying and time.monotonic() - self._flying[0].since > self._settings.deliver_deadline_s:
            raise SinkError("deadline", f"no acknowledgement for {self._settings.deliver_deadline_s} s")

    def _take_failure(self) -> SinkError:
        failure, self._failure = self._failure, None
        return failure or SinkError("error", "unknown")

    async def _after(self, failure: SinkError) -> None:
        self._failure = None
        self._metrics.producer_renewals.labels(failure.reason).inc()
        self._metrics.kafka_is(up=False, waits=True)
        log.warning(
            "Kafka producer given up", extra={"fields": {"reason": failure.reason, "detail": str(failure)[:300]}}
        )
        self._taking = False
        self._sink.one_a_batch = failure.too_large
        patience_ends = time.monotonic() + self._settings.spool_after_s
        while not await self._renew():
            if time.monotonic() >= patience_ends:
                return  # through the spool from here on
            await asyncio.sleep(_RETRY_FIRST_S)
        if self._flying and time.monotonic() - self._flying[0].came > self._settings.spool_after_s:
            # a cluster without its majority, or below min.insync.replicas, gives a new producer at once and takes no frame from it
            await self._spool_waiting()
            return
        # the same frames with the same headers go first, in order
        for flush in self._flying:
            flush.since = time.monotonic()
        self._queue.extendleft(reversed(self._flying))
        self._flying.clear()

    async def _renew(self) -> bool:
        """A new producer; what the old one still held counts for nothing from here on."""
        self._producers += 1
        self._failure = None
        before = self._told
        opened = await self._sink.open(_OPEN_TIMEOUT_S)
        self._told = self._sink.trouble
        if self._told != before:
            level, text = (
                (logging.INFO, "frames go to Kafka") if opened else (logging.WARNING, "frames go to the spool")
            )
            log.log(level, text, extra={"fields": {"why": self._told, "spooled_frames": self._spool.frames}})
        self._retry_s = _RETRY_FIRST_S if opened else min(self._retry_s * 2, _RETRY_MOST_S)
        self._next_try = time.monotonic() + self._retry_s
        return opened

    # -- through the spool

    async def _through_the_spool(self) -> None:
        """One step: spool what waits, then drain a window if Kafka is there, else try to reach it in the background."""
        self._metrics.kafka_is(
            up=False, waits=self._sink.trouble is not None
        )  # while the spool drains it waits for nobody
        spooled = await self._spool_waiting()
        if self._sink.trouble is not None:
            self._try_opening()
            if not spooled:
                self._wake.clear()
                await self._wait(0.1)
            return
        await self._drain()

    def _try_opening(self) -> None:
        if self._opening is not None and self._opening.done():
            self._opening = None
        if self._opening is None and time.monotonic() >= self._next_try:
            self._opening = asyncio.create_task(self._renew(), name="kafka connect")

    async def _spool_waiting(self) -> bool:
        """Write the waiting flushes to disk and declare them safe. False when there was nothing, or no room."""
        flushes = [*self._flying, *self._queue]
        if not flushes:
            return False
        self._flying.clear()
        self._queue.clear()
        done = 0
        # small against the cap: a chunk is kept whole or not at all, and one larger than the room would never fit
        for chunk in chunks(flushes, min(_CHUNK_BYTES, self._settings.spool_max_bytes // 16)):
            frames = [flush.frames[index] for flush in chunk for index in sorted(flush.waiting)]
            try:
                await asyncio.to_thread(self._spool.append, frames)
            except SpoolFullError as full:
                self._queue.extendleft(reversed(flushes[done:]))
                self._report_spool(full=full)
                return False
            done += len(chunk)
            for frame in frames:
                self._custody.spooled(frame.header, sign=1)
            self._metrics.spooled_frames.inc(len(frames))
            for flush in chunk:
                flush.waiting.clear()
                flush.safe()
        self._note_idle()
        self._report_spool()
        return True

    async def _drain(self) -> bool:
        """Send the oldest spooled frames and free them when all are acknowledged. False when the spool is empty."""
        # one frame asks whether Kafka takes again: each try of many may be appended once more by a leader whose followers are gone
        batch = await asyncio.to_thread(self._spool.read, _DRAIN_FRAMES if self._taking else 1)
        if not batch:
            if not self._spool.empty:
                await asyncio.to_thread(self._spool.forget_rest)
            self._report_spool()
            return False
        sent: Sent = []
        for _, spooled in batch:
            if not self._custody.has(spooled.topic, spooled.partition, spooled.header):
                frame = self._oversize.instead_of(spooled)
                sent.append((frame, await self._sink.send(frame, self._settings.deliver_deadline_s)))
        await wait_for(sent, self._settings.deliver_deadline_s, self._spool_waiting)
        try:
            count(sent, self._count)
        except SinkError as failure:
            if failure.too_large and len(batch) == 1:
                await asyncio.to_thread(self._oversize.refused, batch[0][1], time.monotonic())
                self._metrics.oversize_frames.inc(self._oversize.given_up - self._oversize_told)
                self._oversize_told = self._oversize.given_up
            raise
        await self._release(batch)
        return True

    async def _release(self, batch: list[tuple[Position, OutFrame]]) -> None:
        await asyncio.to_thread(self._spool.release, batch[-1][0], len(batch))
        for _, frame in batch:
            self._custody.spooled(frame.header, sign=-1)
        self._report_spool()

    def estimate(self) -> None:
        """Update the hours of outage left: the room in the spool over today's rate."""
        bytes_s = self._arrivals.bytes_per_s(time.monotonic())
        self._metrics.spool_hours_left.set(math.nan if bytes_s is None else self._spool.room() / bytes_s / 3600)

    def _report_spool(self, full: SpoolFullError | None = None) -> None:
        if full is not None and time.monotonic() >= self._tell_full_at:
            # a drain on a full disk frees a segment and fills it again many times a second
            self._tell_full_at = time.monotonic() + _TELL_FULL_EVERY_S
            log.error(
                "the spool takes no more; MQTT is not acknowledged until it drains",
                extra={"fields": {"why": str(full)}},
            )
        self._full = full is not None
        self._metrics.spool_full.set(self._full)
        self._metrics.spool_bytes.set(self._spool.size)
        self._metrics.spool_frames.set(self._spool.frames)
        self._report_damage()

    def _report_damage(self) -> None:
        damaged, mended = self._spool.damaged, self._spool.mended
        self._metrics.spool_damaged.inc(damaged - self._damage_told[0])
        self._metrics.spool_mended.inc(mended - self._damage_told[1])
        self._damage_told = damaged, mended

    async def _wait(self, timeout_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._wake.wait()
