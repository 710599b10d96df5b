"""One trial: load, fault, load on, stop, and the score of what became of every reading."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path

from pydantic import SecretStr

from deploy.chaos.arena import Arena
from deploy.chaos.destroyed import Destroyed, nowhere_else, unnamed
from deploy.chaos.faults import FAULTS
from deploy.chaos.load import Load
from deploy.chaos.sampling import Sample, Sampler, placed
from deploy.chaos.waits import NotHere
from deploy.demo_figures import Totals
from deploy.local.progress import say
from deploy.local.trouble import Trouble
from simulators.ledger import read
from simulators.score import Score
from simulators.score_report import score_when_settled
from simulators.settings import ScoreDatabase

RECOVERY_BUDGET_S = 120.0
SETTLE_BUDGET_S = 90.0
SCORE_WAIT_S = 60.0
DESTROYED_WAIT_S = 10.0
"""The same where it cannot become clean: nothing is on its way any more, and windows close within seconds."""
CALM_SAMPLES = 4
"""In a row: one look may fall into a moment of luck."""
_BEHIND_S = 2.0
"""Recovered means: of what devices were promised, at most so many seconds of load have no place yet."""
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
    began_s: float = 0.0
    ended_s: float = 0.0
    samples: Sequence[Sample] = ()
    ledger: Path | None = None
    """What the simulator wrote down."""
    totals: Totals = field(default_factory=Totals)
    score: Score | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Nothing lost, doubled, wrong or unaccounted for but what the fault destroyed, and everything came back by itself."""
        as_expected = self.lost == self.gone and self.unaccounted == sum(item.readings for item in self.destroyed)
        return as_expected and not (self.doubled or self.wrong or self.problems)


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
        result = Result(name)
        self._arena.problems.clear()
        self._arena.fault_ended_s = None
        self._arena.destroyed.clear()
        self._number += 1
        sampler = Sampler(self._arena)
        load = Load(self._arena, self._number, plan.rate, self._reached)
        sampler.start(lambda: load.sent)
        try:
            self._under_load(result, load, sampler, plan)
            self._settle(result, load, sampler)
        except Trouble as trouble:
            result.problems.append(str(trouble))
        finally:
            sampler.stop()
            load.end()
            self._reached = load.reached
        result.samples = sampler.samples
        self._score(result, load)
        result.problems += self._arena.problems
        say(f"{name}: {'survived' if result.passed else 'NOT SURVIVED: ' + _failure(result)}")
        return result

    def _under_load(self, result: Result, load: Load, sampler: Sampler, plan: Plan) -> None:
        load.wait_for(plan.before, _FIRST_LOAD_BUDGET_S)
        result.began_s = time.monotonic()
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
        result.recovery_s = self._recovered(sampler, result.ended_s)
        if result.recovery_s is None:
            result.problems.append(f"not back to normal {RECOVERY_BUDGET_S:.0f} s after the fault's end")
        load.wait_for(plan.at_least, RECOVERY_BUDGET_S)

    def _recovered(self, sampler: Sampler, since_s: float) -> float | None:
        """Seconds from the fault's end until what devices send is placed as fast as it comes."""
        while time.monotonic() < since_s + RECOVERY_BUDGET_S:
            after = [sample for sample in sampler.samples if sample.at_s > since_s]
            for first in range(len(after) - CALM_SAMPLES + 1):
                if is_calm(after[first : first + CALM_SAMPLES], sampler.base):
                    return after[first].at_s - since_s
            time.sleep(0.1)
        return None

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


def is_calm(samples: Sequence[Sample], base: int) -> bool:
    """Tell whether each look found more readings acknowledged and more placed, the one close behind the other.

    `base`: readings placed before the trial's load began.
    """
    first, last = samples[0], samples[-1]
    behind = _BEHIND_S * (last.acked - first.acked) / (last.at_s - first.at_s)
    if any(s.placed is None or s.acked - (s.placed - base) > behind for s in samples):
        return False
    return all(a.acked < b.acked and (a.placed or 0) < (b.placed or 0) for a, b in pairwise(samples))
