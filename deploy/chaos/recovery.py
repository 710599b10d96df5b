"""When a stack counts as recovered: readings are placed as fast as they come, and as soon after their receipt as before the fault."""

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from statistics import median
from typing import Protocol

from deploy.chaos.sampling import Sample

RECOVERY_BUDGET_S = 120.0
CALM_SAMPLES = 4
"""In a row: one look may fall into a moment of luck."""
LIVE_APART = 8
"""In a city that lives now looks are so many apart: its devices speak in gusts with a second or two between."""
LATENCY_SAMPLES = 2
_LEAST_USUAL_S = 2.0
"""A latency below this is not called unusual: the parts gather readings for up to a second, and the machine may be busy."""
_BEHIND_S = 2.0
"""Recovered means: of what devices were promised, at most so many seconds of load have no place yet."""


class Looking(Protocol):
    """Somebody whose looks at the stack grow in number."""

    samples: list[Sample]


def first_such(
    sampler: Looking, since_s: float, count: int, so: Callable[[Sequence[Sample]], bool], apart: int = 1
) -> float | None:
    """Seconds from `since_s` to the first of `count` looks of which it is so, each so many after the one before; None after the budget."""
    while time.monotonic() < since_s + RECOVERY_BUDGET_S:
        after = [sample for sample in sampler.samples if sample.at_s > since_s]
        for first in range(len(after) - (count - 1) * apart):
            if so(after[first::apart][:count]):
                return after[first].at_s - since_s
        time.sleep(0.1)
    return None


def is_calm(samples: Sequence[Sample], base: int) -> bool:
    """Tell whether each look found more readings acknowledged and more placed, the one close behind the other.

    `base`: readings placed before the trial's load began.
    """
    first, last = samples[0], samples[-1]
    behind = _BEHIND_S * (last.acked - first.acked) / (last.at_s - first.at_s)
    if any(s.placed is None or s.acked - (s.placed - base) > behind for s in samples):
        return False
    return all(a.acked < b.acked and (a.placed or 0) < (b.placed or 0) for a, b in pairwise(samples))


def usual_latency_s(samples: Sequence[Sample], began_s: float) -> float:
    """What is no longer than usual: three times the median before the fault, at least two seconds."""
    before = [sample.latency_s for sample in samples if sample.at_s <= began_s and sample.latency_s is not None]
    return max(_LEAST_USUAL_S, 3 * median(before)) if before else _LEAST_USUAL_S


def is_prompt(samples: Sequence[Sample], usual_s: float) -> bool:
    """Tell whether in each look something was committed, no longer after its receipt than usual."""
    return all(sample.latency_s is not None and sample.latency_s <= usual_s for sample in samples)
