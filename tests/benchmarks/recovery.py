"""B8: how fast a backlog is drained while the load goes on: drain rate against arrival rate.

The processor is away for `backlog_s` seconds of load (published at full speed, so that the benchmark does not wait ten minutes for
ten minutes). Then it is started while the publisher goes on at the arrival rate; the clock runs from its first commit until
the backlog is gone. Drained is what was committed meanwhile: the backlog and all that came after it.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from deploy.local.stack import LocalStack
from tests.benchmarks.contest import Row
from tests.benchmarks.gateway import BUDGET_S
from tests.benchmarks.payloads import DEVICES, PACKS
from tests.benchmarks.settings import Size
from tests.benchmarks.whole_way import pump, started_way, stored, warm_up
from tests.ingest.gateway_process import eventually

ARRIVING = 250
"""Packs a second while the backlog is drained: 5,000 readings, the rate of the demo's city at its replayed speed."""


def run(stack: LocalStack, size: Size) -> Iterator[Row]:
    """Backlogs of ten minutes of load."""
    drained = [drain(stack, ARRIVING * size.backlog_s) for _ in range(size.runs)]
    arriving = float(ARRIVING * PACKS.readings)
    ratios = [rate / arriving for rate in drained]
    middle = statistics.median(drained)
    yield Row(
        "B8 recovery", f"backlog of {size.backlog_s} s", "rate of arrival", "readings/s", middle, arriving,
        middle / arriving, min(ratios), max(ratios), len(drained),
    )  # fmt: skip


def drain(stack: LocalStack, messages: int) -> float:
    """Readings a second committed while a backlog of so many packs shrinks to nothing."""
    with started_way(stack, stack.mqtt_port) as way:
        warm_up(way, PACKS)
        way.kill_processor("bench")
        with pump(stack.mqtt_port, way.root, PACKS, DEVICES, messages) as publisher:
            publisher.start()
            publisher.end()
        base = stored(way)
        with pump(
            stack.mqtt_port, way.root, PACKS, DEVICES + messages, ARRIVING * int(BUDGET_S), rate=ARRIVING
        ) as live:
            going_s = live.start()
            way.start_processor("again")
            eventually(lambda: stored(way) > base, BUDGET_S, "the processor commits again")
            first, began_s = stored(way), time.time()
            eventually(lambda: caught_up(stored(way) - base, messages, going_s), BUDGET_S, "the backlog is drained")
            return (stored(way) - first) / (time.time() - began_s)


def caught_up(committed: int, messages: int, going_s: float) -> bool:
    """Whether at most a second of arrivals is open."""
    sent = (messages + ARRIVING * (time.time() - going_s - 1.0)) * PACKS.readings
    return committed >= sent
