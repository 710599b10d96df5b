"""One trial: load, fault, load on, stop, and the score of what became of every reading."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from pydantic import SecretStr

from deploy.chaos.arena import Arena, Stop
from deploy.chaos.destroyed import Destroyed, nowhere_else, unnamed
from deploy.chaos.faults import FAULTS
from deploy.chaos.load import Load
from deploy.chaos.memory import Growth, grown, growths
from deploy.chaos.recovery import (
    CALM_SAMPLES,
    LATENCY_SAMPLES,
    LIVE_APART,
    RECOVERY_BUDGET_S,
    first_such,
    is_calm,
    is_prompt,
    usual_latency_s,
)
from deploy.chaos.sampling import Sample, Sampler, placed
from deploy.chaos.waits import NotHere
from deploy.demo_figures import Totals
from deploy.local.progress import say
from deploy.local.trouble import Trouble
from simulators.ledger import read
from simulators.score import Score
from simulators.score_report import score_when_settled
from simulators.settings import ScoreDatabase

SETTLE_BUDGET_S = 90.0
SCORE_WAIT_S = 60.0
DESTROYED_WAIT_S = 10.0
"""The same where it cannot become clean: nothing is on its way any more, and windows close within seconds."""
_FIRST_LOAD_BUDGET_S = 60.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How hard a trial is. `rate` in messages a second (about 3.4 readings each); `before` readings come first, `at_least` in all."""

    rate: float = 400.0
    before: int = 3000
    at_least: int = 0


@dataclass
class Result:
    """What one trial found, in readings; `problems` says in sentences what is not as promised."""

    fault: str
    readings: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    unaccounted: int = 0
    destroyed: Sequence[Destroyed] = ()
    """What the fault itself destroyed, with the only copy: exactly this is to be unaccounted for."""
    gone: int = 0
    """Of that, what is nowhere else: exactly this is to be lost. A device sends some readings twice."""
    not_here: str | None = None
    """Why the fault could not be thrown on this machine."""
    recovery_s: float | None = None
    latency_back_s: float | None = None
    """From the fault's end until the latency (receipt to commit) was what it was before."""
    growths: Sequence[Growth] = ()
    """Memory of each part."""
    stops: Sequence[Stop] = ()
    """What was asked to end by SIGTERM, in its order."""
    phases_s: dict[str, float] = field(default_factory=dict)
    """What the trial spent its time on."""
    began_s: float = 0.0
    ended_s: float = 0.0
    samples: Sequence[Sample] = ()
    base: int = 0
    """Readings placed before the trial."""
    ledger: Path | None = None
    """What the simulator wrote down."""
    totals: Totals = field(default_factory=Totals)
    score: Score | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def took_s(self) -> float:
        """The whole trial."""
        return sum(self.phases_s.values())

    @property
    def passed(self) -> bool:
        """Nothing lost, doubled, wrong or unaccounted for but what the fault destroyed, and everything came back by itself."""
        as_expected = self.lost == self.gone and self.unaccounted == sum(item.readings for item in self.destroyed)
        return as_expected and not (self.doubled or self.wrong or self.problems)


class Clock:
    """Where the time of a trial goes."""

    def __init__(self) -> None:
        self.laps_s: dict[str, float] = {}
        self._since_s = time.monotonic()

    def lap(self, name: str) -> None:
        """What was done since the last lap."""
        now_s = time.monotonic()
        self.laps_s[name] = now_s - self._since_s
        self._since_s = now_s

    def __str__(self) -> str:
        return ", ".join(f"{name} {took_s:.1f}" for name, took_s in self.laps_s.items() if took_s >= 0.05)


