"""Tails the readings topic without a consumer group, from its end: live values wait for no database. Primed from stored readings."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import asyncpg
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from aiokafka.structs import ConsumerRecord

from control_center.api.payloads import LiveItem
from control_center.live_values import LatestValues
from control_center.metrics import ControlMetrics
from control_center.queries import DATABASE_AWAY, RETRY_GATEWAY, Queries
from control_center.rows import CursorRow
from ingest.contract.broker import KafkaSettings
from ingest.contract.damaged_log import CorruptRecordException, read_to_damage
from ingest.contract.frame import FrameError, decode_readings
from ingest.contract.memory import give_back
from ingest.contract.steady_clock import SteadyClock

_log = logging.getLogger(__name__)

_PRIME_DAYS: Final = 30
_POLL_MS: Final = 250
_PRIME_RETRY_S: Final = 5.0
_RETRY_S: Final = (0.5, 1.0, 2.0, 5.0)
_APPEND_TIMES: Final = 50_000
_PROBE_AFTER_S: Final = 3.0
_PROBE_TIMEOUT_S: Final = 5.0


class PartitionTail:
    """What was seen of one partition: where the tail began and ends, and when each recent record was appended (for the lag in seconds)."""

    def __init__(self, start: int) -> None:
        self.start = start
        self.end = start
        self.appended: deque[tuple[int, int]] = deque(maxlen=_APPEND_TIMES)

    def see(self, offset: int, append_time_ms: int) -> None:
        """A record came."""
        self.end = offset + 1
        self.appended.append((offset, append_time_ms))

    def lag_s(self, cursor: CursorRow | None, now: datetime) -> float:
        """Seconds since the next uncommitted record was appended; 0 when the processors have all.

        A record older than this tail has no known append time; the cursor's last move bounds it from the young side.
        """
        next_offset = cursor.next_offset if cursor else 0
        if next_offset >= self.end:
            return 0.0
        while self.appended and self.appended[0][0] < next_offset:
            self.appended.popleft()
        lag = now.timestamp() - self.appended[0][1] / 1000 if self.appended else 0.0
        if cursor is not None and next_offset < self.start:
            lag = max(lag, (now - cursor.updated_at).total_seconds())
        return max(0.0, lag)


class LiveTail:
    """Keeps `LatestValues` up to date. `run` until cancelled; `problem` says why values may be old."""

    def __init__(self, kafka: KafkaSettings, queries: Queries, metrics: ControlMetrics) -> None:
        self._kafka = kafka
        self._queries = queries
        self._metrics = metrics
        self._topic = kafka.topics.readings
        self._partitions: dict[int, PartitionTail] = {}
        self._positioned = asyncio.Event()
        self._question: asyncio.Task[bool] | None = None
        self._answered_at = 0.0
        self.values = LatestValues()
        self.clock = SteadyClock()
        self.problem: str | None = "the readings topic is not being read yet"

    async def run(self) -> None:
        """Read for ever; after trouble begin again where the last record was read, with growing pauses."""
        attempt = 0
        while True:
            try:
                async with self._consumer() as consumer:
                    self._question = None
                    await self._position(consumer)
                    self._positioned.set()
                    self.problem, attempt = None, 0
                    self._metrics.waiting.set("kafka", waits=False)
                    await self._follow(consumer)
            except Exception as error:  # whatever Kafka or the database does, the page must live on and say so
                self.problem = f"cannot follow {self._topic}: {error!r}"
                self._metrics.waiting.set("kafka", waits=True)
                self._metrics.live_restarts.inc()
                if attempt == 0:
                    _log.warning(
                        "live tail interrupted", extra={"fields": {"topic": self._topic, "error": repr(error)}}
                    )
            await asyncio.sleep(_RETRY_S[min(attempt, len(_RETRY_S) - 1)])
            attempt += 1

    async def prime(self) -> None:
        """Fill in the newest stored values, once; tried until the database answers. Newer values already here stay."""
        await self._positioned.wait()
        while True:
            try:
                async for rows in self._queries.latest(self.clock.now() - timedelta(days=_PRIME_DAYS)):
                    self.values.prime(rows)
                await asyncio.to_thread(give_back)
                return
            except (asyncpg.PostgresError, *DATABASE_AWAY):
                await asyncio.sleep(
                    _PRIME_RETRY_S
                )  # the status sampler says that the database is away; one voice is enough

    @contextlib.asynccontextmanager
    async def _consumer(self) -> Any:
        consumer = AIOKafkaConsumer(
            group_id=None, enable_auto_commit=False, auto_offset_reset="latest", client_id="citynerve-control-live",
            max_partition_fetch_bytes=8 * 1024 * 1024, **self._kafka.client_options(),
        )  # fmt: skip
        try:
            async with asyncio.timeout(self._kafka.request_timeout_ms / 1000):
                await consumer.start()
            yield consumer
        finally:
            with contextlib.suppress(KafkaError, TimeoutError, OSError):
                async with asyncio.timeout(3):
                    await consumer.stop()

    async def _position(self, consumer: AIOKafkaConsumer) -> None:
        # the end is taken before priming: a reading stored in between comes twice, which changes nothing; after, it could be missed
        assigned = [TopicPartition(self._topic, number) for number in range(self._kafka.partitions)]
        consumer.assign(assigned)
        async with asyncio.timeout(self._kafka.request_timeout_ms / 1000):
            ends = await consumer.end_offsets(assigned)
        for where in assigned:
            tail = self._partitions.get(where.partition)
            if tail is None or tail.end > ends[where]:  # first time, or the topic was made anew
                tail = self._partitions[where.partition] = PartitionTail(ends[where])
            consumer.seek(where, tail.end)

    async def _follow(self, consumer: AIOKafkaConsumer) -> None:
        loop = asyncio.get_running_loop()
        heard_at = loop.time()
        while True:
            try:
                found = await consumer.getmany(timeout_ms=_POLL_MS, max_records=200)
            except CorruptRecordException:
                await self._pass_damage(consumer)
                continue
            for where, records in found.items():
                await self._show(self._partitions[where.partition], records)
            if found:
                heard_at = loop.time()
            self._probe(consumer, silent_s=loop.time() - heard_at)

    def _probe(self, consumer: AIOKafkaConsumer, *, silent_s: float) -> None:
        """No records come both where there are none and where Kafka is gone: only a question tells them apart.

        It is asked beside the reading and never cancelled: while the broker is gone aiokafka 0.14 swallows the cancellation, and the
        table stood still for good although Kafka had come back. The consumer finds the broker again by itself.
        """
        if self._question is None:
            if silent_s < _PROBE_AFTER_S or asyncio.get_running_loop().time() - self._answered_at < _PROBE_AFTER_S:
                return
            self._question = asyncio.create_task(_ends(consumer, self._topic), name="is Kafka there")
            self._metrics.waiting.set("kafka", waits=True)
        if silent_s < _PROBE_AFTER_S or (self._question.done() and self._question.result()):
            self.problem = None
            self._metrics.waiting.set("kafka", waits=False)
        elif (waited_s := self._metrics.waiting.seconds("kafka")) > _PROBE_TIMEOUT_S:
            self.problem = f"Kafka has not answered for {waited_s:.0f} s"
        if self._question.done():
            self._question, self._answered_at = None, asyncio.get_running_loop().time()

    async def _show(self, tail: PartitionTail, records: Sequence[ConsumerRecord]) -> None:
        for record in records:
            tail.see(record.offset, record.timestamp)
            self.clock.heard(record.timestamp * 1000)
            self._take(record.value, record.headers)
            await asyncio.sleep(0)  # a long backlog must not hold up requests

    async def _pass_damage(self, consumer: AIOKafkaConsumer) -> None:
        """Read up to batches that are damaged on Kafka's disk and go on behind them; the processors are who accounts for them."""
        for number, tail in self._partitions.items():
            where = TopicPartition(self._topic, number)
            async with asyncio.timeout(self._kafka.request_timeout_ms / 1000):
                stretch = await read_to_damage(consumer, where, tail.end)
            await self._show(tail, stretch.records)
            if stretch.damaged is not None:
                tail.end = stretch.damaged[1] + 1
                self._metrics.live_bad_frames.inc()
            consumer.seek(where, tail.end)

    def _take(self, body: bytes | None, headers: Sequence[tuple[str, bytes]] = ()) -> None:
        try:
            frame = decode_readings(body or b"")
            self.values.update(frame)
            gateway = dict(headers).get("gateway", b"").decode("utf-8", "replace")
            if gateway not in {"", RETRY_GATEWAY}:
                self.values.note_gateway(frame.devices, gateway)
            self._metrics.live_frames.inc()
        except FrameError as error:
            self._metrics.live_bad_frames.inc()
            _log.warning("bad frame in the live tail", extra={"fields": {"error": str(error)}})

    def lag_s(self, cursors: Sequence[CursorRow], now: datetime) -> float | None:
        """The processors' lag behind the topic in seconds, the worst partition's; None while the topic cannot be read."""
        if self.problem is not None or not self._partitions:
            return None
        by_partition = {cursor.partition: cursor for cursor in cursors}
        worst = max(tail.lag_s(by_partition.get(number), now) for number, tail in self._partitions.items())
        return round(worst, 3)

    def snapshot(self, now: datetime) -> list[LiveItem]:
        """The newest value of every series, with its age."""
        return [
            LiveItem(cell.device, cell.metric, cell.value, time, round((now - time).total_seconds(), 3))
            for cell in self.values.all_cells()
            for time in (datetime.fromtimestamp(cell.time_us / 1e6, UTC),)
        ]

    def stale_devices(self, now: datetime, intervals: float) -> int:
        """Devices silent for longer than `intervals` of their expected intervals."""
        return self.values.stale_devices(int(now.timestamp() * 1e6), intervals)


async def _ends(consumer: AIOKafkaConsumer, topic: str) -> bool:
    try:
        await consumer.end_offsets([TopicPartition(topic, 0)])
    except KafkaError:
        return False
    return True
