"""Faults of processes: killed, ended in good order, frozen, coming and going."""

import signal
import time
from dataclasses import dataclass

from deploy.chaos.arena import Arena
from deploy.chaos.waits import pause, until

BETWEEN_KILLS_S = 3.0
FREEZE_S = 12.0
"""Twice the session timeout of the arena's processors, more than twice the gateway's keep-alive."""


@dataclass(frozen=True, slots=True)
class KillTwice:
    """kill -9 and restart, and again while it recovers."""

    name: str

    def __call__(self, arena: Arena) -> None:
        arena.kill(self.name)
        arena.start(self.name)
        pause(BETWEEN_KILLS_S)
        arena.kill(self.name)
        arena.over()
        arena.start(self.name)


@dataclass(frozen=True, slots=True)
class Terminate:
    """SIGTERM and restart. All else is well, so it must have ended within its own budget, not only the launcher's."""

    name: str

    def __call__(self, arena: Arena) -> None:
        arena.terminate(self.name)
        arena.over()
        stop = arena.stops[-1]
        if stop.took_s > stop.budget_s:
            arena.problems.append(
                f"{stop.name} ended {stop.took_s:.1f} s after SIGTERM; its budget is {stop.budget_s:.0f} s"
            )
        arena.start(self.name)


@dataclass(frozen=True, slots=True)
class Freeze:
    """SIGSTOP past every deadline, then SIGCONT; a frozen processor has a second one beside it, which takes over."""

    name: str
    beside: str | None = None

    def __call__(self, arena: Arena) -> None:
        if self.beside is not None:
            arena.start(self.beside)
        try:
            arena.stack.pause(self.name)
            pause(FREEZE_S)
            arena.stack.resume(self.name)
            arena.over()
            pause(BETWEEN_KILLS_S)
        finally:
            if self.beside is not None:
                arena.terminate(self.beside)


@dataclass(frozen=True, slots=True)
class RebalanceStorm:
    """A second processor joins and leaves every few seconds, in turn in good order and by kill -9."""

    for_s: float
    every_s: float = 5.0

    def __call__(self, arena: Arena) -> None:
        ends_s, round_number = time.monotonic() + self.for_s, 0
        while time.monotonic() < ends_s:
            arena.start("process2")
            pause(self.every_s)
            if round_number % 2:
                arena.kill("process2")
            else:
                arena.terminate("process2")
            round_number += 1
        arena.over()


@dataclass(frozen=True, slots=True)
class KillPair:
    """Two parts die at the same moment; the server is back first."""

    first: str
    second: str

    def __call__(self, arena: Arena) -> None:
        arena.kill(self.first)
        arena.kill(self.second)
        arena.over()
        arena.start(self.first)
        arena.start(self.second)


@dataclass(frozen=True, slots=True)
class KillDuringFreeze:
    """A server dies and comes back while a processor is frozen and a second one takes over."""

    killed: str
    frozen: str = "process"

    def __call__(self, arena: Arena) -> None:
        arena.start("process2")
        try:
            arena.stack.pause(self.frozen)
            arena.kill(self.killed)
            arena.start(self.killed)
            pause(FREEZE_S)
            arena.stack.resume(self.frozen)
            arena.over()
            pause(BETWEEN_KILLS_S)
        finally:
            arena.terminate("process2")


@dataclass(frozen=True, slots=True)
class KillDuringRebalance:
    """A server dies while a second processor joins, and again while it leaves."""

    killed: str

    def __call__(self, arena: Arena) -> None:
        arena.start("process2", wait=False)
        pause(1.0)
        arena.kill(self.killed)
        arena.start(self.killed)
        pause(BETWEEN_KILLS_S)
        arena.stack.signal("process2", signal.SIGTERM)
        arena.kill(self.killed)
        arena.over()
        arena.start(self.killed)
        arena.terminate("process2")


@dataclass(frozen=True, slots=True)
class FullSpool:
    """Kafka away until the gateway's spool is full, the gateway killed there and started again, then Kafka back."""

    spool_bytes: int = 1_048_576
    fill_budget_s: float = 90.0

    def __call__(self, arena: Arena) -> None:
        arena.set_settings(
            "ingest",
            {
                "CITYNERVE_INGEST__SPOOL_MAX_BYTES": str(self.spool_bytes),
                "CITYNERVE_INGEST__SPOOL_SEGMENT_BYTES": "131072",
                "CITYNERVE_INGEST__SPOOL_AFTER_S": "0.5",
            },
        )
        try:
            arena.terminate("ingest")
            arena.start("ingest")
            arena.kill("kafka")
            until(
                lambda: arena.metric("ingest", "citynerve_ingest_spool_full") == 1, self.fill_budget_s, "the spool full"
            )
            arena.kill("ingest")
            arena.start("ingest", wait=False)
            pause(BETWEEN_KILLS_S)
            arena.over()
            arena.start("kafka")
        finally:
            arena.set_settings("ingest", {})
