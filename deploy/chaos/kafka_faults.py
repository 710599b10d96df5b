"""Faults of one broker that keeps running: its log cut before it was read, batches refused, a producer forgotten, a topic made anew."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from deploy.chaos.arena import Arena
from deploy.chaos.destroyed import Destroyed, destroyed
from deploy.chaos.line_faults import UnderWeather
from deploy.chaos.waits import pause, until
from deploy.local.trouble import Trouble
from ingest.contract.topics import Topics

_BACKLOG_S = 6.0
_BUDGET_S = 30.0
_REFUSED_S = 2.0
_LARGE_ENOUGH_BYTES = 1500
_RESET_S = 15.0
_FORGOTTEN_AFTER_MS = 100
_FORGOTTEN_S = 2.0
_TOO_SMALL_BYTES = 256
"""Less than the schema of a frame takes."""
_REFUSED = 'citynerve_ingest_producer_renewals_total{reason="refused"}'
_GAPS = 'citynerve_processor_offset_gaps_total{{reason="{reason}"}}'
_GAP_ROWS = """
SELECT partition, readings FROM city_view.offset_gaps WHERE topic = $1 AND reason = 'retention' AND from_offset = ANY($2)
"""
_CURSORS = "SELECT partition, next_offset FROM city.offsets WHERE topic = $1"

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class RetentionPassesCursor:
    """The processor away for longer than Kafka keeps: half of what nobody has read is deleted, in every partition.

    By the admin request, as the broker would do it: by its own clock it looks for segments to delete every five minutes only.
    """

    def __call__(self, arena: Arena) -> None:
        topic = Topics().readings
        arena.terminate("process")
        pause(_BACKLOG_S)
        cursors = _run(_rows(arena, _CURSORS, topic))
        gone = _run(_cut(arena.stack.kafka_bootstrap, topic, {row["partition"]: row["next_offset"] for row in cursors}))
        if not gone:
            raise Trouble(f"no partition of {topic} has two frames that nobody has read; nothing was tested")
        arena.destroyed += gone
        arena.over()
        arena.start("process")
        until(lambda: _gaps(arena, "retention") == len(gone), _BUDGET_S, "every partition's gap met and counted")
        until(lambda: _named(arena, topic, gone), _BUDGET_S, "gap rows that name exactly the readings that were cut")


def _named(arena: Arena, topic: str, gone: list[Destroyed]) -> bool:
    expected = {item.offsets[1]: item.readings for item in gone if item.offsets is not None}
    firsts = [item.offsets[2] for item in gone if item.offsets is not None]
    return {row["partition"]: row["readings"] for row in _run(_rows(arena, _GAP_ROWS, topic, firsts))} == expected


async def _cut(bootstrap: str, topic: str, cursors: Mapping[int, int]) -> list[Destroyed]:
    """Delete the older half of what is unread; answers what it was."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=None)
    await consumer.start()
    try:
        ends = await consumer.end_offsets([TopicPartition(topic, number) for number in cursors])
        found, before = [], {}
        for partition, end in ends.items():
            first = cursors[partition.partition]
            behind = first + (end - first) // 2
            if behind > first:
                bodies = await _bodies(consumer, partition, first, behind)
                offsets = (topic, partition.partition, first, behind - 1)
                found.append(destroyed(f"{behind - first} records of {topic}/{partition.partition}", bodies, offsets))
                before[partition] = RecordsToDelete(behind)
    finally:
        await consumer.stop()
    if before:
        async with _admin(bootstrap) as admin:
            await admin.delete_records(before)
    return found


async def _bodies(consumer: AIOKafkaConsumer, partition: TopicPartition, first: int, behind: int) -> list[bytes]:
    consumer.assign([partition])
    consumer.seek(partition, first)
    found: list[bytes] = []
    async with asyncio.timeout(_BUDGET_S):
        while len(found) < behind - first:
            found.append((await consumer.getone()).value)
    return found


@dataclass(frozen=True, slots=True)
class RefusedBatch:
    """The topic's largest message is made smaller than any frame, then raised in steps: first all, then the larger frames are refused."""

    def __call__(self, arena: Arena) -> None:
        before = arena.metric("ingest", _REFUSED) or 0.0
        _run(_limit_messages(arena.stack.kafka_bootstrap, _TOO_SMALL_BYTES))
        try:
            until(lambda: (arena.metric("ingest", _REFUSED) or 0.0) > before, _BUDGET_S, "a batch refused")
            for most_bytes in range(_TOO_SMALL_BYTES, _LARGE_ENOUGH_BYTES, _TOO_SMALL_BYTES):
                _run(_limit_messages(arena.stack.kafka_bootstrap, most_bytes))
                pause(_REFUSED_S)
        finally:
            _run(_limit_messages(arena.stack.kafka_bootstrap, None))


