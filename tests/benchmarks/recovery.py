"""B8: how fast a backlog is drained while the load goes on: drain rate against arrival rate.

The processor is away (kill -9) while a backlog is published at full speed, so that the benchmark does not wait ten minutes for ten minutes.
Then it is started while the publisher goes on at the arrival rate; the clock runs from its first commit until at most a second of
arrivals is open. Drained is what was committed meanwhile: the backlog and all that came after it. Two arrivals: one at which the
backlog is ten minutes' worth, and a demanding one, 30 % of the full speed measured first, at which the same backlog is that of seconds (the
table says of how many): ten minutes of it would take ten minutes to drain.
"""

from __future__ import annotations

import dataclasses
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from deploy.local.stack import LocalStack
from tests.benchmarks.contest import Row
from tests.benchmarks.gateway import BUDGET_S
from tests.benchmarks.payloads import PACKS
from tests.benchmarks.settings import Size
from tests.benchmarks.whole_way import FLEET, committed, pump, started_way, stored, warm_up
from tests.ingest.gateway_process import eventually
from tests.integration.whole_way import WholeWay

LOAD = dataclasses.replace(PACKS, devices=FLEET)
BACKLOG_RATE = 60
"""Packs a second of the city whose backlog of `Size.backlog_s` is drained."""
DEMANDING = 0.3
_LIVE_S = 20
"""The publisher goes on so long; whoever needs more has not drained the backlog while the load went on."""
_OPEN_S = 1.0


@dataclass
class Drained:
    """Arrivals in packs a second, and readings a second committed in each round."""

    arriving: float
    rates: list[float] = field(default_factory=list)


@dataclass
class Fleet:
    """Publishes on the way, its moments going on from one run to the next."""

    way: WholeWay
    sent: int = LOAD.devices

    def publish(self, messages: int) -> float:
        """So many packs at full speed; wall-clock seconds of the beginning."""
        with pump(self.way.gateway.mqtt_port, self.way.root, LOAD, self.sent, messages) as publisher:
            began_s = publisher.start()
            publisher.end()
        self.sent += messages
        return began_s


def run(stack: LocalStack, size: Size) -> Iterator[Row]:
    """Both arrivals in turn."""
    backlog = BACKLOG_RATE * size.backlog_s
    with started_way(stack, stack.mqtt_port) as way:
        warm_up(way, LOAD)
        fleet = Fleet(way)
        full = statistics.median(full_speed(fleet, backlog // 3) for _ in range(3))
        gentle, demanding = Drained(BACKLOG_RATE), Drained(DEMANDING * full)
        for number in range(size.runs):
            for case in (gentle, demanding) if number % 2 else (demanding, gentle):
                case.rates.append(drain(fleet, backlog, case.arriving))
                sys.stderr.write(
                    f"B8 recovery at {case.arriving:,.0f} packs/s, round {number}: {case.rates[-1]:,.0f}\n"
                )
        way.stop()
    for case, name in ((gentle, "a small city"), (demanding, f"{DEMANDING:.0%} of the full speed")):
        yield _row(f"{name}, backlog of {backlog / case.arriving:,.0f} s, {backlog * LOAD.readings:,} readings", case)


def full_speed(fleet: Fleet, messages: int) -> float:
    """Packs a second from the first PUBLISH to the last commit."""
    before = stored(fleet.way)
    began_s = fleet.publish(messages)
    return messages / (committed(fleet.way, before + messages * LOAD.readings) - began_s)


def drain(fleet: Fleet, messages: int, arriving: float) -> float:
    """Readings a second committed while a backlog of so many packs shrinks to nothing."""
    way, base = fleet.way, stored(fleet.way)
    way.kill_processor("bench")
    fleet.publish(messages)
    coming = int(arriving * _LIVE_S)
    with pump(way.gateway.mqtt_port, way.root, LOAD, fleet.sent, coming, rate=arriving) as live:
        going_s = live.start()
        way.start_processor("bench")
        eventually(lambda: stored(way) > base, BUDGET_S, "the processor commits again")
        first, began_s = stored(way), time.time()

        def drained() -> bool:
            sent = messages + arriving * max(0.0, time.time() - going_s - _OPEN_S)
            return stored(way) - base >= sent * LOAD.readings

        eventually(drained, BUDGET_S, "the backlog is drained")
        assert live.process.poll() is None, f"the load ended after {_LIVE_S} s, before the backlog was drained"
        rate = (stored(way) - first) / (time.time() - began_s)
    fleet.sent += coming
    eventually(lambda: _still(way), BUDGET_S, "nothing is on its way")
    return rate


def _still(way: WholeWay) -> bool:
    """Whether nothing was committed for half a second."""
    before = stored(way)
    time.sleep(0.5)
    return stored(way) == before


def _row(case: str, drained: Drained) -> Row:
    arriving = drained.arriving * LOAD.readings
    ratios = [rate / arriving for rate in drained.rates]
    middle = statistics.median(drained.rates)
    return Row(
        "B8 recovery", case, "rate of arrival", "readings/s", middle, arriving, middle / arriving, min(ratios), max(ratios),
        len(drained.rates),
    )  # fmt: skip
