"""Faults of what lies in Kafka: a batch damaged on its disk, and records that are damaged frames although Kafka's checksum is right."""

import asyncio
import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import asyncpg
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.structs import ConsumerRecord

from deploy.chaos.arena import Arena
from deploy.chaos.cluster_view import ClusterView
from deploy.chaos.destroyed import destroyed
from deploy.chaos.waits import pause, until
from deploy.local.trouble import Trouble
from ingest.contract.damaged_log import batches, stretch
from ingest.contract.frame import FrameError, FrameHeader, decode_readings
from ingest.contract.topics import Topics

_BACKLOG_S = 6.0
_BUDGET_S = 30.0
_LEFT_OUT, _REPLACED = (
    f'citynerve_processor_damaged_batches_total{{outcome="{outcome}"}}' for outcome in ("left_out", "read_from_replica")
)
_COPIES = 6
_FLIPS = 8
_CURSORS = "SELECT partition, next_offset FROM city.offsets WHERE topic = $1"
_LETTERS = (
    "SELECT count(DISTINCT payload) FROM city.dead_letters WHERE reason = 'bad_frame' AND payload = any($1::bytea[])"
)

Headers = list[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class FlippedKafkaLog:
    """One bit of a batch that the processor has not read, on the disk of the only broker: nobody has another copy."""

    def __call__(self, arena: Arena) -> None:
        topic = Topics().readings
        arena.terminate("process")
        pause(_BACKLOG_S)
        cursors = asyncio.run(_cursors(arena.dsn, topic))
        arena.terminate(
            "kafka"
        )  # in good order: after a kill it would look through its log itself, and cut it off at the damage
        folder = arena.stack.place.data("kafka")
        path, number, start, end = _unread_batch(topic, cursors, dict.fromkeys(cursors, folder))
        body = path.read_bytes()[start:end]
        ((_, _, first, behind),) = batches(body)
        whole = stretch(body, TopicPartition(topic, number), first, behind)
        arena.destroyed.append(
            destroyed(
                f"a batch of {topic}/{number} on Kafka's disk",
                [record.value for record in whole.records],
                (topic, number, first, behind - 1),
            )
        )
        _flip(path, (start + end) // 2)
        arena.over()
        arena.start("kafka")
        arena.start("process")
        until(lambda: arena.metric("process", _LEFT_OUT) == 1, _BUDGET_S, "the damaged batch met and counted")


@dataclass(frozen=True, slots=True)
class FlippedLeaderLog:
    """One bit of a batch that the processor has not read, at the broker that leads its partition; the two others have it whole."""

    def __call__(self, arena: Arena) -> None:
        topic = Topics().readings
        arena.terminate("process")
        pause(_BACKLOG_S)
        cursors = asyncio.run(_cursors(arena.dsn, topic))
        folders = {
            state.partition: arena.stack.place.data(state.leader)
            for state in ClusterView(arena).partitions()
            if state.topic == topic and state.leader is not None
        }
        path, _, start, end = _unread_batch(topic, cursors, folders)
        _flip(path, (start + end) // 2)  # under the running broker: it serves what the page cache has
        arena.over()
        arena.start("process")
        until(lambda: arena.metric("process", _REPLACED) == 1, _BUDGET_S, "the batch read from another broker")
        if arena.metric("process", _LEFT_OUT) != 0:
            raise Trouble("a batch that two brokers have whole was left out")


def _flip(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        (byte,) = file.read(1)
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def _unread_batch(topic: str, cursors: dict[int, int], folders: dict[int, Path]) -> tuple[Path, int, int, int]:
    """(file, partition, start, end) of a batch that nobody has read and that has another behind it; `folders`: where each partition is."""
    for number, offset in cursors.items():
        for path in sorted(folders[number].rglob(f"{topic}-{number}/*.log")):
            unread = [(start, end) for start, end, first, _ in batches(path.read_bytes()) if first > offset]
            if len(unread) >= 2:
                return (path, number, *unread[len(unread) // 2 - 1])
    raise Trouble(f"no partition of {topic} has two batches that nobody has read; nothing was tested")


async def _cursors(dsn: str, topic: str) -> dict[int, int]:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        return {row["partition"]: row["next_offset"] for row in await connection.fetch(_CURSORS, topic)}
    finally:
        await connection.close(timeout=10)


@dataclass(frozen=True, slots=True)
class FlippedFrames:
    """Somebody writes damaged copies of frames between the gateway's: bits flipped in the body, in the count, in the header's numbers."""

    def __call__(self, arena: Arena) -> None:
        bodies = asyncio.run(self._write(arena.stack.kafka_bootstrap, Topics().readings))
        arena.over()
        asyncio.run(_until_dead_letters(arena.dsn, bodies))

    async def _write(self, bootstrap: str, topic: str) -> list[bytes]:
        """Produce them; returns the bodies that must become dead letters."""
        genuine = await _genuine(bootstrap, topic, 2 * _COPIES)
        producer = AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all")
        await producer.start()
        try:
            bodies: list[bytes] = []
            for number, (record, body, headers) in enumerate(_damaged(genuine)):
                await producer.send_and_wait(topic, body, partition=record.partition, headers=headers)
                if number < _COPIES + 2:
                    bodies.append(body)
                await asyncio.sleep(0.3)
            return bodies
        finally:
            await producer.stop()


async def _genuine(bootstrap: str, topic: str, count: int) -> list[ConsumerRecord]:
    """The next frames of readings."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="latest")
    await consumer.start()
    try:
        async with asyncio.timeout(_BUDGET_S):
            found: list[ConsumerRecord] = []
            while len(found) < count:
                record = await consumer.getone()
                if len(decode_readings(record.value)) > 1:
                    found.append(record)
            return found
    except TimeoutError:
        raise Trouble("no frames came to be copied") from None
    finally:
        await consumer.stop()


def _damaged(genuine: list[ConsumerRecord]) -> Iterator[tuple[ConsumerRecord, bytes, Headers]]:
    """Copies as of a gateway of their own (numbered from 0, so that none is missed), one with a flipped count, one without a
    readable header; then copies under the very header of their frame, which are accounted for already.
    """
    chance = random.Random(3)  # noqa: S311 - the same bits each time
    yield genuine[0], genuine[0].value, _headers(genuine[0], gateway="rogue-count", count_off=1)
    yield genuine[1], _flipped(genuine[1].value, chance), [*_headers(genuine[1], gateway="rogue")[:2], ("epoch", b"q7")]
    for number, record in enumerate(genuine[2 : _COPIES + 2]):
        yield record, _flipped(record.value, chance), _headers(record, gateway=f"rogue-{number}")
    for record in genuine[_COPIES + 2 :]:
        yield record, _flipped(record.value, chance), list(record.headers)


def _headers(record: ConsumerRecord, *, gateway: str, count_off: int = 0) -> Headers:
    said = FrameHeader.from_kafka(record.headers)
    return FrameHeader(gateway, said.epoch, 0, 0, said.count ^ count_off, said.received_us, said.sent_us).to_kafka()


def _flipped(body: bytes, chance: random.Random) -> bytes:
    """As many bits as it takes to be seen: flipped bits of a value are another value, and only Kafka's checksum could tell."""
    damaged = bytearray(body)
    while True:
        for bit in chance.sample(range(8 * len(damaged)), _FLIPS):
            damaged[bit // 8] ^= 1 << bit % 8
        try:
            decode_readings(bytes(damaged))
        except FrameError:
            return bytes(damaged)


async def _until_dead_letters(dsn: str, bodies: list[bytes]) -> None:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        ends_s = time.monotonic() + _BUDGET_S
        while (found := await connection.fetchval(_LETTERS, bodies)) < len(bodies):
            if time.monotonic() > ends_s:
                raise Trouble(f"{found} of {len(bodies)} damaged frames are dead letters with their bytes")
            await asyncio.sleep(0.5)
    finally:
        await connection.close(timeout=10)
