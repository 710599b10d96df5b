"""The watermark of a partition as the service moves it: by readings, and while it is idle by the wall clock. Pure.

Idle time is counted from the moment this process took the last frame in, never from the frame's own times, and only while nothing waits in
Kafka: a backlog is not silence. An idle watermark walks at the pace of the clock from where it stood and never jumps to the present, so
that a past day replayed slowly does not find all its windows closed, and a live partition (which stands one lateness behind the clock)
closes its windows on time. The price: after a silence in which no processor ran, a partition without any data stays that much behind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from processors.event_time import Watermark, WatermarkPolicy


@dataclass(slots=True)
class PartitionClock:
    """`value_us` is the watermark, None until the first reading ever; it never goes back."""

    policy: WatermarkPolicy
    value_us: int | None
    quiet_since_us: int
    _walked_from_us: int | None = None

    def observe(self, time_us: npt.NDArray[np.int64], *, append_us: int, now_us: int) -> None:
        """After readings of a frame Kafka took at `append_us`, handled at clock `now_us`."""
        self.quiet_since_us, self._walked_from_us = now_us, None
        self.value_us = Watermark(self.policy, append_us, self.value_us).observe(time_us, append_us).value_us

    def clock_stepped(self, by_us: int) -> None:
        """What `now_us` says stepped; that was no silence."""
        self.quiet_since_us += by_us

    def tick(self, now_us: int) -> None:
        """At clock `now_us` with nothing waiting."""
        silent_us = now_us - self.quiet_since_us
        if self.value_us is None or silent_us < self.policy.idle_after_us:
            return
        if self._walked_from_us is None:
            self._walked_from_us = self.value_us
        walked = min(self._walked_from_us + silent_us, now_us - self.policy.lateness_us)
        self.value_us = max(self.value_us, walked)