class Trials:
    """Trials one after the other on one arena."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._number = 0
        self._reached: datetime | None = None
        self._missing = 0
        """Readings unaccounted for since an earlier trial: the ledger never forgets them."""

    def run(self, name: str, plan: Plan) -> Result:
        """Throw one fault; what goes wrong is in the result, not raised."""
        result, clock = Result(name), Clock()
        self._arena.new_trial()
        self._number += 1
        sampler = Sampler(self._arena)
        load = self._arena.load = Load(self._arena, self._number, FAULTS[name].rate or plan.rate, self._reached)
        sampler.start(lambda: load.sent)
        try:
            self._under_load(result, load, sampler, plan, clock)
            self._settle(result, load, sampler)
            clock.lap("settle")
        except Trouble as trouble:
            result.problems.append(str(trouble))
        finally:
            sampler.stop()
            load.end()
            self._arena.load = None
            self._reached = load.reached
        result.samples, result.base, result.stops = sampler.samples, sampler.base, list(self._arena.stops)
        result.growths = growths([(sample.at_s, sample.memory) for sample in sampler.samples], result.began_s)
        self._score(result, load)
        clock.lap("score")
        result.phases_s = clock.laps_s
        result.problems += self._arena.problems + grown(result.growths)
        said = "survived" if result.passed else "NOT SURVIVED: " + _failure(result)
        say(f"{name}: {said} ({result.took_s:.1f} s: {clock})")
        return result

    def _under_load(self, result: Result, load: Load, sampler: Sampler, plan: Plan, clock: Clock) -> None:
        load.wait_for(1, _FIRST_LOAD_BUDGET_S)
        clock.lap("start")
        load.wait_for(plan.before // 3 if self._arena.live else plan.before, _FIRST_LOAD_BUDGET_S)
        result.began_s = time.monotonic()
        clock.lap("before")
        say(f"{result.fault}: {FAULTS[result.fault].description}")
        try:
            FAULTS[result.fault].act(self._arena)
        except NotHere as reason:
            result.not_here = str(reason)
        finally:
            self._arena.over()
            result.destroyed = list(self._arena.destroyed)
            result.ended_s = self._arena.fault_ended_s or time.monotonic()
            self._arena.mend()
            clock.lap("fault")
        self._recover(result, sampler)
        clock.lap("recovery")
        load.wait_for(plan.at_least, RECOVERY_BUDGET_S)
        clock.lap("load")

    def _recover(self, result: Result, sampler: Sampler) -> None:
        """Wait until what devices send is placed as fast as it comes, and as soon after its receipt as before the fault."""
        # what the fault destroyed will never be placed: the rest must be as close behind as ever
        since_s, base = result.ended_s, sampler.base - sum(item.readings for item in result.destroyed)
        usual_s = usual_latency_s(sampler.samples, result.began_s)
        result.recovery_s = first_such(
            sampler, since_s, CALM_SAMPLES, lambda looks: is_calm(looks, base), LIVE_APART if self._arena.live else 1
        )
        if result.recovery_s is None:
            result.problems.append(f"not back to normal {RECOVERY_BUDGET_S:.0f} s after the fault's end")
            return
        result.latency_back_s = first_such(sampler, since_s, LATENCY_SAMPLES, lambda looks: is_prompt(looks, usual_s))
        if result.latency_back_s is None:
            result.problems.append(
                f"{RECOVERY_BUDGET_S:.0f} s after the fault's end readings still take longer than {usual_s:.1f} s to their commit"
            )

    def _settle(self, result: Result, load: Load, sampler: Sampler) -> None:
        """Stop the load and wait until nothing is on its way."""
        load.stop()
        ends_s, calm, last = time.monotonic() + SETTLE_BUDGET_S, 0, None
        while calm < 2 * CALM_SAMPLES:
            totals = sampler.totals()
            calm = calm + 1 if totals is not None and totals.in_flight == 0 and totals == last else 0
            last = totals
            if time.monotonic() > ends_s:
                raise Trouble(f"still on their way after {SETTLE_BUDGET_S:.0f} s: {last}")
            time.sleep(0.25)
        assert last is not None  # noqa: S101 - narrows for mypy: calm looks had totals
        result.totals, result.unaccounted = last, last.unaccounted - self._missing
        self._missing = last.unaccounted
        if last.received != placed(last) + last.unaccounted:
            result.problems.append(f"the ledger does not add up: {last}")

    def _score(self, result: Result, load: Load) -> None:
        """Hold the database against what the broker promised, also after trouble."""
        score = score_of(self._arena, load.ledger, DESTROYED_WAIT_S if result.destroyed else SCORE_WAIT_S)
        result.score, result.readings, result.ledger = score, score.acked, load.ledger
        result.lost, result.doubled, result.wrong = score.lost, score.doubled, score.wrong
        for item in result.destroyed:
            result.gone += nowhere_else(self._arena.dsn, item)
            result.problems += unnamed(self._arena.dsn, item)


def score_of(arena: Arena, ledger: Path, wait_s: float = SCORE_WAIT_S) -> Score:
    """The score of one trial's ledger as soon as it is clean, or as it stands after `wait_s`."""
    database = ScoreDatabase(dsn=SecretStr(arena.dsn))
    return asyncio.run(score_when_settled(read(ledger), database, wait_s))


def _failure(result: Result) -> str:
    counts = {"lost": result.lost, "doubled": result.doubled, "wrong": result.wrong, "unaccounted": result.unaccounted}
    if result.destroyed:
        counts["destroyed by the fault"] = sum(item.readings for item in result.destroyed)
        counts["of them nowhere else"] = result.gone
    return "; ".join([f"{count:,} {name}" for name, count in counts.items() if count] + result.problems)
