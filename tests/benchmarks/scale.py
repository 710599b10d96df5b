"""B7: memory by number of series and open windows (scale_memory.py); throughput by number of series, batch size and processors.

Throughput: frames in Kafka to committed rows by processes of their own that have claimed their partitions before the first frame comes,
every series known. The clock runs from the first frame handed to Kafka to the last committed reading. All variants are in one contest,
so each is a ratio to the plain case (3,000 series, batches of 50,000, one processor) of the same rounds.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.local.stack import LocalStack
from ingest.contract.topics import Topics
from tests.benchmarks.contest import OURS, Contest, Row
from tests.benchmarks.scale_memory import memory
from tests.benchmarks.servers import own_place
from tests.benchmarks.settings import Size
from tests.benchmarks.soak_city import SoakWay
from tests.benchmarks.whole_way import stored
from tests.ingest.gateway_process import eventually
from tests.processors.gateway import PARTITIONS, Gateway, Record
from tests.processors.measure_rate import FRAME, METRICS, frames
from tests.processors.running import city_of

INTERVAL_S = 10.0
_BUDGET_S = 300.0
_OWNERS = "SELECT count(DISTINCT owner_name) FROM city.offsets"


@dataclass(frozen=True)
class Variant:
    """What is varied."""

    devices: int = 1000
    batch: int = 50_000
    processors: int = 1


PLAIN = Variant()
VARIANTS = {
    OURS: PLAIN,
    "30,000 series": Variant(devices=10_000),
    "300,000 series": Variant(devices=100_000),
    "batches of 1,000": Variant(batch=1_000),
    "batches of 10,000": Variant(batch=10_000),
    "2 processors": Variant(processors=2),
    "4 processors": Variant(processors=4),
}


def run(stack: LocalStack, size: Size) -> Iterator[Row]:
    """Memory, then throughput."""
    sizes = [1_000]
    while sizes[-1] < size.scale:
        sizes.append(min(sizes[-1] * 10, size.scale))
    yield from memory(stack, sizes)
    contestants = {name: functools.partial(drained, stack, variant, size.scaled) for name, variant in VARIANTS.items()}
    case = (
        f"{size.scaled:,} readings, {PLAIN.devices * len(METRICS):,} series, batches of {PLAIN.batch:,}, one processor"
    )
    yield from Contest("B7 throughput", case, "readings/s", contestants, more_is_better=True).run(size.runs)


def drained(stack: LocalStack, variant: Variant, readings: int) -> float:
    """Readings a second from the first frame in Kafka to the last committed reading."""
    with way_of(stack, variant) as way:
        first, rest = parted(variant, readings, way.prefix)
        city, series = city_of(stack, way.prefix, way.dsn), variant.devices * len(METRICS)
        eventually(lambda: way.fetch(_OWNERS)[0][0] == variant.processors, _BUDGET_S, "each processor owns a partition")
        asyncio.run(city.send(first))
        known = counted(first)
        assert known >= series
        eventually(lambda: stored(way) == known, _BUDGET_S, "every series is known")
        began = time.monotonic()
        asyncio.run(city.send(rest))
        eventually(lambda: stored(way) == known + counted(rest), _BUDGET_S, "all is committed")
        return counted(rest) / (time.monotonic() - began)


@contextlib.contextmanager
def way_of(stack: LocalStack, variant: Variant) -> Iterator[SoakWay]:
    """Processors as processes of their own; the frames come from here."""
    with own_place(stack) as place, tempfile.TemporaryDirectory() as folder:
        settings = {"CITYNERVE_PROCESSORS__BATCH_MAX_READINGS": str(variant.batch)}
        way = SoakWay(stack, place.name, place.name, place.dsn, Path(folder), settings=settings)
        try:
            for number in range(variant.processors):
                way.start_processor(f"p{number}")
            yield way
        finally:
            way.clean_up()


def parted(variant: Variant, readings: int, prefix: str) -> tuple[list[Record], list[Record]]:
    """The frames that name every series once, and those behind them."""
    series = variant.devices * len(METRICS)
    made = frames(Gateway(Topics(prefix)), 2 * series + readings, variant.devices, INTERVAL_S)
    first: list[Record] = []
    rest: list[Record] = []
    for partition in range(PARTITIONS):
        mine = [record for record in made if record.partition == partition]
        enough = -(
            -series // PARTITIONS * 5 // 4 // FRAME
        )  # a partition has not more than a quarter beyond its share of the devices
        first += mine[:enough]
        rest += mine[enough:]
    return first, rest


def counted(records: list[Record]) -> int:
    """Readings in frames."""
    return sum(int(dict(record.headers)["count"]) for record in records)
