"""Event time of a partition: the watermark, up to which it is believed complete. Pure; the clock is an argument."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class WatermarkPolicy:
    """How long to wait for stragglers, and when to stop waiting for data.

    `lateness_us`: how long a window waits for stragglers. `idle_after_us`: silence after which the clock stands in for data.
    `ahead_us`: event times further than this ahead of the clock do not count: one device that believes it is 2099 would
    otherwise close every window of its partition.
    """

    lateness_us: int
    idle_after_us: int
    ahead_us: int = 300_000_000

    def __post_init__(self) -> None:
        if self.lateness_us < 0 or self.idle_after_us <= 0 or self.ahead_us < 0:
            raise ValueError("lateness_us and ahead_us must be 0 or more, idle_after_us more than 0")


@dataclass(frozen=True, slots=True)
class Watermark:
    """State of one partition. `value_us` is the watermark (None: nothing is known yet); it never goes back.

    `heard_us` is the clock at the last reading (at the start: when the partition was taken over).
    """

    policy: WatermarkPolicy
    heard_us: int
    value_us: int | None = None

    def observe(self, time_us: npt.NDArray[np.int64], now_us: int) -> Watermark:
        """After readings with these event times at clock `now_us`: the append time of their record, so that a replay agrees.

        The watermark becomes the latest believable event time less the lateness, if that is later than it was. Readings
        that are all beyond `ahead_us` leave the state as it is: they are no sign of life.
        """
        believable = time_us[time_us <= now_us + self.policy.ahead_us]
        if len(believable) == 0:
            return self
        return self._raised(int(believable.max()) - self.policy.lateness_us, heard_us=max(self.heard_us, now_us))

    def tick(self, now_us: int) -> Watermark:
        """At clock `now_us` without readings: once silent for `idle_after_us`, follow the clock less the lateness.

        So a quiet partition still closes its windows and notices absent devices.
        """
        if now_us - self.heard_us < self.policy.idle_after_us:
            return self
        return self._raised(now_us - self.policy.lateness_us, heard_us=self.heard_us)

    def _raised(self, to_us: int, *, heard_us: int) -> Watermark:
        value = to_us if self.value_us is None else max(self.value_us, to_us)
        if value == self.value_us and heard_us == self.heard_us:
            return self
        return replace(self, value_us=value, heard_us=heard_us)
