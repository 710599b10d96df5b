"""The Kafka producer as the gateway needs it: acks=all, idempotent, renewed after any failure, every wait bounded.

aiokafka's idempotent producer takes a sequence number for a batch and never gives it back: after one refused or expired batch every later
send to that partition fails. So a failed producer is never used again; `Delivery` replays what was not acknowledged on a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable

from aiokafka import AIOKafkaProducer
from aiokafka.errors import (
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    UnknownTopicOrPartitionError,
)

from ingest.contract.broker import KafkaSettings
from ingest.frames import OutFrame

log = logging.getLogger(__name__)

_BATCH_BYTES = 1024 * 1024
_REQUEST_BYTES = 4 * 1024 * 1024
_STOP_TIMEOUT_S = 2.0
_LOG_APPEND_TIME = 1
_LOOK_AGAIN_S = 0.05
_NEXT_BROKER_AFTER_S = 1.0


class SinkError(Exception):
    """The producer cannot be trusted any more. `reason` is a label of citynerve_ingest_producer_renewals_total."""

    def __init__(self, reason: str, detail: str, *, too_large: bool = False) -> None:
        super().__init__(detail)
        self.reason = reason
        self.too_large = too_large


def refusal(error: BaseException) -> SinkError:
    """What ended a send."""
    too_large = isinstance(error, MessageSizeTooLargeError | RecordListTooLargeError)
    return SinkError("refused", f"{type(error).__name__}: {error}", too_large=too_large)


class _TopicMissingError(Exception):
    """Kafka answers, and lacks what `citynerve migrate` makes."""


class KafkaSink:
    """One producer at a time. Not thread-safe: the event loop's own."""

    def __init__(self, kafka: KafkaSettings, client_id: str) -> None:
        self._kafka = kafka
        self._client_id = client_id
        self._hosts = deque(host.strip() for host in kafka.bootstrap.split(","))
        """In the order in which they are asked: the one that answered last comes first."""
        self._producer: AIOKafkaProducer | None = None
        self.trouble: str | None = "Kafka is not connected yet"
        self.one_a_batch = False
        """From the next producer on, after a batch that was too large: each frame that fits by itself must get through."""

    async def open(self, timeout_s: float) -> bool:
        """Start a new producer (a new producer id). False when Kafka cannot be reached or lacks the topics; `trouble` says why."""
        old, self._producer = self._producer, None
        if old is not None:
            await _give_up(old)  # without a flush: what it holds the new one sends again
        tries: list[asyncio.Task[AIOKafkaProducer]] = []
        try:
            async with asyncio.timeout(timeout_s):
                producer = await self._first(tries)
                self._producer = producer
                self.trouble = None
        except _TopicMissingError as error:
            self.trouble = str(error)
        except (KafkaError, OSError, TimeoutError) as error:
            self.trouble = f"Kafka at {self._kafka.bootstrap} is not reachable: {type(error).__name__}"
            self._hosts.rotate(-1)
        finally:
            for task in tries:
                task.cancel()
            ended = await asyncio.gather(*tries, return_exceptions=True)
            for one in ended:
                if isinstance(one, AIOKafkaProducer) and one is not self._producer:
                    await _give_up(one)
        return self._producer is not None

    async def _first(self, tries: list[asyncio.Task[AIOKafkaProducer]]) -> AIOKafkaProducer:
        """A producer by way of the first broker that answers; the next one is asked beside one that is silent.

        A frozen broker accepts connections: asked alone, it held a gateway up for ten seconds and more while two others were well.
        """
        waiting: set[asyncio.Task[AIOKafkaProducer]] = set()
        hosts = list(self._hosts)
        error: BaseException = KafkaError("no broker is named")
        while hosts or waiting:
            if hosts:
                tries.append(asyncio.create_task(self._start(hosts.pop(0)), name="kafka producer"))
                waiting.add(tries[-1])
            done, waiting = await asyncio.wait(
                waiting, timeout=_NEXT_BROKER_AFTER_S if hosts else None, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                found = task.exception()
                if found is None:
                    return task.result()
                error = found
                if isinstance(found, _TopicMissingError):
                    raise found
        raise error

    async def _start(self, host: str) -> AIOKafkaProducer:
        producer = AIOKafkaProducer(
            client_id=self._client_id,
            acks="all",
            enable_idempotence=True,
            compression_type="lz4",
            max_batch_size=1 if self.one_a_batch else _BATCH_BYTES,
            max_request_size=_REQUEST_BYTES,
            linger_ms=0,
            **(self._kafka.client_options() | {"bootstrap_servers": host}),
        )
        try:
            await producer.start()
            missing = await self._missing(producer)
        except BaseException:
            await _give_up(producer)
            raise
        if missing is not None:
            await _give_up(producer)
            raise _TopicMissingError(missing)
        while self._hosts[0] != host:
            self._hosts.rotate(-1)
        return producer

    async def _missing(self, producer: AIOKafkaProducer) -> str | None:
        topics = self._kafka.topics
        for topic, partitions in (
            (topics.readings, self._kafka.partitions),
            (topics.dead_letters, 1),
            (topics.custody, 1),
        ):
            try:
                found = len(await producer.partitions_for(topic))
            except UnknownTopicOrPartitionError:
                found = 0
            if found < partitions:
                return f"Kafka topic {topic} has {found} partitions, {partitions} are needed; run `citynerve migrate`"
        return None

    async def send(self, frame: OutFrame, deadline_s: float) -> asyncio.Future[object]:
        """Hand a frame to the producer; the future ends with its record metadata when all in-sync replicas have it.

        Raises:
            SinkError: it could not be handed over.
        """
        if self._producer is None:
            raise SinkError("error", "no producer")
        try:
            async with asyncio.timeout(deadline_s):
                future: asyncio.Future[object] = await self._producer.send(
                    frame.topic, frame.body, partition=frame.partition, headers=frame.header.to_kafka()
                )
        except TimeoutError:
            raise SinkError("deadline", f"the producer's buffer stayed full for {deadline_s} s") from None
        except (KafkaError, AssertionError, OSError) as error:
            raise refusal(error) from error
        return future

    async def send_statement(
        self, topic: str, key: bytes, body: bytes, deadline_s: float, heard: Callable[[int], None] | None = None
    ) -> bool:
        """Send a custody statement and wait for it; False when Kafka did not take it in time.

        `heard` is told when that was by Kafka's clock, in microseconds.
        """
        if self._producer is None:
            return False
        try:
            async with asyncio.timeout(deadline_s):
                taken = await self._producer.send_and_wait(topic, body, key=key, partition=0)
        except (KafkaError, TimeoutError, AssertionError, OSError):
            return False
        if heard is not None and taken.timestamp_type == _LOG_APPEND_TIME:
            heard(taken.timestamp * 1000)
        return True

    async def close(self) -> None:
        """Let the producer go, whatever it still holds."""
        producer, self._producer = self._producer, None
        if producer is not None:
            await _stop(producer)


async def _stop(producer: AIOKafkaProducer) -> None:
    # an unreachable broker would hold up a flush for ever, and a stop that is cut short leaves tasks that nothing ends
    with contextlib.suppress(KafkaError, OSError, TimeoutError, AssertionError):
        async with asyncio.timeout(_STOP_TIMEOUT_S):
            await producer.flush()
            await producer.stop()
            return
    await _give_up(producer)


async def _give_up(producer: AIOKafkaProducer) -> None:
    producer._closed = True  # noqa: SLF001 - aiokafka has no way to give a producer up
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_STOP_TIMEOUT_S):
            await producer.client.close()
    await _end_sender(producer)


