"""The route of a batch: records -> frames -> one transaction, over and over, for the partitions that are ours.

A session is one membership in the group with one database connection and everything held in memory. It ends at the first error, whatever it
is, and a new one starts from what the database says: that is the only recovery there is, so it is the one that is tested.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
import uuid
from collections.abc import Callable, Iterable
from typing import TypeAlias

import asyncpg

from ingest.contract.broker import KafkaSettings
from ingest.contract.steady_clock import SteadyClock
from processors.checkpoint import Checkpoint, Committed
from processors.columns import Frames, Partition, decode
from processors.contract.database import CitySettings, DatabaseSettings
from processors.database_session import open_session
from processors.event_time import WatermarkPolicy
from processors.kafka_source import KafkaSource
from processors.metrics import ProcessorMetrics
from processors.ownership import Owned, take_over
from processors.series import SeriesTable
from processors.settings import ProcessorSettings

log = logging.getLogger(__name__)
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_TICK_S = 1.0
_CLAIM_BUDGET_S = 60.0
_REVOKE_BUDGET_S = 20.0  # below the group's rebalance timeout: whoever is slower is fenced, not waited for
_SHOW_OFFSETS_S = 5.0
_REST = 2.0
"""Pause between two commits as a multiple of the last one's length, `batch_max_wait_ms` at most: it is nothing while commits are short, and
makes batches large while the machine is busy. A row costs PostgreSQL less the more rows of its series are beside it."""


class StuckError(Exception):
    """Records wait in a partition and nothing has moved for too long."""


class Session:
    """One membership in the group; `run` it once."""

    def __init__(
        self,
        kafka: KafkaSettings,
        database: DatabaseSettings,
        city: CitySettings,
        settings: ProcessorSettings,
        metrics: ProcessorMetrics,
        *,
        on_joined: Callable[[], None],
    ) -> None:
        """`on_joined` is called each time the session has claimed what the group gave it."""
        self._on_joined = on_joined
        self._kafka, self._database, self._city = kafka, database, city
        self._settings, self._metrics = settings, metrics
        self._policy = WatermarkPolicy(int(settings.allowed_lateness_s * 1e6), int(settings.idle_after_s * 1e6))
        self._source = KafkaSource(
            kafka,
            settings,
            take_over=self._take_over,
            release=self._release,
            on_damage=lambda outcome: metrics.damaged_batches.labels(outcome).inc(),
        )
        self._busy = asyncio.Lock()  # held while a batch is on its way to the commit
        self._rests_until = 0.0
        self._clock = SteadyClock()
        self._checkpoint: Checkpoint | None = None
        self._connection: Connection | None = None
        self._failure: Exception | None = None
        self._progress_at = time.monotonic()
        self._shown_at = 0.0
        self._showing: asyncio.Task[None] | None = None
        self.commits = 0

    @property
    def owned(self) -> dict[Partition, Owned]:
        """The partitions claimed now."""
        return {} if self._checkpoint is None else self._checkpoint.owned

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set (returns) or anything goes wrong (raises). Ends with the connection and the consumer closed."""
        leave = False
        try:
            with self._metrics.waiting.during("database"):
                self._connection = await open_session(self._database, f"citynerve {self._settings.name}")
            with self._metrics.waiting.during("kafka"):
                await self._source.start()
            async with asyncio.TaskGroup() as tasks:
                watchdog = tasks.create_task(self._watch(), name="watchdog")
                await self._work(stop)
                watchdog.cancel()
            leave = True
        finally:
            if self._connection is not None:
                self._connection.terminate()
            self._metrics.owned.set(0)
            if self._showing is not None:
                self._showing.cancel()
            await self._source.close(leave=leave, budget_s=self._settings.stop_budget_s / 2)

    async def _work(self, stop: asyncio.Event) -> None:
        coming = asyncio.create_task(self._next_frames(), name="next batch")
        try:
            while not stop.is_set():
                await asyncio.wait([coming], timeout=_TICK_S)
                if self._failure is not None:
                    raise self._failure
                if not coming.done():
                    continue
                generation, frames = coming.result()
                began = time.monotonic()
                async with self._busy:
                    checkpoint = self._checkpoint
                    current = checkpoint is not None and generation == self._source.generation
                    if not current:
                        # fetched around a rebalance: some of it may lie before the sought position, so all of it is fetched again
                        self._source.rewind({p: owned.next_offset for p, owned in self.owned.items()})
                    coming = asyncio.create_task(
                        self._next_frames(), name="next batch"
                    )  # decoded while this one commits
                    if checkpoint is not None and current:
                        await self._commit(checkpoint, frames)
                        self._rest(time.monotonic() - began)
        finally:
            coming.cancel()
            await asyncio.gather(coming, return_exceptions=True)

    def _rest(self, commit_s: float) -> None:
        self._rests_until = time.monotonic() + min(_REST * commit_s, self._settings.batch_max_wait_ms / 1000)

    def _grows_s(self) -> float:
        """How long a batch goes on growing, because it could not be committed yet or is better committed with more."""
        return math.inf if self._busy.locked() else self._rests_until - time.monotonic()

    async def _next_frames(self) -> tuple[int, Frames]:
        generation, records = await self._source.next_records(self._grows_s)
        return generation, await asyncio.to_thread(decode, records, self._kafka.topics)

    async def _commit(self, checkpoint: Checkpoint, frames: Frames) -> None:
        step_us = sum(self._clock.heard(span.last_append_ms * 1000) for span in frames.spans.values())
        for owned in checkpoint.owned.values():
            if step_us and owned.clock is not None:
                owned.clock.clock_stepped(step_us)
        now_us = self._clock.now_us()
        started = time.perf_counter()
        lost, self._source.lost = self._source.lost, {}
        with self._metrics.waiting.during("database"):
            for partition, (behind, reason) in lost.items():
                left_out = await checkpoint.leave_out(partition, behind, reason)
                self._metrics.observe_gap(left_out, reason)
            if frames.spans:
                done: Committed | None = await checkpoint.commit(frames, now_us)
            else:
                done = await checkpoint.tick([p for p in checkpoint.owned if self._lag(p) == 0], now_us)
        if done is not None:
            self.commits += 1
            self._metrics.observe_commit(done, seconds=time.perf_counter() - started, now_us=self._clock.now_us())
        if frames.spans or not any(self._lag(partition) for partition in checkpoint.owned):
            self._progress_at = time.monotonic()
        self._show(checkpoint)
        if time.monotonic() - self._shown_at > _SHOW_OFFSETS_S and (self._showing is None or self._showing.done()):
            self._shown_at = time.monotonic()
            # beside the work: waited for, it held every batch up while the group had lost its coordinator
            self._showing = asyncio.create_task(
                self._show_offsets({partition: owned.next_offset for partition, owned in checkpoint.owned.items()})
            )

    async def _show_offsets(self, offsets: dict[Partition, int]) -> None:
        if not offsets:
            return
        self._metrics.waiting.set("kafka", waits=True)
        if await self._source.show_offsets(offsets):
            self._metrics.waiting.set("kafka", waits=False)

    def _lag(self, partition: Partition) -> int:
        end = self._source.highwater(partition)
        return 0 if end is None else max(0, end - self.owned[partition].next_offset)

    def _show(self, checkpoint: Checkpoint) -> None:
        now = self._clock.now_us() / 1e6
        for partition, owned in checkpoint.owned.items():
            lag = self._lag(partition)
            age_s = max(0.0, now - owned.last_append_ms / 1000) if lag and owned.last_append_ms else 0.0
            self._metrics.lag_records.labels(partition[0], str(partition[1])).set(lag)
            self._metrics.lag_seconds.labels(partition[0], str(partition[1])).set(age_s)
            if owned.clock is not None and owned.clock.value_us is not None:
                self._metrics.watermark_age.labels(str(partition[1])).set(now - owned.clock.value_us / 1e6)
        self._metrics.open_readings.set(
            sum(o.windows.open_readings for o in checkpoint.owned.values() if o.windows is not None)
        )

    async def _watch(self) -> None:
        """End the session when records wait and nothing moves: a task that looks alive proves nothing (FAILURES 23)."""
        while True:
            await asyncio.sleep(self._settings.stuck_after_s / 4)
            if time.monotonic() - self._progress_at < self._settings.stuck_after_s or self._checkpoint is None:
                continue
            # asked from the broker: a fetcher that is stuck does not know the partition's end either
            owned = dict(self.owned)
            ends = await self._source.latest(owned)
            waiting = [
                partition
                for partition, end in ends.items()
                if partition in owned and end > owned[partition].next_offset
            ]
            if waiting:
                raise StuckError(
                    f"no progress for {self._settings.stuck_after_s:.0f} s although records wait in {waiting}"
                )
            self._progress_at = time.monotonic()

    async def _take_over(self, partitions: Iterable[Partition]) -> None:
        """Claim, rebuild, seek. Called by the consumer, which would swallow an exception: it is kept for `_work`."""
        wanted = list(partitions)
        try:
            async with asyncio.timeout(_CLAIM_BUDGET_S), self._busy:
                await self._claim(wanted)
        except Exception as error:
            self._failure = error

    async def _claim(self, wanted: list[Partition]) -> None:
        assert self._connection is not None  # noqa: S101 - the consumer starts after the connection
        owner = uuid.uuid4()
        table = SeriesTable(self._kafka.partitions)
        owned: dict[Partition, Owned] = {}
        if wanted:
            owned = await take_over(
                self._connection, table, await self._source.earliest(wanted), owner=owner, name=self._settings.name,
                topics=self._kafka.topics, policy=self._policy, zone=self._city.zone, now_us=self._clock.now_us(),
            )  # fmt: skip
        self._checkpoint = Checkpoint(
            self._connection, table, owned, owner=owner, zone=self._city.zone,
            future_limit_us=int(self._settings.future_limit_s * 1e6),
        )  # fmt: skip
        await self._checkpoint.begin()
        self._source.rewind({partition: state.next_offset for partition, state in owned.items()})
        self._progress_at = time.monotonic()
        self._metrics.forget_partitions()
        self._metrics.owned.set(len(owned))
        self._on_joined()
        log.info(
            "claimed %d partitions", len(owned), extra={"fields": {"partitions": sorted(f"{t}/{n}" for t, n in owned)}}
        )

    async def _release(self) -> None:
        """Let the running batch end, then forget all partitions; a batch that takes too long will be fenced."""
        try:
            async with asyncio.timeout(_REVOKE_BUDGET_S), self._busy:
                self._checkpoint = None
        except TimeoutError:
            self._failure = StuckError(
                f"a batch was still running {_REVOKE_BUDGET_S:.0f} s after its partitions were revoked"
            )
        self._metrics.owned.set(0)