@dataclass(frozen=True, slots=True)
class ProducerReset:
    """The broker forgets every producer id half a second after its last batch, while answers to the gateway's produce requests are lost.

    What Kafka 4 does (looked up by `_is_known`): deleting records forgets no producer; only `producer.id.expiration.ms` does. A forgotten
    producer is refused nothing: the next batch is taken under whatever number, so a batch that is sent again is appended again.
    """

    def __call__(self, arena: Arena) -> None:
        bootstrap = arena.stack.kafka_bootstrap
        known, after_deletion, forgotten = _run(_forget_producers(bootstrap))
        if (known, after_deletion, forgotten) != (True, True, False):
            raise Trouble(
                f"a producer is known: {known}, after its records were deleted: {after_deletion}, after its id expired: {forgotten}; "
                "expected True, True, False"
            )
        try:
            UnderWeather(("ingest", "kafka"), _RESET_S, lose_every=10)(arena)
        finally:
            _run(_expire_producers(bootstrap, None))


async def _forget_producers(bootstrap: str) -> tuple[bool, bool, bool]:
    """Let the broker forget from now on; whether it knew a producer before, after deletion of its records, and after that."""
    probe = TopicPartition(f"chaos.producer-{time.time_ns()}", 0)
    async with _admin(bootstrap) as admin:
        await admin.create_topics([NewTopic(probe.topic, 1, 1)])
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True)
        await producer.start()
        try:
            await producer.send_and_wait(probe.topic, b"0", partition=0)
            known = await _is_known(producer, probe)
            await admin.delete_records({probe: RecordsToDelete(1)})
            after_deletion = await _is_known(producer, probe)
            await _expire_producers(bootstrap, _FORGOTTEN_AFTER_MS)
            await asyncio.sleep(_FORGOTTEN_S)
            return known, after_deletion, await _is_known(producer, probe)
        finally:
            await producer.stop()


async def _is_known(producer: AIOKafkaProducer, probe: TopicPartition) -> bool:
    """Send the first batch of the producer once more: a broker that knows it answers with its offset, 0, and appends nothing."""
    producer._txn_manager._sequence_numbers[probe] = 0  # noqa: SLF001 - no public way to send a batch number again
    return int((await producer.send_and_wait(probe.topic, b"0", partition=0)).offset) == 0


async def _expire_producers(bootstrap: str, after_ms: int | None) -> None:
    """None: as Kafka comes."""
    settings = {} if after_ms is None else {"producer.id.expiration.ms": str(after_ms)}
    async with _admin(bootstrap) as admin:
        _check(await admin.alter_configs([ConfigResource(ConfigResourceType.BROKER, "1", settings)]))


def _check(answers: Sequence[Any]) -> None:
    for answer in answers:
        for code, message, _, name in answer.resources:
            if code:
                raise Trouble(f"Kafka does not take the settings of {name}: {message} (error {code})")


async def _limit_messages(bootstrap: str, most_bytes: int | None) -> None:
    """None: as `citynerve migrate` makes the topic. The request replaces all settings of the topic, so all are given."""
    spec = next(spec for spec in Topics().specs(partitions=1) if spec.name == Topics().readings)
    settings = spec.configs(min_insync_replicas=1)
    if most_bytes is not None:
        settings["max.message.bytes"] = str(most_bytes)
    async with _admin(bootstrap) as admin:
        _check(await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, spec.name, settings)]))


def _gaps(arena: Arena, reason: str) -> float | None:
    return arena.metric("process", _GAPS.format(reason=reason))


async def _rows(arena: Arena, query: str, *arguments: object) -> list[asyncpg.Record]:
    connection = await asyncpg.connect(arena.dsn, timeout=10)
    try:
        return await connection.fetch(query, *arguments)
    finally:
        await connection.close(timeout=10)


@asynccontextmanager
async def _admin(bootstrap: str) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()


def _run(work: Awaitable[Result]) -> Result:
    async def in_time() -> Result:
        async with asyncio.timeout(2 * _BUDGET_S):
            return await work

    return asyncio.run(in_time())