async def _end_sender(producer: AIOKafkaProducer) -> None:
    """End the tasks of a producer that is given up: each would wait for ever for metadata that nobody fetches any more."""
    sender = producer._sender  # noqa: SLF001
    task = None if sender is None else sender.sender_task
    if task is None:
        return
    task.remove_done_callback(sender._fail_all)  # noqa: SLF001 - it raises without a transaction
    task.cancel()
    ends = asyncio.get_running_loop().time() + _STOP_TIMEOUT_S
    while not task.done() and asyncio.get_running_loop().time() < ends:
        metadata = producer.client._md_update_fut  # noqa: SLF001
        if metadata is not None and not metadata.done():
            metadata.set_result(False)
        await asyncio.wait({task}, timeout=_LOOK_AGAIN_S)
    if not task.done():
        task.cancel()  # it waits for a request under way: a second time ends that one too
        await asyncio.wait({task}, timeout=_LOOK_AGAIN_S)
    if task.done() and not task.cancelled():
        task.exception()  # looked at, or it would be told of as never retrieved


def on_done(future: asyncio.Future[object], done: Callable[[int], None], failed: Callable[[SinkError], None]) -> None:
    """Report the end of a send: the record's offset, or what went wrong."""

    def report(ended: asyncio.Future[object]) -> None:
        if ended.cancelled():
            failed(SinkError("error", "the send was cancelled"))
            return
        error = ended.exception()
        if error is None:
            done(int(getattr(ended.result(), "offset", -1)))
        else:
            failed(refusal(error))

    future.add_done_callback(report)
