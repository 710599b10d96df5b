"""From sources to one stream in the order of event time, and when each message is due on the wall clock."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from simulators.batch import Batch

Source = Iterator[tuple[int, Batch]]
"""(horizon, batch), on and on: no later batch of the source holds a message due before the horizon (microseconds, UTC)."""


def merged(sources: Sequence[Source]) -> Iterator[Batch]:
    """All sources as one stream ordered by due time, so that one device's delay never looks like the whole city's."""
    alive = dict(enumerate(sources))
    horizon = dict.fromkeys(alive, -(2**62))
    waiting = Batch.empty()
    while alive:
        slowest = min(alive, key=horizon.__getitem__)
        fetched = next(alive[slowest], None)
        if fetched is None:
            del alive[slowest]
        else:
            horizon[slowest], batch = fetched
            waiting = Batch.merge([waiting, batch])
        safe = min((horizon[i] for i in alive), default=None)
        ready, waiting = waiting.split(safe)
        if len(ready):
            yield ready
    if len(waiting):
        yield waiting


@dataclass(frozen=True, slots=True)
class Pace:
    """How event time runs against the wall clock: from `from_us` at `start_us` on, `speed` times as fast (infinity: at once), but
    never ahead of the wall clock. So a day replayed at 480 arrives at now after three minutes and goes on live by itself.
    """

    from_us: int
    start_us: int
    speed: float

    def reached_us(self, now_us: int) -> int:
        """The event time that has come at `now_us`: what is due before it may be sent."""
        if math.isinf(self.speed):
            return now_us
        return min(now_us, self.from_us + int((now_us - self.start_us) * self.speed))
