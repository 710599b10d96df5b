"""The time of a service that reads from Kafka: it goes on steadily where the machine's clock steps, and follows what append times prove.

A wall clock that steps an hour forward would make every partition look silent for an hour, every device stale and every lag an alarm; one
that steps back would hold up whatever is due for an hour.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

NEAR_US: Final = 30_000_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def wall_us() -> int:
    """The machine's clock as it is, microseconds since 1970."""
    return time.time_ns() // 1000


def steady_us() -> int:
    """A clock that never steps and goes on while the machine sleeps."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000


class SteadyClock:
    """The wall clock of the start, carried on by the steady clock.

    The wall clock is followed again as soon as a record that Kafka has just taken bears its time. Until that was so once, no time is
    earlier than an append time that was seen: the machine may have started without a battery.
    """

    def __init__(self, *, wall: Callable[[], int] = wall_us, steady: Callable[[], int] = steady_us) -> None:
        self._wall, self._steady = wall, steady
        self._ahead_us = wall() - steady()
        self._proven = False

    def now_us(self) -> int:
        """The time, microseconds since 1970."""
        return self._steady() + self._ahead_us

    def now(self) -> datetime:
        """The time, UTC."""
        return _EPOCH + timedelta(microseconds=self.now_us())

    def heard(self, append_us: int) -> int:
        """Kafka took a record at this moment of its clock; returns by how much this clock steps therefore."""
        before_us = self._ahead_us
        if abs(self._wall() - append_us) <= NEAR_US:
            self._proven, self._ahead_us = True, self._wall() - self._steady()
        elif not self._proven and append_us > self.now_us() + NEAR_US:
            self._ahead_us = append_us - self._steady()
        return self._ahead_us - before_us
