"""A frame that Kafka refuses as too large although it is sent alone: after a while it must not hold up its partition any longer.

Its number is taken and its readings are counted, so something has to go in its place: a record under the same header whose body says
what became of the frame. The processors make a dead letter of it (`bad_frame`) with the frame's readings, so that the ledger adds up. The
frame's own bytes are kept in a file beside the spool.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from pathlib import Path

from ingest.frames import OutFrame

log = logging.getLogger(__name__)

Key = tuple[str, int, int, int]


class Oversize:
    """What was refused alone, since when, and what goes in its place. Times are of any steady clock, seconds."""

    def __init__(self, folder: Path, after_s: float) -> None:
        self._folder, self._after_s = folder, after_s
        self._waiting: tuple[Key, float] | None = None
        self._hopeless_bytes: int | None = (
            None  # a frame of this size has been given up: as large ones need not wait again
        )
        self._instead: dict[Key, OutFrame] = {}
        self.given_up = 0

    def instead_of(self, frame: OutFrame) -> OutFrame:
        """What is to be sent: the frame itself, or what stands for it."""
        return self._instead.get(_key(frame), frame)

    def taken(self, frame: OutFrame) -> None:
        """Kafka has it, or what stands for it."""
        stood_in = self._instead.pop(_key(frame), None) is not None
        if not stood_in and self._hopeless_bytes is not None and len(frame.body) >= self._hopeless_bytes:
            self._hopeless_bytes = None  # the limit was raised
        self._waiting = None

    def refused(self, frame: OutFrame, now_s: float) -> None:
        """It was sent alone and is too large. Given up when that has gone on for too long and its bytes are safe on disk."""
        key = _key(frame)
        if key in self._instead:
            return  # not even what stands for it fits: there is nothing to do but to wait
        if self._waiting is None or self._waiting[0] != key:
            self._waiting = key, now_s
        hopeless = self._hopeless_bytes is not None and len(frame.body) >= self._hopeless_bytes
        if not hopeless and now_s - self._waiting[1] < self._after_s:
            return
        name = "{}-{}-{}-{}.refused".format(*key)
        try:
            _write(self._folder / name, frame.body)
        except OSError as error:
            log.warning("a frame that is too large for Kafka cannot be set aside: %s", error)
            return
        said = f"a frame of {len(frame.body)} bytes was too large for Kafka; the gateway keeps its bytes in {name}"
        self._instead[key] = replace(frame, body=said.encode())
        self._hopeless_bytes = min(len(frame.body), self._hopeless_bytes or len(frame.body))
        self.given_up += 1
        log.error(
            "Kafka takes no frame of this size: it becomes a dead letter, its bytes are set aside",
            extra={
                "fields": {"bytes": len(frame.body), "readings": frame.header.count, "file": str(self._folder / name)}
            },
        )


def _key(frame: OutFrame) -> Key:
    return frame.topic, frame.partition, frame.header.epoch, frame.header.seq


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
