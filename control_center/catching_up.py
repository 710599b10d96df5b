"""How far what is shown lies behind the city, and how long until it does not. Pure; time is an argument."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

_MEMORY_S: Final = 20.0
_LEAST_SPAN_S: Final = 3.0
LAG_S: Final = 10.0
"""Processors this far behind their topic are behind; less is the time a batch and a look take."""
BACKLOG_S: Final = 120.0
_SPEED: Final = 2.0


@dataclass(frozen=True, slots=True)
class CatchingUp:
    """`behind_s`: seconds that the data lies behind. `left_s`: until it is there at the present speed; None: it does not come closer."""

    behind_s: float
    left_s: float | None


class Slope:
    """Where a number that shrinks will reach 0."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()

    def observe(self, value: float | None, at_s: float) -> float | None:
        """Seconds until 0 at the mean speed of the last seconds; None where it does not shrink or was not seen long enough."""
        if value is None:
            self._seen.clear()
            return None
        self._seen.append((at_s, value))
        while at_s - self._seen[0][0] > _MEMORY_S:
            self._seen.popleft()
        first_s, first = self._seen[0]
        if at_s - first_s < _LEAST_SPAN_S or first <= value:
            return None
        return value * (at_s - first_s) / (first - value)


class BacklogWatch:
    """Tells work on a backlog (after an outage, a restart, in a replay) from a city that stands still or runs live."""

    def __init__(self) -> None:
        self._lag, self._age, self._spool = Slope(), Slope(), Slope()
        self._ages: deque[tuple[float, float]] = deque()

    def observe(
        self, *, lag_s: float | None, event_age_s: float | None, draining_bytes: float | None, at_s: float
    ) -> CatchingUp | None:
        """The state now, None: live, or nothing is known of a backlog.

        Args:
            lag_s: processors behind their topic.
            event_age_s: the clock less the watermark, without the lateness it always has.
            draining_bytes: what gateways that reach Kafka still have in their spools; None: nothing.
            at_s: any steady clock.
        """
        left = (
            self._lag.observe(lag_s, at_s),
            self._age.observe(event_age_s, at_s),
            self._spool.observe(draining_bytes, at_s),
        )
        fast = self._runs_fast(event_age_s, at_s)
        behind = [
            lag_s if lag_s is not None and lag_s >= LAG_S else None,
            event_age_s if event_age_s is not None and event_age_s >= BACKLOG_S and fast else None,
            max(event_age_s or 0.0, lag_s or 0.0) if draining_bytes else None,
        ]
        if all(one is None for one in behind):
            return None
        known = [time for time, one in zip(left, behind, strict=True) if one is not None and time is not None]
        return CatchingUp(max(one for one in behind if one is not None), max(known, default=None))

    def _runs_fast(self, event_age_s: float | None, at_s: float) -> bool:
        """Whether event time passes at least twice as fast as the clock: an idle partition's, which walks beside it, does not."""
        if event_age_s is None:
            self._ages.clear()
            return False
        self._ages.append((at_s, event_age_s))
        while at_s - self._ages[0][0] > _MEMORY_S / 2:
            self._ages.popleft()
        first_s, first = self._ages[0]
        elapsed = at_s - first_s
        return elapsed > 0 and (first - event_age_s) >= (_SPEED - 1) * elapsed
