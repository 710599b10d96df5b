"""B1: readings stored a second, from a publisher at full speed to committed rows: broker, gateway, Kafka, processor, database.

The clock runs from the first PUBLISH to the last committed reading; the publisher (tests/benchmarks/pump.py) and all servers share the
machine's cores with what is measured. The broker's acknowledgements mean "on disk", but for the rows that say "in memory".
Before, one message of each device has gone the whole way: series and chunks are there and the processor's code is loaded. Ours
also makes all windows, alarms and the ledger meanwhile; the textbook stores rows and nothing else. It is slower, so it
gets fewer messages: both run for seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import json
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg

from deploy.local.stack import LocalStack
from tests.benchmarks.contest import OURS, Contest, Row
from tests.benchmarks.gateway import BUDGET_S, textbook, textbook_gateway
from tests.benchmarks.memory_broker import memory_broker
from tests.benchmarks.payloads import PACKS, SINGLES, Load
from tests.benchmarks.pump import Pump
from tests.benchmarks.servers import Place, own_place
from tests.benchmarks.settings import Size
from tests.benchmarks.shares import cpu_s, used
from tests.conftest import in_thread
from tests.ingest.gateway_process import eventually
from tests.integration.whole_way import WholeWay

FLEET = 3200
"""Devices, each sending once a minute of event time, always over the same connection: FLEET is a multiple of their number.

So many that the messages on their way at once (pump.py) are less than `allowed_lateness_s` of the fleet's time, as they are in a city that
lives now. With 500 devices they were two minutes, and over half of the single readings came after their window had closed.
"""
STORED = "SELECT coalesce(sum(n_stored), 0)::bigint FROM city.offsets"
TEXTBOOK = "textbook pipeline"
IN_MEMORY = "the same, broker in memory"


@dataclass
class Costs:
    """CPU microseconds a reading by contestant and part, one figure a round."""

    figures: defaultdict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, who: str, seconds: dict[str, float], readings: int) -> None:
        """Take down one round."""
        for part, of_part in seconds.items():
            self.figures[who, part].append(of_part / readings * 1e6)

    def note(self, who: str) -> str:
        """Medians as a sentence."""
        parts = [f"{part} {statistics.median(us):.2f}" for (of, part), us in self.figures.items() if of == who]
        return f"{who}, CPU us a reading: {', '.join(parts)}"


def run(stack: LocalStack, size: Size) -> Iterator[Row]:
    """Both kinds of message; every round has topics and a database of its own."""
    for kind, messages, textbooks in ((PACKS, size.way_packs, size.packs), (SINGLES, size.way_singles, size.singles)):
        load = dataclasses.replace(kind, devices=FLEET)
        costs = Costs()
        contestants = {
            OURS: functools.partial(ours, stack, load, messages, costs),
            TEXTBOOK: functools.partial(theirs, stack, load, textbooks, costs),
            IN_MEMORY: functools.partial(in_memory, stack, load, messages, costs),
        }
        case = f"{load.case}, {messages * load.readings:,} readings"
        rows = Contest("B1 whole way", case, "readings/s", contestants, more_is_better=True).run(size.runs)
        yield from (dataclasses.replace(row, notes=(costs.note(OURS), costs.note(row.against))) for row in rows)


def in_memory(stack: LocalStack, load: Load, messages: int, costs: Costs) -> float:
    """Ours with a broker that keeps nothing: what is lost when it dies was acknowledged."""
    with memory_broker(stack) as broker:
        return ours(stack, load, messages, costs, broker=broker, who=IN_MEMORY)


def ours(
    stack: LocalStack,
    load: Load,
    messages: int,
    costs: Costs,
    *,
    broker: tuple[int, int] | None = None,
    who: str = OURS,
) -> float:
    """`citynerve ingest run` and one `citynerve process run`; `broker`: port and process id of another than the stack's."""
    port, readings = broker[0] if broker else stack.mqtt_port, messages * load.readings
    other = {"mosquitto": broker[1]} if broker else {}
    with started_way(stack, port) as way:
        warm_up(way, load)
        with pump(port, way.root, load, load.devices, messages) as publisher:
            before = cpu_s(stack, pids(way) | other)
            began_s = publisher.start()
            sent = publisher.end()
            ended_s = committed(way, load.devices * load.readings + readings)
            costs.add(who, used(before, cpu_s(stack, pids(way) | other) | {"publisher": sent["cpu_s"]}), readings)
        way.stop()
    return readings / (ended_s - began_s)


