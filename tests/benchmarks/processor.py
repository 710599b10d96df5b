"""B5: frames in Kafka to committed rows by one processor; and the same work of a core without the database, against Bytewax.

Without the database means: frames are decoded, their readings resolved to series, judged, sorted and put into windows, and
all rows are made into COPY streams, which nobody receives. Bytewax gets the readings as Python objects, as its sources give
them (the decoding is not in its figure), and makes the same minutes: count, mean, deviation, extremes, first, last, three
quantiles; it makes no quarters, hours and sketches, and no rows for a database.
"""

from __future__ import annotations

import asyncio
import functools
import gc
import importlib
import math
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from deploy.local.stack import LocalStack
from ingest.contract.topics import Topics
from tests.benchmarks.bare_processor import BareProcessor
from tests.benchmarks.contest import OURS, Contest, Row
from tests.benchmarks.libraries import provide_bytewax
from tests.benchmarks.servers import own_place
from tests.benchmarks.settings import Size
from tests.processors.gateway import Gateway, Record
from tests.processors.measure_rate import METRICS, START_US, frames
from tests.processors.running import city_of

DEVICES, INTERVAL_S = 1000, 10.0
BATCH_RECORDS = 4
STORED = "SELECT coalesce(sum(n_stored), 0)::bigint FROM city.offsets"
BYTEWAX_SHARE = 20
"""Bytewax gets a twentieth of the readings: it needs as long for them."""
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def run(stack: LocalStack, size: Size) -> Iterator[Row]:
    """CPU of one core first, then the whole processor with its database."""
    name = provide_bytewax()
    records = frames(Gateway(Topics("bench")), size.processed, DEVICES, INTERVAL_S)
    contestants = {OURS: functools.partial(bare, records, size.processed)}
    if name:
        readings = objects(size.processed // BYTEWAX_SHARE)
        contestants[name] = functools.partial(bytewax, readings)
    contestants["the same with the database, by the wall clock"] = functools.partial(
        with_database, stack, size.processed
    )
    case = f"{size.processed:,} readings of {DEVICES * len(METRICS):,} series, without the database: a core"
    yield from Contest("B5 processor", case, "readings/s", contestants, more_is_better=True).run(size.runs)


def bare(records: list[Record], readings: int) -> float:
    """Our route less its database."""
    processor = BareProcessor(Topics("bench"))
    gc.collect()
    began = time.process_time()
    asyncio.run(processor.run(records, BATCH_RECORDS))
    seconds = time.process_time() - began
    assert processor.readings == readings, f"{processor.readings} of {readings} readings"
    assert processor.rows["windows_1m"] > 0
    return readings / seconds


def objects(readings: int) -> list[tuple[str, tuple[datetime, float]]]:
    """Readings as a Bytewax source gives them: (series, (time, value)), in order of time."""
    series = DEVICES * len(METRICS)
    names = [f"dev-{device}/{metric}" for device in range(DEVICES) for metric in METRICS]
    values = np.random.default_rng(1).gamma(4, 10, readings).tolist()
    first = EPOCH + timedelta(microseconds=START_US)
    return [
        (names[at % series], (first + timedelta(seconds=at // series * INTERVAL_S), value))
        for at, value in enumerate(values)
    ]


def bytewax(readings: list[tuple[str, tuple[datetime, float]]]) -> float:
    """A tumbling minute by `fold_window`, finished by a map."""
    operators, windowing = (
        importlib.import_module("bytewax.operators"),
        importlib.import_module("bytewax.operators.windowing"),
    )
    testing, dataflow = importlib.import_module("bytewax.testing"), importlib.import_module("bytewax.dataflow")
    flow = dataflow.Dataflow("minutes")
    out: list[tuple[str, dict[str, Any]]] = []
    stream = operators.input("readings", flow, testing.TestingSource(readings, batch_size=1000))
    clock = windowing.EventClock(lambda reading: reading[0], timedelta(seconds=0))
    minutes = windowing.fold_window(
        "minutes", stream, clock, windowing.TumblingWindower(timedelta(minutes=1), EPOCH), list, _append, lambda a, b: a + b
    )  # fmt: skip
    rows = operators.map("rows", minutes.down, lambda item: (item[0], _row(item[1][1])))
    operators.output("out", rows, testing.TestingSink(out))
    gc.collect()
    began = time.process_time()
    testing.run_main(flow)
    seconds = time.process_time() - began
    assert sum(row["count"] for _, row in out) == len(readings), "Bytewax lost readings"
    return len(readings) / seconds


def _append(held: list[tuple[datetime, float]], reading: tuple[datetime, float]) -> list[tuple[datetime, float]]:
    held.append(reading)
    return held


def _row(readings: list[tuple[datetime, float]]) -> dict[str, Any]:
    values = sorted(value for _, value in readings)
    n = len(values)
    mean = math.fsum(values) / n
    return {
        "count": n, "mean": mean, "std": math.sqrt(math.fsum((value - mean) ** 2 for value in values) / n),
        "min": values[0], "max": values[-1], "first": readings[0][1], "last": readings[-1][1],
        **{f"p{percent}": values[(n - 1) * percent // 100] for percent in (50, 95, 99)},
    }  # fmt: skip


def with_database(stack: LocalStack, readings: int) -> float:
    """Readings a second of wall clock from Kafka to committed rows, all windows made."""
    with own_place(stack) as place:
        city = city_of(stack, place.name, place.dsn)
        return asyncio.run(_with_database(city, readings))


async def _with_database(city: Any, readings: int) -> float:
    await city.send(frames(city.gateway(), readings, DEVICES, INTERVAL_S))
    async with city.processor(batch_max_readings=50_000, batch_max_wait_ms=200):
        while not await city.value(STORED):  # noqa: ASYNC110 - the event is in the database
            await asyncio.sleep(0.005)
        first, began = await city.value(STORED), time.perf_counter()
        await city.caught_up(600)
        seconds = time.perf_counter() - began
    return float((readings - first) / seconds)
