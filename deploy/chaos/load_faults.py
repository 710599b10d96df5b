"""Faults of load: far more of it than usual, and parts that get a fifth of their time."""

import time
from dataclasses import dataclass

import psutil

from deploy.chaos.arena import Arena
from deploy.chaos.waits import pause, until
from deploy.local.progress import say
from deploy.local.trouble import Trouble

_RUN_S, _MOST_STOP_S = 0.05, 1.0
"""Far below every session timeout: a slow part, not a frozen one."""
_LEAST_STOPPED = 0.7
_BEGIN_BUDGET_S = 30.0
_LEAST_BURST = 0.6
"""Of the rate asked for: the broker itself may take less than ten times the load on a small machine."""


@dataclass(frozen=True, slots=True)
class Burst:
    """Many times the load for a while. The simulator is the same city, only faster, so that no reading is late because of it."""

    for_s: float
    factor: float = 10.0

    def __call__(self, arena: Arena) -> None:
        load = arena.load
        if load is None:
            raise Trouble("a burst needs the load of a trial")
        sent = load.sent.messages
        with load.times(self.factor) as wanted:
            until(lambda: load.sent.messages > sent, _BEGIN_BUDGET_S, "the faster load begun")
            started_s, before = time.monotonic(), load.sent.messages
            pause(self.for_s)
            per_s = (load.sent.messages - before) / (time.monotonic() - started_s)
            arena.over()
        say(f"{per_s:,.0f} of {wanted:,.0f} messages a second for {self.for_s:.0f} s")
        if per_s < wanted * _LEAST_BURST:
            raise Trouble(f"the burst was {per_s:,.0f} of {wanted:,.0f} messages a second; it tested less than it says")


@dataclass(frozen=True, slots=True)
class Slowed:
    """A part gets a fifth of its time: stopped four times as long as it ran, a few times a second."""

    name: str
    for_s: float
    stopped: float = 0.8

    def __call__(self, arena: Arena) -> None:
        process = psutil.Process(arena.stack.records[self.name].pid)
        stopped_s, ran_s, started_s = 0.0, _RUN_S, time.monotonic()
        try:
            while (slice_s := time.monotonic()) - started_s < self.for_s:
                arena.stack.pause(self.name)
                pause(min(_MOST_STOP_S, ran_s * self.stopped / (1 - self.stopped)))
                if process.status() == psutil.STATUS_STOPPED:
                    stopped_s += time.monotonic() - slice_s
                arena.stack.resume(self.name)
                resumed_s = time.monotonic()
                pause(_RUN_S)
                ran_s = time.monotonic() - resumed_s  # on a busy machine longer than asked for
        finally:
            arena.stack.resume(self.name)
        arena.over()
        share = stopped_s / (time.monotonic() - started_s)
        say(f"{self.name} was stopped for {share:.0%} of {self.for_s:.0f} s")
        if share < _LEAST_STOPPED:
            raise Trouble(f"{self.name} was stopped for {share:.0%} of the time only; nothing was tested")
