"""CPU seconds by part: what the gateway, the processor, Mosquitto, Kafka and PostgreSQL each used between two moments."""

from __future__ import annotations

from collections.abc import Mapping

import psutil

from deploy.local.stack import LocalStack

SERVERS = ("mosquitto", "kafka", "postgres")


def cpu_s(stack: LocalStack, ours: Mapping[str, int]) -> dict[str, float]:
    """User and system seconds so far of each part with all its children.

    `ours`: part -> pid, in the place of the stack's server where it has the name of one.
    """
    records = stack.records
    pids = {name: records[name].pid for name in SERVERS if name in records} | dict(ours)
    return {name: _tree_s(psutil.Process(pid)) for name, pid in pids.items()}


def _tree_s(process: psutil.Process) -> float:
    """Ended children are in their parent's account once it has waited for them."""
    found = 0.0
    for each in [process, *process.children(recursive=True)]:
        try:
            times = each.cpu_times()
        except psutil.NoSuchProcess:
            continue
        found += times.user + times.system
        if each is process:
            found += times.children_user + times.children_system
    return found


def used(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Seconds of each part between two looks."""
    return {name: max(0.0, seconds - before.get(name, 0.0)) for name, seconds in after.items()}
