"""Batches of records from the consumer group; the database, not Kafka, says where each partition stands.

Kafka's own committed offsets are a display for lag tools only. `auto_offset_reset` is none: the claimed cursor is sought on assignment, and
an offset that Kafka no longer has is answered here and noted as a gap, never skipped in silence (FAILURES 17, 18). So is a batch whose
checksum is wrong: what lies before and behind it is read, and the gap is as wide as the batch.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from typing import Any

from aiokafka import AIOKafkaConsumer, ConsumerRebalanceListener, TopicPartition
from aiokafka.coordinator.assignors.sticky.sticky_assignor import StickyPartitionAssignor
from aiokafka.errors import (
    CommitFailedError,
    IllegalStateError,
    KafkaError,
    KafkaTimeoutError,
    NoOffsetForPartitionError,
    OffsetOutOfRangeError,
)
from aiokafka.structs import ConsumerRecord

from ingest.contract.broker import KafkaSettings
from ingest.contract.damaged_log import CorruptRecordException, read_to_damage
from processors.columns import Partition
from processors.cursors import GapReason
from processors.settings import ProcessorSettings

log = logging.getLogger(__name__)

_FETCH_BYTES = 4 * 1024 * 1024 + 64 * 1024  # a frame of the largest size the topics allow, and its headers
_RECORDS_A_POLL = 16
_LINGER_S = 0.005
"""A gateway's flush is a frame for each partition, one after the other: this long apart at most they are one transaction."""
_GATHER_S = 0.02
"""How often a batch that grows looks whether it still should; asking every few milliseconds cost as much as its decoding."""
_REQUEST_BUDGET_S = 10.0
_METADATA_MAX_AGE_MS = 3_000
"""A frozen leader answers no fetch, so only this tells of the one that took its place, as of brokers that came back while one is alone."""
_ASK_AGAIN_S = 5.0

Records = dict[Partition, list[ConsumerRecord]]


