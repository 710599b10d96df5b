"""Faults of a cluster of three brokers: one dead, two dead, below the copies that must exist, each restarted in turn."""

from dataclasses import dataclass

from deploy.chaos.arena import Arena
from deploy.chaos.cluster_arena import BROKERS
from deploy.chaos.cluster_view import ClusterView, StallWatch
from deploy.chaos.process_faults import BETWEEN_KILLS_S, FREEZE_S
from deploy.chaos.proxy import Weather
from deploy.chaos.waits import pause, until
from deploy.local.progress import say
from deploy.local.trouble import Trouble

MOST_STALL_S = 15.0
"""With one of three brokers dead no partition may stand still for longer."""
_REFUSED = "NotEnoughReplicasException"
_DOWN_S = 15.0
_MOVE_BUDGET_S = 30.0
_WHOLE_BUDGET_S = 90.0
_WAITS_BUDGET_S = 45.0


def _bring_back(arena: Arena, view: ClusterView, brokers: tuple[str, ...]) -> None:
    """Start brokers again and wait until every copy is in sync: the next fault needs a whole cluster."""
    arena.stack.start_servers(brokers)
    until(view.whole, _WHOLE_BUDGET_S, "every copy in sync again")


def _leader(view: ClusterView) -> str:
    leader = view.leader()
    if leader is None:
        raise Trouble("nobody leads the first partition of the readings before the fault")
    return leader


def _judge(arena: Arena, watch: StallWatch, what: str) -> None:
    stall_s = watch.longest_s
    say(f"{what}: the longest that a partition stood still is {stall_s:.1f} s")
    if stall_s > MOST_STALL_S:
        arena.problems.append(f"a partition stood still for {stall_s:.1f} s ({what}), more than {MOST_STALL_S:.0f} s")


@dataclass(frozen=True, slots=True)
class KillBroker:
    """kill -9 of the broker that leads a partition of the readings, or coordinates the processors' group; it stays away for a while."""

    coordinator: bool = False

    def __call__(self, arena: Arena) -> None:
        view = ClusterView(arena)
        ask = view.coordinator if self.coordinator else view.leader
        killed = view.coordinator() if self.coordinator else _leader(view)
        with StallWatch(arena) as watch:
            pause(BETWEEN_KILLS_S)
            arena.kill(killed)
            arena.over()
            until(lambda: ask() not in (killed, None), _MOVE_BUDGET_S, f"another broker in the place of {killed}")
            pause(_DOWN_S)
            _bring_back(arena, view, (killed,))
        _judge(arena, watch, f"{killed} killed")


@dataclass(frozen=True, slots=True)
class FreezeLeader:
    """SIGSTOP of the broker that leads a partition, past its session with the controllers: another leads. Then SIGCONT of the old one."""

    def __call__(self, arena: Arena) -> None:
        view = ClusterView(arena)
        frozen = _leader(view)
        with StallWatch(arena) as watch:
            pause(BETWEEN_KILLS_S)
            arena.stack.pause(frozen)
            try:
                until(lambda: view.leader() not in (frozen, None), _MOVE_BUDGET_S, f"another leader than {frozen}")
                pause(FREEZE_S)
            finally:
                arena.stack.resume(frozen)
            arena.over()
            until(view.whole, _WHOLE_BUDGET_S, "every copy in sync again")
        _judge(arena, watch, f"{frozen} frozen")


@dataclass(frozen=True, slots=True)
class LoseSightOfLeader:
    """A black hole between the gateway and one broker alone: it leads on, since the others see it, so no other leader helps."""

    def __call__(self, arena: Arena) -> None:
        view = ClusterView(arena)
        leader = _leader(view)
        with arena.lines["ingest", leader].under(Weather(black_hole=True)):
            _someone_waits(arena)
            if view.leader() != leader:
                raise Trouble(f"{leader} leads no more although its cluster sees it; something else was tested")
        arena.over()


@dataclass(frozen=True, slots=True)
class KillTwoOfThree:
    """kill -9 of two brokers: no majority, no leader can be elected, nothing is acknowledged. Both come back."""

    def __call__(self, arena: Arena) -> None:
        view = ClusterView(arena)
        first = _leader(view)
        second = next(broker for broker in BROKERS if broker != first)
        arena.kill(first)
        arena.kill(second)
        _someone_waits(arena)
        arena.over()
        _bring_back(arena, view, (first, second))


def _someone_waits(arena: Arena) -> None:
    until(
        lambda: (arena.metric("ingest", "citynerve_ingest_spool_bytes") or 0) > 0,
        _WAITS_BUDGET_S,
        "the gateway's frames on its disk",
    )
    pause(BETWEEN_KILLS_S)


@dataclass(frozen=True, slots=True)
class BelowInSync:
    """One broker killed, a second ended in good order: the third leads alone and refuses, since two must have each frame."""

    def __call__(self, arena: Arena) -> None:
        view = ClusterView(arena)
        first = _leader(view)
        second, last = (broker for broker in BROKERS if broker != first)
        arena.kill(first)
        until(lambda: all(first not in state.in_sync for state in view.partitions()), _MOVE_BUDGET_S, f"{first} out")
        arena.terminate(second)
        until(lambda: all(state.in_sync == {last} for state in view.partitions()), _MOVE_BUDGET_S, f"{last} alone")
        _someone_waits(arena)
        # the spool may hold frames since the first was killed, before anything was sent to the one that is left
        log = arena.stack.place.logs / f"{last}.log"
        until(
            lambda: _REFUSED in log.read_text(errors="replace"),
            _WAITS_BUDGET_S,
            f"{last}, alone in sync, refuses a frame",
        )
        arena.over()
        _bring_back(arena, view, (second, first))


@dataclass(frozen=True, slots=True)
class Roll:
    """Each broker ended in good order and started again, one after the other, as an upgrade does it."""

    def __call__(self, arena: Arena) -> None:
        view = ClusterView(arena)
        with StallWatch(arena) as watch:
            pause(BETWEEN_KILLS_S)
            for broker in BROKERS:
                arena.terminate(broker)
                _bring_back(arena, view, (broker,))
            arena.over()
        _judge(arena, watch, "each broker restarted in turn")


@dataclass(frozen=True, slots=True)
class KillLeaderDuringFreeze:
    """The leader is killed while a processor is frozen past its session timeout beside a second one."""

    def __call__(self, arena: Arena) -> None:
        view = ClusterView(arena)
        killed = _leader(view)
        arena.start("process2")
        try:
            arena.stack.pause("process")
            arena.kill(killed)
            until(lambda: view.leader() not in (killed, None), _MOVE_BUDGET_S, f"another leader than {killed}")
            pause(FREEZE_S)
            arena.stack.resume("process")
            arena.over()
            pause(BETWEEN_KILLS_S)
            _bring_back(arena, view, (killed,))
        finally:
            arena.terminate("process2")
