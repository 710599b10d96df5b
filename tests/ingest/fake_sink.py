"""A Kafka sink in memory that does what it is told: acknowledge, refuse, stay silent, be away."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from aiokafka.errors import MessageSizeTooLargeError

from ingest.frames import OutFrame
from ingest.kafka_sink import SinkError


@dataclass
class Stored:
    """What `getattr(metadata, "offset")` of a record's metadata is read from."""

    offset: int


@dataclass
class FakeSink:
    """Stands in for `KafkaSink`. `mode`: "ack", "silent" (holds sends back), "refuse", "away"."""

    mode: str = "ack"
    stored: list[OutFrame] = field(default_factory=list)
    held: list[tuple[OutFrame, asyncio.Future[object]]] = field(default_factory=list)
    opened: int = 0
    trouble: str | None = "not yet"
    one_a_batch: bool = False
    limit_bytes: int | None = None

    async def open(self, timeout_s: float) -> bool:
        del timeout_s
        self.opened += 1
        self.trouble = "away" if self.mode == "away" else None
        return self.trouble is None

    async def send(self, frame: OutFrame, deadline_s: float) -> asyncio.Future[object]:
        del deadline_s
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        if self.mode == "away":
            raise SinkError("error", "away")
        if self.mode == "ack" and self.limit_bytes is not None and len(frame.body) > self.limit_bytes:
            future.set_exception(MessageSizeTooLargeError())
        elif self.mode == "ack":
            self._store(frame, future)
        elif self.mode == "refuse":
            future.set_exception(ValueError("MessageSizeTooLargeError"))
        else:
            self.held.append((frame, future))
        return future

    def answer_held(self) -> None:
        """The answers of the silent time come after all."""
        for frame, future in self.held:
            self._store(frame, future)
        self.held.clear()

    def _store(self, frame: OutFrame, future: asyncio.Future[object]) -> None:
        self.stored.append(frame)
        if not future.done():
            future.set_result(Stored(len(self.stored) - 1))

    async def close(self) -> None:
        """Nothing to let go."""