class KafkaSource:
    """One member of the group. Not reusable: after an error it is closed and another one made."""

    def __init__(
        self,
        kafka: KafkaSettings,
        settings: ProcessorSettings,
        *,
        take_over: Callable[[Iterable[Partition]], Awaitable[None]],
        release: Callable[[], Awaitable[None]],
        on_damage: Callable[[str], object] = lambda _: None,
    ) -> None:
        """`take_over` claims the partitions and seeks; `release` lets go of all (assignment is eager). None of them may raise.

        `on_damage` is told what became of each batch that is damaged on Kafka's disk: one of `metrics.DAMAGED_BATCHES`.
        """
        topics = kafka.topics
        self._settings = settings
        self._on_damage = on_damage
        self._topics = (topics.readings, topics.dead_letters, topics.custody)
        self._listener = _Listener(self, take_over, release)
        self.generation = 0
        self.lost: dict[Partition, tuple[int, GapReason]] = {}
        """Where the next records lie, and why none of those before: whoever commits the jump takes it out."""
        self._next: dict[Partition, int] = {}  # where each partition is to be read on
        self._jumps: dict[Partition, tuple[int, GapReason]] = {}  # sought when what lies before is handed over
        self._consumer = AIOKafkaConsumer(
            **kafka.client_options(),
            client_id=f"citynerve-{settings.name}",
            group_id=f"{kafka.topic_prefix}.processors",
            group_instance_id=settings.name,
            enable_auto_commit=False,
            auto_offset_reset="none",
            session_timeout_ms=settings.session_timeout_ms,
            heartbeat_interval_ms=max(1000, settings.session_timeout_ms // 15),
            rebalance_timeout_ms=max(60_000, settings.session_timeout_ms),
            max_poll_interval_ms=300_000,
            fetch_max_wait_ms=100,
            max_partition_fetch_bytes=_FETCH_BYTES,
            partition_assignment_strategy=(StickyPartitionAssignor,),
            metadata_max_age_ms=_METADATA_MAX_AGE_MS,
        )

    async def start(self) -> None:
        """Join the group."""
        await self._consumer.start()
        self._consumer.subscribe(list(self._topics), listener=self._listener)

    def keep_alive(self) -> None:
        """Heartbeats from now on. aiokafka sends none while it waits for the claim: one that takes longer than the session costs the
        membership, and so does the next, with one batch in between.
        """
        self._consumer._coordinator._start_heartbeat_task()  # noqa: SLF001

    async def close(self, *, leave: bool, budget_s: float) -> None:
        """Stop. `leave` hands the partitions over at once; without it the static member keeps its place for a restart."""
        if leave:
            # aiokafka never lets a static member leave, so that the others would wait for its session to expire
            self._consumer._coordinator._group_instance_id = None  # noqa: SLF001
        try:
            async with asyncio.timeout(budget_s):
                await self._consumer.stop()
        except (TimeoutError, KafkaError) as error:
            log.warning("the Kafka consumer did not stop cleanly: %s", str(error) or type(error).__name__)

    async def next_records(self, grows_s: Callable[[], float] = lambda: 0.0) -> tuple[int, Records]:
        """The next batch and the generation of the assignment it was fetched under. Empty after `batch_max_wait_ms` without a record.

        Whoever commits is asked `grows_s`, for how many seconds yet a batch grows, up to `batch_max_readings`. Once it says 0, the batch
        ends when nothing follows for `_LINGER_S`, so that a quiet city is not kept waiting, and after `batch_max_wait_ms` at the latest.
        """
        generation = self.generation
        self._jump()
        batch: Records = {}
        readings = 0
        wait_s = self._settings.batch_max_wait_ms / 1000
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_s
        while readings < self._settings.batch_max_readings and generation == self.generation:
            left, more_s = deadline - loop.time(), grows_s() if batch else 0.0
            if left <= 0 and more_s <= 0:
                break
            found = await self._poll(min(more_s, _GATHER_S) if more_s > 0 else _LINGER_S if batch else left)
            if generation == self.generation:
                for partition, records in found.items():
                    batch.setdefault((partition.topic, partition.partition), []).extend(records)
                    self._next[partition.topic, partition.partition] = records[-1].offset + 1
                    readings += sum(_count(record) for record in records)
            if self._jumps or (batch and not found and grows_s() <= 0):
                break
        return generation, batch

    async def _poll(self, wait_s: float) -> dict[TopicPartition, list[ConsumerRecord]]:
        try:
            found: dict[TopicPartition, list[ConsumerRecord]] = await self._consumer.getmany(
                timeout_ms=max(1, int(wait_s * 1000)), max_records=_RECORDS_A_POLL
            )
        except NoOffsetForPartitionError:
            return {}  # asked for before the cursor was sought; the seek has answered it by now
        except OffsetOutOfRangeError as error:
            await self._jump_to_earliest(error.args[0])
            return {}
        except CorruptRecordException:
            return await self._around_damage()
        return found

    async def _around_damage(self) -> dict[TopicPartition, list[ConsumerRecord]]:
        """What lies before the damaged batches; the error named none, and took with it what was polled of other partitions."""
        generation = self.generation
        found: dict[TopicPartition, list[ConsumerRecord]] = {}
        for (topic, number), offset in list(self._next.items()):
            if (topic, number) in self._jumps:
                continue
            partition = TopicPartition(topic, number)
            async with _deadline():
                stretch = await read_to_damage(self._consumer, partition, offset)
            if generation != self.generation:
                return {}
            self._consumer.seek(partition, stretch.records[-1].offset + 1 if stretch.records else offset)
            if stretch.records:
                found[partition] = list(stretch.records)
            if stretch.replaced:
                self._on_damage("read_from_replica")
            if stretch.damaged is not None and stretch.unasked:
                self._ask_again(partition, stretch.damaged[0], stretch.unasked)
            elif stretch.damaged is not None:
                first, last = stretch.damaged
                log.error(
                    "a batch of %s is damaged on Kafka's disk: offsets %d to %d are lost, going on behind them",
                    partition, first, last,
                )  # fmt: skip
                self._jumps[topic, number] = last + 1, GapReason.DAMAGED
        return found

    def _ask_again(self, partition: TopicPartition, offset: int, unasked: tuple[int, ...]) -> None:
        """Leave a partition alone for a while: a broker that does not answer now may have the batch whole."""
        log.error(
            "a batch of %s from offset %d on is damaged; waiting for brokers that may have it whole: %s",
            partition, offset, ", ".join(map(str, unasked)),
        )  # fmt: skip
        self._consumer.pause(partition)
        generation = self.generation

        def resume() -> None:
            if generation == self.generation:
                with contextlib.suppress(KafkaError):  # closed meanwhile
                    self._consumer.resume(partition)

        asyncio.get_running_loop().call_later(_ASK_AGAIN_S, resume)

    def _jump(self) -> None:
        """Go on behind what is gone, in a batch of our own that begins there: what it left out is then plain to the cursor."""
        for (topic, number), (offset, reason) in self._jumps.items():
            self._consumer.resume(TopicPartition(topic, number))
            self._consumer.seek(TopicPartition(topic, number), offset)
            self._next[topic, number] = offset
            self.lost[topic, number] = offset, reason
            if reason == GapReason.DAMAGED:
                self._on_damage("left_out")
        self._jumps.clear()

    async def _jump_to_earliest(self, lost: Mapping[TopicPartition, int]) -> None:
        generation = self.generation
        async with _deadline():
            earliest = await self._consumer.beginning_offsets(list(lost))
        if generation != self.generation:
            return
        for partition, offset in lost.items():
            begins = earliest[partition]
            reason = GapReason.RECREATED if begins < offset else GapReason.RETENTION
            log.error(
                "Kafka has no offset %d of %s (%s); going on at %d", offset, partition, reason.value, begins
            )  # fmt: skip
            self._jumps[partition.topic, partition.partition] = begins, reason
            self._consumer.seek(partition, begins)  # or every fetch would be refused until the jump
            self._consumer.pause(partition)

    def rewind(self, offsets: Mapping[Partition, int]) -> None:
        """Read each partition from its offset on. A batch that was begun before is of an older generation from here."""
        self.generation += 1
        self._next, self._jumps, self.lost = dict(offsets), {}, {}
        self._consumer.resume(*(TopicPartition(*partition) for partition in offsets))
        for partition, offset in offsets.items():
            self._consumer.seek(TopicPartition(*partition), offset)

    async def earliest(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Where each partition begins."""
        async with _deadline():
            found = await self._consumer.beginning_offsets([TopicPartition(*partition) for partition in partitions])
        return {(partition.topic, partition.partition): offset for partition, offset in found.items()}

    async def latest(self, partitions: Iterable[Partition]) -> dict[Partition, int]:
        """Where each partition ends: the offset of the next record to come."""
        async with _deadline():
            found = await self._consumer.end_offsets([TopicPartition(*partition) for partition in partitions])
        return {(partition.topic, partition.partition): offset for partition, offset in found.items()}

    def highwater(self, partition: Partition) -> int | None:
        """The end of the partition as of the last fetch; None before the first or after losing it."""
        try:
            found: int | None = self._consumer.highwater(TopicPartition(*partition))
        except (KafkaError, AssertionError):
            return None
        return found

    async def show_offsets(self, offsets: Mapping[Partition, int]) -> bool:
        """Commit to Kafka for lag tools; nothing reads it back, so a failure is only logged. Whether Kafka answered.

        A fetch cannot tell: aiokafka gives no records both where there are none and where the broker is gone.
        """
        try:
            async with _deadline():
                await self._consumer.commit(
                    {TopicPartition(*partition): offset for partition, offset in offsets.items()}
                )
        except KafkaError as error:
            log.info("offsets not shown in Kafka: %s", str(error) or type(error).__name__)
            return isinstance(error, CommitFailedError | IllegalStateError)  # a rebalance: Kafka is there
        return True


class _Listener(ConsumerRebalanceListener):  # type: ignore[misc]  # aiokafka ships no types
    """Passes rebalances on. What it is told is logged by aiokafka if it raises and lost (FAILURES 19), so nothing here may."""

    def __init__(
        self,
        source: KafkaSource,
        take_over: Callable[[Iterable[Partition]], Awaitable[None]],
        release: Callable[[], Awaitable[None]],
    ) -> None:
        self._source, self._take_over, self._release = source, take_over, release

    async def on_partitions_revoked(self, revoked: Iterable[Any]) -> None:
        """Before the group rejoins."""
        del revoked  # assignment is eager: whatever is named, all go
        self._source.generation += 1
        await self._release()

    async def on_partitions_assigned(self, assigned: Iterable[Any]) -> None:
        """After the group has rejoined."""
        self._source.generation += 1
        self._source.keep_alive()
        await self._take_over([(partition.topic, partition.partition) for partition in assigned])


@contextlib.asynccontextmanager
async def _deadline() -> AsyncIterator[None]:
    """Kafka's own error for what takes too long: a bare TimeoutError would be taken for the database's."""
    try:
        async with asyncio.timeout(_REQUEST_BUDGET_S):
            yield
    except TimeoutError:
        raise KafkaTimeoutError(f"Kafka has not answered for {_REQUEST_BUDGET_S:.0f} s") from None


def _count(record: ConsumerRecord) -> int:
    """Readings the record says it holds; a broken one counts 1, it is looked at later."""
    for name, value in record.headers:
        if name == "count" and value is not None and value.isdigit() and len(value) < 10:
            return int(value)
    return 1
