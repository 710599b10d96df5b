"""Faults of a line between two parts."""

import time
from dataclasses import dataclass

from deploy.chaos.arena import Arena
from deploy.chaos.proxy import Weather
from deploy.chaos.waits import pause
from deploy.local.trouble import Trouble

_LOOK_AGAIN_S = 0.1


@dataclass(frozen=True, slots=True)
class UnderWeather:
    """A line under a weather for a while."""

    edge: tuple[str, str]
    for_s: float
    cut: bool = False
    black_hole: bool = False
    latency_s: float = 0.0
    bytes_per_s: float = 0.0
    lose_every: int = 0
    resets: int = 0

    def __call__(self, arena: Arena) -> None:
        line = arena.lines[self.edge]
        hurt_before = line.hurt
        weather = Weather(self.cut, self.black_hole, self.latency_s, self.bytes_per_s, self.resets, self.lose_every)
        with line.under(weather):
            ends_s = time.monotonic() + self.for_s
            while time.monotonic() < ends_s and not (self.resets and weather.resets_left == 0):
                pause(_LOOK_AGAIN_S)
        arena.over()
        if (self.cut or self.lose_every or self.resets) and line.hurt == hurt_before:
            raise Trouble(
                f"the fault touched nothing on the line {self.edge[0]} - {self.edge[1]} within {self.for_s:.0f} s"
            )
