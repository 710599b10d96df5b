"""B6: from PUBLISH to the committed row and to the alarm on the server-sent stream, under load, against bare MQTT in the same run.

One city lives now: its load (tests/benchmarks/live_load.py) and the watched devices share the time of day, so nothing is late and windows
close each minute. Its full speed is measured first, the loads are shares of it and one light load, in turn over the rounds. A
watched device says one reading past the limit of a rule on readings; bare MQTT is the same message coming back to a subscriber
of its topic through the same broker. Rows are looked for every 5 ms. The goal is 3 times bare MQTT's p99 and the gateway's flush age.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from deploy.local.stack import LocalStack
from ingest.settings import IngestSettings
from tests.benchmarks.contest import Row
from tests.benchmarks.control_process import control_center
from tests.benchmarks.gateway import BUDGET_S
from tests.benchmarks.kafka_log import append_times_s
from tests.benchmarks.live_load import live_load
from tests.benchmarks.payloads import DEVICES, PACKS
from tests.benchmarks.probe import ALARM, BARE, KAFKA, PATHS, ROW, Moments, Probe
from tests.benchmarks.settings import Size
from tests.benchmarks.watchers import alarms, rows
from tests.benchmarks.whole_way import committed, started_way, stored, warm_up
from tests.ingest.gateway_process import eventually
from tests.integration.whole_way import WholeWay

SHARES = (0.5, 0.8)
LIGHT = 1_000.0
"""Readings a second of a city that has nothing to do: what its operator sees."""
FULL_S = 3.0
METRIC, QUIET, LOUD = "laeq", 40.0, 90.0
RULE = "probe"
RULES = f"""
[[rule]]
rule_id = "{RULE}"
kind = "threshold"
severity = "critical"
metric = "{METRIC}"
source = "reading"
column = "value"
raise_at = 60.0
clear_at = 50.0
title_en = "Probe"
title_vi = "Probe"
"""
_HEAD_S = 1.0
"""The load runs this long before the first probe, and after the last."""


@dataclass
class Level:
    """One load: its name, readings a second, and what each round gave."""

    name: str
    rate: float
    sent: list[float] = field(default_factory=list)
    found: dict[str, list[list[float]]] = field(default_factory=lambda: {path: [] for path in PATHS})

    @property
    def case(self) -> str:
        """As the table shows it."""
        return f"{self.name}, {self.rate:,.0f} readings/s"

    def p99(self, path: str) -> list[float]:
        """Of each round, ms."""
        return [float(np.percentile(one, 99)) for one in self.found[path]]


@dataclass
class City:
    """The one city that all rounds are measured in."""

    way: WholeWay
    url: str
    probe: Probe
    made: int = 0

    def devices(self, count: int) -> list[str]:
        """Names nobody has used."""
        self.made += count
        return [f"probe-{number}" for number in range(self.made - count, self.made)]


def run(stack: LocalStack, size: Size) -> Iterator[Row]:
    """A light load, half and four fifths of the full speed, rounds in turn."""
    with city(stack) as measured:
        full = statistics.median(full_speed(measured.way) for _ in range(3))
        levels = [Level("light load", LIGHT), *(Level(f"{share:.0%} of full speed", full * share) for share in SHARES)]
        for number in range(size.runs):
            for level in levels if number % 2 else levels[::-1]:
                measure(measured, level, size.probes)
                worst = {path: f"{level.p99(path)[-1]:.0f}" for path in PATHS}
                sys.stderr.write(f"B6 latency {level.case}, round {number}: p99 ms {worst}\n")
        measured.way.stop()
    for level in levels:
        yield from table(level)


@contextlib.contextmanager
def city(stack: LocalStack) -> Iterator[City]:
    """Gateway, processor and control center, all known devices warm."""
    with started_way(stack, stack.mqtt_port) as way:
        warm_up(way, PACKS)
        with control_center(way.environment, RULES) as url:
            probe = Probe(way.gateway.mqtt_port, way.root, METRIC)
            try:
                yield City(way, url, probe)
            finally:
                probe.close()


def full_speed(way: WholeWay) -> float:
    """Readings a second from the first PUBLISH to the last committed row, without anybody watching."""
    before = stored(way)
    with live_load(way.gateway.mqtt_port, way.root, 0, FULL_S) as load:
        eventually(lambda: stored(way) > before, BUDGET_S, "the live load is stored")
        first, began_s = stored(way), time.time()
        ended_s = committed(way, before + load.end().readings)
    speed = (stored(way) - first) / (ended_s - began_s)
    sys.stderr.write(f"B6 latency: full speed {speed:,.0f} readings/s\n")
    return speed


def measure(measured: City, level: Level, probes: int) -> None:
    """One round: probes over the time the load runs; everything is stored before the next begins."""
    way, devices = measured.way, measured.devices(probes)
    before = stored(way)
    seconds = probes * statistics.mean(Probe.PAUSE_S) + 2 * _HEAD_S
    series = introduced(measured, devices)
    with live_load(way.gateway.mqtt_port, way.root, level.rate, seconds) as load:
        moments = asyncio.run(_watch(measured, series, devices))
        sent = load.end()
    committed(way, before + sent.readings + 2 * probes)
    appended = append_times_s(way.stack.kafka_bootstrap, way.prefix, moments.published, moments.event_us)
    moments.seen[KAFKA] = asyncio.run(appended)
    level.sent.append(sent.readings / seconds)
    for path in PATHS:
        level.found[path].append(moments.latencies_ms(path))


def introduced(measured: City, devices: list[str]) -> dict[str, int]:
    """The series of each probe device, once all are there."""
    query = "SELECT d.device, s.series_id FROM city.series s JOIN city.devices d USING (device_id) WHERE s.metric = $1"
    measured.probe.introduce(devices, QUIET)
    known: dict[str, int] = {}

    def all_known() -> bool:
        known.update((row["device"], row["series_id"]) for row in measured.way.fetch(query, METRIC))
        return known.keys() >= set(devices)

    eventually(all_known, 30, "the probes are known")
    return known


async def _watch(measured: City, series: dict[str, int], devices: list[str]) -> Moments:
    moments = Moments()
    async with alarms(measured.url, RULE, moments), rows(measured.way.dsn, series, moments):
        await asyncio.sleep(_HEAD_S)
        await measured.probe.shout(devices, moments, LOUD)
        async with asyncio.timeout(30):
            while any(moments.open(path) for path in (BARE, ROW, ALARM)):  # noqa: ASYNC110 - the watchers are other tasks, and the moments have no event
                await asyncio.sleep(0.02)
    return moments


def table(level: Level) -> Iterator[Row]:
    """Both ways against bare MQTT, and the alarm against its goal."""
    bare = level.p99(BARE)
    yield _row(f"publish to row, {level.case}", "bare MQTT", level.p99(ROW), bare, _notes(level))
    yield _row(f"publish to alarm, {level.case}", "bare MQTT", level.p99(ALARM), bare)
    flush_ms = IngestSettings().flush_age_ms
    goal = [3 * one + flush_ms for one in bare]
    yield _row(f"publish to alarm, {level.case}", f"goal: 3 x bare MQTT + {flush_ms}", level.p99(ALARM), goal)


def _row(case: str, against: str, ours: list[float], theirs: list[float], notes: tuple[str, ...] = ()) -> Row:
    ratios = [other / one for one, other in zip(ours, theirs, strict=True)]
    mine, other = statistics.median(ours), statistics.median(theirs)
    return Row(
        "B6 latency", case, against, "ms, p99", mine, other, other / mine, min(ratios), max(ratios), len(ours), notes
    )


def _notes(level: Level) -> tuple[str, ...]:
    every = {path: np.concatenate(level.found[path]) for path in PATHS}
    whole = (f"{path}: {_spread(every[path])}" for path in (BARE, ROW, ALARM))
    hops = (
        f"PUBLISH to {KAFKA} {_spread(every[KAFKA])}",
        f"from there to the committed row {_spread(every[ROW] - every[KAFKA])}",
        f"from there to the alarm on the stream {_spread(every[ALARM] - every[ROW])}",
    )
    kept = f"the publisher kept {statistics.median(level.sent) / level.rate:.0%} of that rate ({DEVICES} devices)"
    return (f"ms, p50, p99, max of {len(every[BARE]):,} probes: {'; '.join(whole)}", "; ".join(hops), kept)


def _spread(latencies_ms: npt.NDArray[np.float64]) -> str:
    p50, p99 = np.percentile(latencies_ms, (50, 99))
    return f"{p50:.1f}, {p99:.1f}, {latencies_ms.max():.1f}"
