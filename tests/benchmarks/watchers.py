"""Who sees where the probes have come: committed rows by asking the database, alarms by reading the server-sent stream."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import json
from collections.abc import AsyncIterator

import asyncpg
import httpx

from tests.benchmarks.probe import ALARM, ROW, Moments

_LOOK_S = 0.005
_FOUND = """
    SELECT w.device FROM unnest($1::int[], $2::timestamptz[], $3::text[]) AS w(series_id, time, device)
    JOIN city.readings r ON r.series_id = w.series_id AND r.time = w.time
"""
"""By the primary key: a look that scanned all loud readings would be a load of its own."""
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@contextlib.asynccontextmanager
async def rows(dsn: str, series: dict[str, int], moments: Moments) -> AsyncIterator[None]:
    """Look for the committed rows of open probes every 5 ms while the body runs. `series`: device -> series id."""
    connection = await asyncpg.connect(dsn, timeout=10)

    async def look() -> None:
        statement = await connection.prepare(_FOUND)
        while True:
            if waiting := moments.open(ROW):
                times = [_EPOCH + dt.timedelta(microseconds=moments.event_us[device]) for device in waiting]
                for row in await statement.fetch([series[device] for device in waiting], times, waiting):
                    moments.see(ROW, row["device"])
            await asyncio.sleep(_LOOK_S)

    looking = asyncio.create_task(look(), name="look for rows")
    try:
        yield
        if looking.done():
            looking.result()
    finally:
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)
        connection.terminate()


@contextlib.asynccontextmanager
async def alarms(url: str, rule_id: str, moments: Moments) -> AsyncIterator[None]:
    """Read the stream while the body runs. Only alarms are taken apart: the live values of a whole city would be work of ours."""
    async with (
        httpx.AsyncClient(trust_env=False, timeout=httpx.Timeout(30)) as client,
        client.stream("GET", f"{url}/api/v1/stream", params={"lang": "en"}) as response,
    ):
        response.raise_for_status()
        reading = asyncio.create_task(_read(response, rule_id, moments), name="read the stream")
        try:
            yield
            if reading.done():
                reading.result()
        finally:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)


async def _read(response: httpx.Response, rule_id: str, moments: Moments) -> None:
    left = b""
    async for chunk in response.aiter_raw():
        *blocks, left = (left + chunk).split(b"\n\n")
        for block in blocks:
            if b"event: alarm\n" in block[:64]:
                alarm = json.loads(block.partition(b"data: ")[2])
                if alarm["rule_id"] == rule_id:
                    moments.see(ALARM, alarm["device"])
    raise ConnectionError("the stream ended")
