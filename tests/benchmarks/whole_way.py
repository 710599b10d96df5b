"""B1: readings stored a second, from the broker's queue to committed rows: gateway, Kafka, processor and database, real servers.

A backlog waits in the broker, whose acknowledgements mean "on disk"; the clock runs from the moment it is let through to the
last committed reading, so the publisher does not share the cores. Before, one message of each device has gone the whole way:
series and chunks are there and the processor's code is loaded. Ours also makes all windows, alarms and the ledger meanwhile;
the textbook stores rows and nothing else.
"""

from __future__ import annotations

import functools
import json
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg

from deploy.local.stack import LocalStack
from tests.benchmarks.contest import OURS, Contest, Row
from tests.benchmarks.gateway import BUDGET_S, start_held, textbook, textbook_gateway
from tests.benchmarks.payloads import DEVICES, PACKS, SINGLES, Load
from tests.benchmarks.servers import Place, own_place
from tests.benchmarks.settings import Size
from tests.benchmarks.valve import Valve, valve
from tests.conftest import in_thread
from tests.ingest.gateway_process import eventually
from tests.integration.whole_way import WholeWay

STORED = "SELECT coalesce(sum(n_stored), 0)::bigint FROM city.offsets"


def run(stack: LocalStack, size: Size) -> Iterator[Row]:
    """Both kinds of message; every round has topics, a database and a backlog of its own."""
    for load, messages in ((PACKS, size.packs), (SINGLES, size.singles)):
        contestants = {
            OURS: functools.partial(ours, stack, load, messages),
            "textbook pipeline": functools.partial(theirs, stack, load, messages),
        }
        case = f"{load.case}, {messages * load.readings:,} readings"
        yield from Contest("B1 whole way", case, "readings/s", contestants, more_is_better=True).run(size.runs)


def ours(stack: LocalStack, load: Load, messages: int) -> float:
    """`citynerve ingest run` and one `citynerve process run`."""
    with own_place(stack) as place, valve(stack.mqtt_port) as gate, tempfile.TemporaryDirectory() as folder:
        way = WholeWay(stack, place.name, place.name, place.dsn, Path(folder))
        way.gateway.mqtt_port = gate.port
        try:
            return _ours(way, gate, load, messages)
        finally:
            way.clean_up()


def _ours(way: WholeWay, gate: Valve, load: Load, messages: int) -> float:
    warm_up = DEVICES * load.readings
    way.start_processor("bench")
    gate.open()
    way.gateway.start()
    load.publish(way.stack.mqtt_port, way.root, DEVICES)
    stored(way, warm_up)
    way.gateway.stop()
    load.publish(way.stack.mqtt_port, way.root, messages)
    start_held(way.gateway, gate)
    began, readings = time.time(), messages * load.readings
    gate.open()
    stored(way, warm_up + readings)
    seconds = time.time() - began
    way.stop()
    return readings / seconds


def stored(way: WholeWay, readings: int) -> None:
    """Wait until so many readings are committed."""
    eventually(lambda: int(way.fetch(STORED)[0][0]) >= readings, BUDGET_S, f"{readings} readings stored")


def theirs(stack: LocalStack, load: Load, messages: int) -> float:
    """The textbook's gateway and consumer; its clock runs from its first message."""
    with own_place(stack) as place:
        textbook_gateway(place, 0).communicate(timeout=BUDGET_S)
        consumer = textbook_consumer(place, (DEVICES + messages) * load.readings)
        try:
            assert consumer.stdout is not None
            consumer.stdout.readline()
            take(place, load, DEVICES)
            eventually(lambda: counted(place) == DEVICES * load.readings, BUDGET_S, "the warm-up is stored")
            began = take(place, load, messages)
            done = json.loads(consumer.communicate(timeout=BUDGET_S)[0])
        finally:
            if consumer.poll() is None:
                consumer.kill()
        assert counted(place) == (DEVICES + messages) * load.readings
    return messages * load.readings / (float(done["ended_s"]) - began)


def take(place: Place, load: Load, messages: int) -> float:
    """Publish while the textbook's gateway is away, then let it take all; when its first message came."""
    load.publish(place.stack.mqtt_port, place.name, messages)
    output, _ = textbook_gateway(place, messages).communicate(timeout=BUDGET_S)
    return float(json.loads(output)["began_s"])


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
