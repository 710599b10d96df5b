"""What the gateway's pipeline hands to its delivery: the frames of one flush, and what to do when all of them are safe."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from ingest.frames import OutFrame


@dataclass(slots=True)
class Flush:
    """The frames of one flush and what to do when all of them are safe."""

    frames: list[OutFrame]
    safe: Callable[[], None]
    waiting: set[int] = field(default_factory=set)
    since: float = 0.0
    came: float = 0.0

    def __post_init__(self) -> None:
        self.waiting = set(range(len(self.frames)))


def chunks(flushes: list[Flush], limit_bytes: int) -> list[list[Flush]]:
    """Flushes in order, in groups of a few MB: one fsync each."""
    found: list[list[Flush]] = []
    size = limit_bytes
    for flush in flushes:
        if size >= limit_bytes:
            found.append([])
            size = 0
        found[-1].append(flush)
        size += sum(len(frame.body) for frame in flush.frames)
    return found
