"""Gateways and processors asked over HTTP for what they say of themselves."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from control_center.metrics import ControlMetrics
from control_center.neighbours import Kind, Neighbours, Report, parse
from ingest.contract.operating import status_server
from ingest.metrics import IngestMetrics
from processors.metrics import ProcessorMetrics


@contextlib.asynccontextmanager
async def asking(neighbours: Neighbours) -> AsyncIterator[None]:
    task = asyncio.create_task(neighbours.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(neighbours: Neighbours, kind: Kind, holds: Callable[[Report], bool]) -> Report:
    async with asyncio.timeout(15):
        while not holds(neighbours.reports(kind)[0]):  # noqa: ASYNC110 - what is waited for comes over HTTP
            await asyncio.sleep(0.05)
    return neighbours.reports(kind)[0]


def answering(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("citynerve_control_neighbours_answering", {"kind": "gateway"})


async def test_a_gateway_tells_its_name_and_whom_it_waits_for_and_is_unknown_when_it_goes() -> None:
    registry, own = CollectorRegistry(), CollectorRegistry()
    gateway = IngestMetrics(registry, gateway="gw-9")
    gateway.mqtt_is(up=True)
    gateway.spool_bytes.set(3.1e9)
    before = datetime.now(UTC)
    async with contextlib.AsyncExitStack() as server:
        port = await server.enter_async_context(status_server("127.0.0.1", 0, registry, list))
        neighbours = Neighbours({"gw-1": f"http://127.0.0.1:{port}"}, {}, ControlMetrics(own))
        assert neighbours.reports("gateway") == [Report("gateway", "gw-1")]  # not asked yet: neither fine nor away
        await server.enter_async_context(asking(neighbours))
        report = await until(neighbours, "gateway", lambda report: report.samples is not None)
        assert report.samples is not None
        assert report.name == "gw-9"
        assert report.samples.waits("ingest", "kafka") > 0
        assert report.samples.waits("ingest", "broker") == 0
        assert report.samples.get("citynerve_ingest_spool_bytes") == 3.1e9
        await until(neighbours, "gateway", lambda _: answering(own) == 1)
    async with asking(neighbours):
        gone = await until(neighbours, "gateway", lambda report: report.samples is None and report.since is not None)
        await until(neighbours, "gateway", lambda _: answering(own) == 0)
    assert gone.name == "gw-9"
    assert gone.since is not None
    assert gone.since > before


async def test_something_else_at_the_address_is_not_taken_for_a_processor() -> None:
    async with status_server("127.0.0.1", 0, CollectorRegistry(), list) as port:
        neighbours = Neighbours({}, {"processor-1": f"http://127.0.0.1:{port}"}, ControlMetrics(CollectorRegistry()))
        async with asking(neighbours):
            report = await until(neighbours, "processor", lambda report: report.since is not None)
    assert report.samples is None
    assert report.problem == "nothing of CityNerve is at this address"


def test_a_processor_counts_what_it_waits_for() -> None:
    registry = CollectorRegistry()
    metrics = ProcessorMetrics(registry, "processor-7")
    metrics.waiting.set("database", waits=True)
    samples = parse(generate_latest(registry).decode())
    assert samples.who("processor") == "processor-7"
    assert samples.waits("processor", "database") > 0
    assert samples.waits("processor", "kafka") == 0


@pytest.mark.parametrize("body", ["citynerve_x{", "citynerve_x one", 'citynerve_x{a="b} 1'])
def test_a_broken_answer_is_a_value_error(body: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - the parser's own, whatever it says
        parse(body)
