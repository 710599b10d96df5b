"""B6: from PUBLISH to the committed row and to the alarm on the server-sent stream, under load, against bare MQTT in the same run.

The load is a share of the full speed measured first in the same run. A probe publishes one reading of a device of its own now
and then: a quiet one, and later one past the limit of a rule on readings. Bare MQTT is the same probe message coming back to a
subscriber of its topic through the same broker. Rows are looked for every 5 ms.
"""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import asyncpg
import numpy as np

from deploy.local.stack import LocalStack
from tests.benchmarks.contest import Row
from tests.benchmarks.control_process import control_center
from tests.benchmarks.payloads import DEVICES, PACKS
from tests.benchmarks.probe import Probe
from tests.benchmarks.pump import Pump
from tests.benchmarks.settings import Size
from tests.benchmarks.whole_way import Costs, ours, pump, started_way, warm_up
from tests.control_center.api.event_source import EventSource, open_stream
from tests.ingest.gateway_process import eventually
from tests.integration.whole_way import WholeWay

SHARES = (0.5, 0.8)
METRIC, QUIET, LOUD = "laeq", 40.0, 90.0
RULES = f"""
[[rule]]
rule_id = "probe"
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
PATHS = ("bare MQTT", "row", "alarm")
_LOOK_S = 0.005
_FOUND = (
    "SELECT d.device FROM city.readings r JOIN city.series s USING (series_id) JOIN city.devices d USING (device_id) "
    f"WHERE s.metric = '{METRIC}' AND r.value > 60"
)


@dataclass
class Moments:
    """Wall-clock seconds by device: when its loud reading was published, and when it was seen on each path."""

    published: dict[str, float] = field(default_factory=dict)
    seen: dict[str, dict[str, float]] = field(default_factory=lambda: {path: {} for path in PATHS})

    def see(self, path: str, device: str) -> None:
        """The first sight counts."""
        if device in self.published:
            self.seen[path].setdefault(device, time.time())

    def latencies_ms(self, path: str) -> list[float]:
        """Of every probe; all must have come."""
        missing = self.published.keys() - self.seen[path].keys()
        assert not missing, f"{len(missing)} probes never came to: {path}"
        return [(self.seen[path][device] - at) * 1e3 for device, at in self.published.items()]


def run(stack: LocalStack, size: Size) -> Iterator[Row]:
    """Half and four fifths of the full speed, rounds in turn."""
    full = statistics.median(ours(stack, PACKS, size.way_packs // 2, Costs()) for _ in range(3)) / PACKS.readings
    found: dict[tuple[float, str], list[list[float]]] = {(share, path): [] for share in SHARES for path in PATHS}
    for number in range(size.runs):
        for share in SHARES if number % 2 else SHARES[::-1]:
            moments = measure(stack, full * share, size.probes)
            for path in PATHS:
                found[share, path].append(moments.latencies_ms(path))
    for share in SHARES:
        case = f"{share:.0%} of full speed, {full * share * PACKS.readings:,.0f} readings/s"
        notes = tuple(_note(path, found[share, path]) for path in PATHS)
        for path in PATHS[1:]:
            yield _row(case, path, found[share, path], found[share, PATHS[0]], notes)


def _row(case: str, path: str, ours_ms: list[list[float]], bare_ms: list[list[float]], notes: tuple[str, ...]) -> Row:
    p99 = [float(np.percentile(one, 99)) for one in ours_ms]
    bare = [float(np.percentile(one, 99)) for one in bare_ms]
    ratios = [other / one for one, other in zip(p99, bare, strict=True)]
    mine, other = statistics.median(p99), statistics.median(bare)
    return Row(
        "B6 latency", f"publish to {path}, {case}", "bare MQTT", "ms, p99", mine, other, other / mine, min(ratios), max(ratios),
        len(p99), notes,
    )  # fmt: skip


def _note(path: str, rounds: list[list[float]]) -> str:
    every = np.array([latency for one in rounds for latency in one])
    p50, p99 = np.percentile(every, (50, 99))
    return f"publish to {path}: p50 {p50:.1f}, p99 {p99:.1f}, max {every.max():.1f} ms ({len(every):,} probes)"


def measure(stack: LocalStack, rate: float, probes: int) -> Moments:
    """One round at `rate` packs a second: probes over the time the load runs."""
    seconds = probes * Probe.EVERY_S + 4
    with contextlib.ExitStack() as held:
        way = held.enter_context(started_way(stack, stack.mqtt_port))
        warm_up(way, PACKS)
        url = held.enter_context(control_center(way.environment, RULES))
        load = held.enter_context(pump(stack.mqtt_port, way.root, PACKS, DEVICES, int(rate * seconds), rate=rate))
        moments = asyncio.run(_watch(way, url, load, probes))
        load.kill()
        way.stop()
    return moments


async def _watch(way: WholeWay, url: str, load: Pump, probes: int) -> Moments:
    moments = Moments()
    async with open_stream(url) as events, rows(way, moments):
        probe = Probe(way.gateway.mqtt_port, way.root, METRIC)
        try:
            await probe.introduce(probes, QUIET)
            await all_known(way, probes)
            load.start()
            await asyncio.sleep(2.0)
            await asyncio.gather(probe.shout(moments, LOUD), alarms(events, moments, probes))
            await everything(moments)
        finally:
            probe.close()
    return moments


async def all_known(way: WholeWay, probes: int) -> None:
    """Every probe device has its series."""
    query = f"SELECT count(*) FROM city.series WHERE metric = '{METRIC}'"
    await asyncio.to_thread(eventually, lambda: way.fetch(query)[0][0] >= probes, 30, "the probes are known")


async def everything(moments: Moments) -> None:
    """Wait until each probe was seen on each path."""
    async with asyncio.timeout(30):
        while any(len(moments.seen[path]) < len(moments.published) for path in PATHS):  # noqa: ASYNC110 - other tasks see
            await asyncio.sleep(0.05)


async def alarms(events: EventSource, moments: Moments, probes: int) -> None:
    """Read the stream until every alarm came."""
    async with asyncio.timeout(120):
        while len(moments.seen["alarm"]) < probes:
            event = await events.next()
            if event.name == "alarm" and event.data["rule_id"] == "probe":
                moments.see("alarm", event.data["device"])


@contextlib.asynccontextmanager
async def rows(way: WholeWay, moments: Moments) -> AsyncIterator[None]:
    """Look for committed rows while the body runs."""
    connection = await asyncpg.connect(way.dsn, timeout=10)

    async def look() -> None:
        statement = await connection.prepare(_FOUND)
        while True:
            for row in await statement.fetch():
                moments.see("row", row["device"])
            await asyncio.sleep(_LOOK_S)

    looking = asyncio.create_task(look())
    try:
        yield
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        connection.terminate()