@contextlib.contextmanager
def started_way(stack: LocalStack, mqtt_port: int) -> Iterator[WholeWay]:
    """A gateway and a processor with topics and a database of their own."""
    with own_place(stack) as place, tempfile.TemporaryDirectory() as folder:
        way = WholeWay(stack, place.name, place.name, place.dsn, Path(folder))
        way.gateway.mqtt_port = mqtt_port
        try:
            way.start_processor("bench")
            way.gateway.start()
            yield way
        finally:
            way.clean_up()


def warm_up(way: WholeWay, load: Load) -> None:
    """One message of each device."""
    with pump(way.gateway.mqtt_port, way.root, load, 0, load.devices) as publisher:
        publisher.start()
        publisher.end()
    eventually(lambda: stored(way) >= load.devices * load.readings, BUDGET_S, "the warm-up is stored")


@contextlib.contextmanager
def pump(port: int, root: str, load: Load, first: int, messages: int, *, rate: float = 0.0) -> Iterator[Pump]:
    """A publisher that is gone afterwards."""
    publisher = Pump(port, root, load, first, messages, rate=rate)
    try:
        yield publisher
    finally:
        publisher.kill()


def pids(way: WholeWay) -> dict[str, int]:
    """Our parts."""
    assert way.gateway.process is not None
    return {"gateway": way.gateway.process.pid} | {
        f"processor {name}": process.pid for name, process in way.processors.items()
    }


def stored(way: WholeWay) -> int:
    """Readings committed so far."""
    return int(way.fetch(STORED)[0][0])


def committed(way: WholeWay, readings: int) -> float:
    """Wait until so many readings are committed; wall-clock seconds of the look that found it."""
    return in_thread(_committed(way.dsn, readings))


async def _committed(dsn: str, readings: int) -> float:
    """Over one connection: a new one for each look took PostgreSQL half a microsecond a reading, all of it ours."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        async with asyncio.timeout(BUDGET_S):
            while await connection.fetchval(STORED) < readings:  # noqa: ASYNC110 - the event is in the database
                await asyncio.sleep(0.02)
        return time.time()
    finally:
        await connection.close(timeout=10)


def theirs(stack: LocalStack, load: Load, messages: int, costs: Costs) -> float:
    """The textbook's gateway and consumer."""
    with own_place(stack) as place, textbook_parts(place, load, messages) as (gateway, consumer):
        with pump(stack.mqtt_port, place.name, load, 0, load.devices) as publisher:
            publisher.start()
            publisher.end()
        eventually(lambda: counted(place) == load.devices * load.readings, BUDGET_S, "the warm-up is stored")
        with pump(stack.mqtt_port, place.name, load, load.devices, messages) as publisher:
            before = cpu_s(stack, {"gateway": gateway.pid, "consumer": consumer.pid})
            began_s = publisher.start()
            sent = publisher.end()
            done = {"gateway": last_line(gateway), "consumer": last_line(consumer)}
        total = {name: line["cpu_total_s"] for name, line in done.items()} | {"publisher": sent["cpu_s"]}
        costs.add(TEXTBOOK, used(before, cpu_s(stack, {}) | total), messages * load.readings)
        assert counted(place) == (load.devices + messages) * load.readings
    return messages * load.readings / (done["consumer"]["ended_s"] - began_s)


@contextlib.contextmanager
def textbook_parts(
    place: Place, load: Load, messages: int
) -> Iterator[tuple[subprocess.Popen[bytes], subprocess.Popen[bytes]]]:
    """Gateway and consumer of the textbook, subscribed and assigned; they end after that many messages and a warm-up."""
    textbook_gateway(place, 0).communicate(timeout=BUDGET_S)
    parts = (
        textbook_gateway(place, load.devices + messages),
        textbook_consumer(place, (load.devices + messages) * load.readings),
    )
    try:
        for part in parts:
            assert part.stdout is not None
            assert part.stdout.readline(), "a part of the textbook did not get ready"
        yield parts
    finally:
        for part in parts:
            if part.poll() is None:
                part.kill()
                part.communicate(timeout=10)


def last_line(part: subprocess.Popen[bytes]) -> dict[str, float]:
    """What a part of the textbook says at its end."""
    output, _ = part.communicate(timeout=BUDGET_S)
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


def counted(place: Place) -> int:
    """Rows the textbook has stored."""
    return in_thread(_counted(place.dsn))


async def _counted(dsn: str) -> int:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM textbook"))
    finally:
        await connection.close(timeout=10)


def textbook_consumer(place: Place, readings: int) -> subprocess.Popen[bytes]:
    """The textbook's consumer; it prints a line when it owns its partitions, and its last line after so many rows."""
    arguments = {
        "--kafka": place.stack.kafka_bootstrap, "--topic": place.textbook_topic, "--dsn": place.dsn, "--readings": readings,
    }  # fmt: skip
    return textbook("consumer", arguments)
