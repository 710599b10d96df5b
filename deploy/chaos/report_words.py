"""What a trial showed, in words: how much waited, where, for how long, and when all was as before."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from deploy.chaos.faults import FAULTS
from deploy.chaos.memory import MIB, SERVERS_TOGETHER, Growth
from deploy.chaos.sampling import Sample
from deploy.chaos.trial import Result

_LEAST_SPOOL_BYTES = 1000
_LEAST_BEHIND_S = 1.0
_PREFIXES = ("Faults of ", "The fault of ")


def theme(fault: str) -> str:
    """What kind of fault it is: the first sentence of the module that throws it."""
    module = sys.modules[FAULTS[fault].act.__module__]
    said = (module.__doc__ or "").strip().splitlines()[0].partition(". ")[0].removesuffix(".")
    for prefix in _PREFIXES:
        said = said.removeprefix(prefix)
    return said[:1].upper() + said[1:]


def told(result: Result) -> str:
    """What the system did, in one or two sentences."""
    since = [sample for sample in result.samples if sample.at_s > result.began_s]
    parts = [_meanwhile(since, result), _back(result)]
    return ". ".join(part[:1].upper() + part[1:] for part in parts) + "."


def _meanwhile(since: Sequence[Sample], result: Result) -> str:
    waiting = max((s.acked - (s.placed - result.base) for s in since if s.placed is not None), default=0)
    spooled = max((s.spool_bytes for s in since if s.spool_bytes is not None), default=0.0)
    behind_s = max((s.lag_s for s in since if s.lag_s is not None), default=0.0)
    said = [f"at most {waiting:,} readings waited" if waiting > 0 else "nothing had to wait"]
    if spooled >= _LEAST_SPOOL_BYTES:
        said.append(f"the gateway kept {size(spooled)} on its disk")
    if behind_s >= _LEAST_BEHIND_S:
        said.append(f"the processor was {behind_s:.0f} s behind")
    if any(s.placed is None for s in since):
        said.append("the database did not answer for a while")
    return "; ".join(said)


def _back(result: Result) -> str:
    if result.recovery_s is None:
        return "it did not come back to normal"
    said = f"as fast as before {result.recovery_s:.1f} s after the fault's end"
    if result.latency_back_s is None:
        return said + ", but not as prompt"
    if result.latency_back_s > result.recovery_s + 1:
        said += f", as prompt as before after {result.latency_back_s:.1f} s"
    return said


def ended(result: Result) -> list[str]:
    """Who was asked to end by SIGTERM, how long that took, and how long it might."""
    said = []
    for name, group in groupby(sorted(result.stops, key=lambda stop: stop.name), key=lambda stop: stop.name):
        stops = list(group)
        most = max(stops, key=lambda stop: stop.took_s)
        times = f" ({len(stops)} times, the longest)" if len(stops) > 1 else ""
        said.append(f"{name}{times} ended {most.took_s:.1f} s after SIGTERM, of {most.budget_s:.0f} s that it may take")
    return said


def size(count: float) -> str:
    """Bytes for a person."""
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.0f} kB"


def grown_most(result: Result) -> Growth | None:
    """The part of ours whose memory grew most."""
    ours = [item for item in result.growths if item.part != SERVERS_TOGETHER]
    return max(ours, key=lambda item: item.most - item.before, default=None)


@dataclass(frozen=True, slots=True)
class PartMemory:
    """A part's memory over all trials: the trial in which it grew most, and the most it ever had, in bytes."""

    part: str
    fault: str
    growth: Growth
    peak: int


def memory_lines(results: Sequence[Result]) -> list[PartMemory]:
    """One for each part; the servers together last."""
    every = [(item, result.fault) for result in results for item in result.growths]
    found = []
    for part in dict.fromkeys(item.part for item, _ in every):
        own = [(item, fault) for item, fault in every if item.part == part]
        worst, fault = max(own, key=lambda pair: pair[0].most - pair[0].before)
        found.append(PartMemory(part, fault, worst, max(item.most for item, _ in own)))
    return sorted(found, key=lambda line: line.part == SERVERS_TOGETHER)


def mib(count: int) -> str:
    """Bytes as whole MiB."""
    return f"{count / MIB:.0f}"
