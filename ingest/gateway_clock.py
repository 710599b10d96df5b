"""The time as a gateway takes it: its own wall clock, held against a steady clock and against Kafka's.

`ClockJudge` is pure; `GatewayClock` reads the clocks.

A gateway whose clock is an hour behind would refuse every good reading as one from the future. So a step of the wall clock is not
believed by itself: time goes on by the steady clock until Kafka's append time says which of the two is right. See docs/decisions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ingest.contract.steady_clock import steady_us, wall_us

TOLERANCE_US: Final = 30_000_000
"""Clocks this close agree: what is left is far below the five minutes that a reading may be ahead."""
MOST_DOUBT_US: Final = 86_400_000_000
"""While it is open which of two clocks is right, a reading may be ahead by their distance, but never by more than this."""


class ClockJudge:
    """Which clock is believed. Times in microseconds: `wall_us` since 1970, `steady_us` of a clock that never steps.

    `correction_us`: what is added to the wall clock. `kafka_off_us`: how far Kafka's clock is ahead of what is believed, 0 within the
    tolerance. `steps`: how often the wall clock stepped.
    """

    def __init__(self, wall_us: int, steady_us: int, *, not_before_us: int = 0) -> None:
        """`not_before_us`: a moment that has been, e.g. the last one an earlier run wrote down."""
        self._anchor_us = wall_us - steady_us
        self.correction_us = not_before_us - wall_us if wall_us < not_before_us - TOLERANCE_US else 0
        self.kafka_off_us = 0
        self.steps = 0
        self._agreed = False
        self._open = self._floored = self.correction_us != 0

    def now_us(self, wall_us: int, steady_us: int) -> int:
        """The time."""
        step_us = wall_us - steady_us - self._anchor_us
        self._anchor_us += step_us
        if abs(step_us) > TOLERANCE_US:
            self.steps += 1
            self._open = True
            self.correction_us -= step_us
        return wall_us + self.correction_us

    def doubt_us(self) -> int:
        """How much later it may be than `now_us` says: 0 unless it is open which clock is right."""
        if self._floored:  # no more is known than that the wall clock is too early
            return MOST_DOUBT_US
        return min(MOST_DOUBT_US, max(0, -self.correction_us)) if self._open else 0

    def heard(self, append_us: int, sent_us: int, answered_us: int) -> None:
        """Kafka took a record at `append_us` of its clock, between two moments of the wall clock (without the correction)."""
        self._floored = False
        low_us, high_us = append_us - answered_us, append_us - sent_us
        if not _apart(low_us, high_us):  # two clocks that know nothing of each other
            self._agreed, self._open, self.correction_us = True, False, 0
        elif _apart(low_us - self.correction_us, high_us - self.correction_us):
            self._disagrees((low_us + high_us) // 2)
        elif self._agreed:  # the time goes on as Kafka's does: it was the wall clock that stepped
            self._open = False
        self.kafka_off_us = _apart(low_us - self.correction_us, high_us - self.correction_us)

    def _disagrees(self, ahead_us: int) -> None:
        """Kafka's clock is neither with the wall clock nor with what is believed."""
        if self._agreed:
            return  # what was proven right goes on by the steady clock; Kafka's clock stepped
        # nothing is proven yet: a server's clock is looked after, one on a pole may have lost its battery
        self.correction_us, self._open = ahead_us, True


def _apart(low_us: int, high_us: int) -> int:
    """0 where a difference that lies between the two may be within the tolerance, else the least it can be."""
    if low_us > TOLERANCE_US:
        return low_us
    return high_us if high_us < -TOLERANCE_US else 0


class GatewayClock:
    """The judge with this machine's clocks."""

    def __init__(
        self, *, wall: Callable[[], int] = wall_us, steady: Callable[[], int] = steady_us, not_before_us: int = 0
    ) -> None:
        self._wall, self._steady = wall, steady
        self.judge = ClockJudge(wall(), steady(), not_before_us=not_before_us)

    def now_us(self) -> int:
        """The time, microseconds since 1970."""
        return self.judge.now_us(self._wall(), self._steady())

    def doubt_us(self) -> int:
        """How much later it may be."""
        return self.judge.doubt_us()

    def sending(self) -> Callable[[int], None]:
        """A record goes to Kafka now; call what this returns with its append time as soon as Kafka has answered."""
        began_us = self._steady()

        def answered(append_us: int) -> None:
            # by the steady clock: the wall clock may have stepped while the record was on its way
            self.now_us()
            wall = self._wall()
            self.judge.heard(append_us, wall - (self._steady() - began_us), wall)

        return answered
