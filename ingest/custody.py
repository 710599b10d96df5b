"""What this gateway can say about every reading it took: numbers of frames, what Kafka acknowledged, what waits on disk.

One life is one run of the process, named by its epoch. Lives are kept in a file, so that frames spooled by an earlier life are still
accounted for in its name when a later one delivers them.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from ingest.contract.frame import FrameHeader

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


class Mark(msgspec.Struct):
    """How far one partition got: frames and readings numbered, readings acknowledged by Kafka, the offset of the last of them."""

    topic: str
    partition: int
    seq: int = 0
    before: int = 0
    acked: int = 0
    offset: int = -1


class Life(msgspec.Struct):
    """The counts of one run."""

    epoch: int
    received: int = 0
    refused: int = 0
    messages: int = 0
    acked_kafka: int = 0
    spooled: int = 0
    marks: list[Mark] = msgspec.field(default_factory=list)


class _State(msgspec.Struct):
    lives: list[Life] = msgspec.field(default_factory=list)
    session_seen: bool = False


@dataclass(slots=True)
class Custody:
    """The lives of one gateway, the present one among them. Not thread-safe: the event loop's own."""

    gateway: str
    path: Path
    epoch: int = 0
    session_seen: bool = False
    lives: dict[int, Life] = field(default_factory=dict)
    changed: set[int] = field(default_factory=set)
    _marks: dict[tuple[int, str, int], Mark] = field(default_factory=dict)
    _writing: threading.Lock = field(default_factory=threading.Lock)

    @classmethod
    def begin(cls, gateway: str, path: Path, now_us: int, spooled: dict[int, int]) -> Custody:
        """Start a life: its epoch is `now_us`, or one more than the last epoch where the clock stepped back.

        Args:
            spooled: readings in the spool by epoch, as found on disk.

        Raises:
            OSError: the file cannot be written, and not for want of room.
        """
        state = _read(path)
        custody = cls(gateway, path, session_seen=state.session_seen)
        last = max((life.epoch for life in state.lives), default=0)
        custody.epoch = max(now_us, last + 1, max(spooled, default=0) + 1)
        for life in state.lives:
            if life.epoch in spooled or life.epoch == last:
                custody._adopt(life)
        for epoch, readings in spooled.items():
            life = custody.lives.get(epoch) or custody._adopt(Life(epoch))
            life.spooled = readings
            life.received = max(life.received, life.acked_kafka + readings)
            custody.changed.add(epoch)
        for epoch in custody.lives.keys() - spooled.keys():
            custody.lives[epoch].spooled = 0
        custody._adopt(Life(custody.epoch))
        custody.changed.add(custody.epoch)
        try:
            custody.save()
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            # the spool says what is owed; a gateway that did not start on a full disk could never drain what fills it
        return custody

    @property
    def now(self) -> Life:
        """The present life."""
        return self.lives[self.epoch]

    def received(self, messages: int, readings: int) -> None:
        """Messages were taken from the broker, with this many readings (an undecodable payload counts 1)."""
        self.now.messages += messages
        self.now.received += readings
        self.changed.add(self.epoch)

    def number(self, topic: str, partition: int, count: int) -> tuple[int, int]:
        """(seq, before) of the next frame of a partition."""
        mark = self._mark(self.epoch, topic, partition)
        numbered = mark.seq, mark.before
        mark.seq += 1
        mark.before += count
        return numbered

    def acknowledged(self, topic: str, partition: int, header: FrameHeader, offset: int) -> None:
        """Kafka has a frame. A second acknowledgement of the same frame (a replay) changes no count but the offset."""
        life = self.lives.get(header.epoch)
        if life is None:
            life = self._adopt(Life(header.epoch))
        mark = self._mark(header.epoch, topic, partition)
        through = header.before + header.count
        if through > mark.acked:
            life.acked_kafka += min(header.count, through - mark.acked)
            mark.acked = through
            mark.offset = offset
        mark.seq = max(mark.seq, header.seq + 1)
        mark.before = max(mark.before, through)
        self.changed.add(header.epoch)

    def has(self, topic: str, partition: int, header: FrameHeader) -> bool:
        """Whether Kafka is known to have acknowledged this frame already."""
        mark = self._marks.get((header.epoch, topic, partition))
        return mark is not None and header.count > 0 and header.before + header.count <= mark.acked

    def spooled(self, header: FrameHeader, *, sign: int) -> None:
        """A frame went into the spool (+1) or left it (-1)."""
        life = self.lives.get(header.epoch)
        if life is not None:
            life.spooled = max(0, life.spooled + sign * header.count)
            self.changed.add(header.epoch)

    def statements(self, at_us: int) -> list[bytes]:
        """JSON statements of the lives that changed since the last call: the columns of `city.gateway_statements`."""
        bodies = [self._statement(self.lives[epoch], at_us) for epoch in sorted(self.changed) if epoch in self.lives]
        self.changed.clear()
        for epoch in [epoch for epoch, life in self.lives.items() if epoch != self.epoch and life.spooled == 0]:
            self._forget(epoch)
        return bodies

    def save(self) -> None:
        """Write the lives to disk: atomically, and durable before this returns."""
        self.write(self.snapshot())

    def snapshot(self) -> bytes:
        """The lives as `write` takes them: made on the event loop, where they change."""
        return msgspec.json.encode(_State(list(self.lives.values()), self.session_seen))

    def write(self, body: bytes) -> None:
        """Put a snapshot on disk; one at a time, from any thread.

        Raises:
            OSError: it could not be written; the file before it is still whole.
        """
        with self._writing:  # a cancelled wait leaves its thread writing
            replacement = self.path.with_suffix(".new")
            with replacement.open("wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            replacement.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _statement(self, life: Life, at_us: int) -> bytes:
        return msgspec.json.encode(
            {
                "gateway": self.gateway,
                "epoch": life.epoch,
                "at_us": at_us,
                "received": life.received,
                "refused": life.refused,
                "acked_kafka": life.acked_kafka,
                "spooled": life.spooled,
                "messages": life.messages,
                "partitions": [
                    {"topic": mark.topic, "partition": mark.partition, "acked": mark.acked, "offset": mark.offset}
                    for mark in life.marks
                    if mark.acked
                ],
            }
        )

    def _adopt(self, life: Life) -> Life:
        self.lives[life.epoch] = life
        for mark in life.marks:
            self._marks[life.epoch, mark.topic, mark.partition] = mark
        return life

    def _forget(self, epoch: int) -> None:
        for mark in self.lives.pop(epoch).marks:
            self._marks.pop((epoch, mark.topic, mark.partition), None)

    def _mark(self, epoch: int, topic: str, partition: int) -> Mark:
        mark = self._marks.get((epoch, topic, partition))
        if mark is None:
            mark = Mark(topic, partition)
            self._marks[epoch, topic, partition] = mark
            self.lives[epoch].marks.append(mark)
        return mark


def _read(path: Path) -> _State:
    """The saved lives; a file that cannot be read is set aside, never a reason not to start: the spool says what is in it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=_State)
    except FileNotFoundError:
        return _State()
    except (OSError, msgspec.DecodeError):
        path.replace(path.with_suffix(f".unreadable-{time.time_ns()}"))
        return _State()
