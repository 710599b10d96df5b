"""`citynerve deadletters retry`, step by step: finish what an earlier run left, decode again, claim, send, mark.

Every step may be the last one before a crash. Claimed and not sent: the frames lie in the outbox, and the next run sends them first.
Sent and not marked: the next run sends the same bytes under the same numbers, which the ledger recognises as redelivered.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from aiokafka.errors import KafkaError

from deploy.dead_letters import Attempt, Redecoder
from deploy.dead_letters_store import (
    Chosen,
    Connection,
    claim,
    finish,
    last_epoch,
    lock,
    outbox,
    waiting_letters,
)
from ingest.contract.broker import KafkaSettings
from ingest.contract.operating import EXIT_TROUBLE, UserError
from ingest.frames import FrameBuilder, OutFrame
from ingest.kafka_sink import KafkaSink, SinkError
from ingest.settings import RETRY_GATEWAY

_LETTERS_A_CLAIM = 200
_SEND_S = 30.0


@dataclass(slots=True)
class Numbers:
    """(topic, partition) -> frames and readings numbered so far in this run's epoch."""

    _taken: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)

    def take(self, topic: str, partition: int, count: int) -> tuple[int, int]:
        """The next (seq, before)."""
        seq, before = self._taken.get((topic, partition), (0, 0))
        self._taken[topic, partition] = (seq + 1, before + count)
        return seq, before


class Retry:
    """One run under one epoch. `resumed`: letters of an earlier run that this one finished."""

    def __init__(self, connection: Connection, kafka: KafkaSettings, redecoder: Redecoder) -> None:
        self._connection = connection
        self._kafka = kafka
        self._redecoder = redecoder
        self._numbers = Numbers()
        self._sink: KafkaSink | None = None
        self._epoch = 0
        self.resumed = 0

    async def run(self, chosen: Chosen, *, dry: bool) -> AsyncGenerator[Attempt, None]:
        """What became of each letter that waits; where `dry`, what would.

        Raises:
            UserError: another retry is running, or Kafka does not take the frames.
        """
        try:
            if not dry:
                await self._begin()
            after = 0
            while letters := await waiting_letters(self._connection, chosen, after, _LETTERS_A_CLAIM):
                after = letters[-1].letter_id
                attempts = [self._redecoder.attempt(letter) for letter in letters]
                good = [attempt for attempt in attempts if attempt.reason is None]
                if good and not dry:
                    await self._retry(good)
                for attempt in attempts:
                    yield attempt
        finally:
            if self._sink is not None:
                await self._sink.close()

    async def _begin(self) -> None:
        if not await lock(self._connection):
            raise UserError(
                "another `citynerve deadletters retry` is running; wait until it ends", exit_code=EXIT_TROUBLE
            )
        self._epoch = max(time.time_ns() // 1000, await last_epoch(self._connection) + 1)
        self.resumed = await self._send_outbox()

    async def _retry(self, attempts: Sequence[Attempt]) -> None:
        builder = FrameBuilder(
            RETRY_GATEWAY, self._epoch, self._kafka.topics, self._redecoder.catalogue, self._numbers.take
        )
        now_us = time.time_ns() // 1000
        letters: dict[int, int] = {}
        messages = set()
        for attempt in attempts:
            letter = attempt.letter
            fresh = letter.message not in messages  # two letters of one message: its readings go once
            messages.add(letter.message)
            letters[letter.letter_id] = attempt.readings if fresh else 0
            if fresh:
                # received now, by gateway "retry": the letter's own receipt would count as days of delay in the latency figures
                builder.add(attempt.admitted, (), now_us)
        await claim(self._connection, self._epoch, letters, builder.build(now_us))
        self._redecoder.catalogue.make_room()
        await self._send_outbox()

    async def _send_outbox(self) -> int:
        frames = await outbox(self._connection)
        acknowledged = await self._send(frames) if frames else []
        return await finish(self._connection, acknowledged)

    async def _send(self, frames: Sequence[OutFrame]) -> list[tuple[OutFrame, int]]:
        if self._sink is None:
            sink = KafkaSink(self._kafka, f"citynerve-{RETRY_GATEWAY}")
            if not await sink.open(_SEND_S):
                raise UserError(f"{sink.trouble}; {_kept(frames)}", exit_code=EXIT_TROUBLE)
            self._sink = sink
        try:
            async with asyncio.timeout(_SEND_S):
                sent = [await self._sink.send(frame, _SEND_S) for frame in frames]
                ended = await asyncio.gather(*sent)
        except (SinkError, KafkaError, TimeoutError, OSError) as error:
            raise UserError(
                f"Kafka did not take the readings ({type(error).__name__}: {error}); {_kept(frames)}",
                exit_code=EXIT_TROUBLE,
            ) from None
        return [(frame, int(getattr(end, "offset", -1))) for frame, end in zip(frames, ended, strict=True)]


def _kept(frames: Sequence[OutFrame]) -> str:
    count = sum(frame.header.count for frame in frames)
    return f"the {count} readings of the letters claimed stay in the database and the next retry sends them first"
