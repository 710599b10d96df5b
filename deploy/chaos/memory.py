"""Resident memory of the parts while faults happen, and whether ours stay flat."""

import resource
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from deploy.chaos.arena import SERVICES, Arena

MIB = 1024 * 1024
SERVERS_TOGETHER = "servers"
MOST_GROWTH_MIB = 128
"""What a part of ours may take beyond what it had before the fault. A processor that has just begun takes 85 more until it knows
every device of the city and has its first windows and a backlog behind it (92 to 177), and one in its stride some 30 for a backlog
(177 to 204); a second burst of ten times the load after a first took 18.
"""
_PAGE = resource.getpagesize()


@dataclass(frozen=True, slots=True)
class Growth:
    """One part's memory over a trial, in bytes: last before the fault, most from then on, last of all."""

    part: str
    before: int
    most: int
    after: int


def ours(arena: Arena) -> dict[str, int]:
    """Resident bytes of each of our services that runs; they have no children."""
    found = {name: _resident(record.pid) for name, record in arena.stack.all_records().items() if name in SERVICES}
    return {name: taken for name, taken in found.items() if taken}


def servers_together(arena: Arena) -> dict[str, int]:
    """Bytes of all servers and their children: what PostgreSQL's backends share is counted once. Takes some 50 ms."""
    roots = [record.pid for name, record in arena.stack.all_records().items() if name in arena.servers]
    return {SERVERS_TOGETHER: sum(_proportional(pid) for root in roots for pid in _family(root))}


def _family(pid: int) -> list[int]:
    try:
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return []


def _resident(pid: int) -> int:
    """0 where the process is gone."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _proportional(pid: int) -> int:
    """Proportional set size; 0 where the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)


def growths(looks: Sequence[tuple[float, Mapping[str, int]]], began_s: float) -> list[Growth]:
    """What each part took: `looks` are times and bytes by part. A part that was never seen before the fault has no line."""
    found: list[Growth] = []
    for part in (*SERVICES, SERVERS_TOGETHER):
        before = [memory[part] for at_s, memory in looks if at_s <= began_s and part in memory]
        since = [memory[part] for at_s, memory in looks if at_s > began_s and part in memory]
        if before and since:
            found.append(Growth(part, before[-1], max(since), since[-1]))
    return found


def grown(found: Sequence[Growth]) -> list[str]:
    """A sentence for each part of ours that did not stay flat."""
    return [
        f"{item.part} grew from {item.before / MIB:.0f} to {item.most / MIB:.0f} MiB, by more than {MOST_GROWTH_MIB} MiB"
        for item in found
        if item.part != SERVERS_TOGETHER and item.most - item.before > MOST_GROWTH_MIB * MIB
    ]
