"""Contestants measured in turn in one run, and the rows of ratios that come of it."""

from __future__ import annotations

import random
import statistics
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

OURS = "CityNerve"
"""The contestant all others are compared with."""


@dataclass(frozen=True)
class Row:
    """One comparison. `ratio` is how many times better ours is, whichever way the unit points; low and high: over paired runs."""

    benchmark: str
    case: str
    against: str
    unit: str
    ours: float
    theirs: float
    ratio: float
    ratio_low: float
    ratio_high: float
    runs: int
    notes: tuple[str, ...] = ()
    """Sentences that belong to the case, shown under the table."""


@dataclass(frozen=True)
class Contest:
    """What is compared; every contestant is a function that does the work once and returns one figure in `unit`."""

    benchmark: str
    case: str
    unit: str
    contestants: Mapping[str, Callable[[], float]]
    more_is_better: bool = False

    def run(self, runs: int) -> list[Row]:
        """Measure `runs` times after one round that does not count; each round draws its order anew, from a fixed seed.

        Turns in a ring were rejected: whoever always follows executemany finds PostgreSQL busy with what that left behind.
        """
        names = list(self.contestants)
        figures: dict[str, list[float]] = {name: [] for name in names}
        for number in range(runs + 1):
            for name in random.Random(number).sample(names, len(names)):
                figure = self.contestants[name]()
                sys.stderr.write(f"{self.benchmark} {self.case}, round {number}: {name} {figure:,.2f} {self.unit}\n")
                if number:
                    figures[name].append(figure)
        return [self._row(figures[OURS], name, figures[name]) for name in names if name != OURS]

    def _row(self, ours: list[float], name: str, theirs: list[float]) -> Row:
        paired = [self._better(one, other) for one, other in zip(ours, theirs, strict=True)]
        mine, other = statistics.median(ours), statistics.median(theirs)
        ratio = self._better(mine, other)
        return Row(
            self.benchmark, self.case, name, self.unit, mine, other, ratio, min(paired), max(paired), len(ours)
        )  # fmt: skip

    def _better(self, ours: float, theirs: float) -> float:
        return ours / theirs if self.more_is_better else theirs / ours
