"""Live values over the real Kafka: what ingest sends is on the page at once, whether or not any processor runs."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import numpy as np
import pytest
from aiokafka import AIOKafkaProducer

from control_center import queries
from control_center.app import ControlConfig
from control_center.live import PartitionTail
from control_center.rows import CursorRow
from ingest.contract.frame import FrameColumns, encode_readings
from ingest.contract.topics import partition_of
from tests.control_center.api.event_source import open_stream
from tests.control_center.conftest import T0, Running, Seeded, running, until, until_ready

Database = asyncpg.Connection  # generic only in the stubs


def frame(device: str, metric: str, values: list[tuple[datetime, float]]) -> bytes:
    n = len(values)
    return encode_readings(
        FrameColumns(
            [device], [metric], np.zeros(n, np.int32), np.zeros(n, np.int16),
            np.array([round(time.timestamp() * 1e6) for time, _ in values], np.int64),
            np.array([value for _, value in values]), np.zeros(n, np.uint16),
        )
    )  # fmt: skip


async def send(config: ControlConfig, device: str, body: bytes) -> None:
    producer = AIOKafkaProducer(**config.kafka.client_options())
    await producer.start()
    try:
        await producer.send_and_wait(
            config.kafka.topics.readings, body, partition=partition_of(device, config.kafka.partitions)
        )
    finally:
        await producer.stop()


async def live(control: Running) -> dict[tuple[str, str], dict[str, Any]]:
    items = (await control.client.get("/api/v1/live")).json()["items"]
    return {(item["device"], item["metric"]): item for item in items}


async def has_pm(control: Running) -> bool:
    return ("air-1", "pm2_5") in await live(control)


async def test_a_reading_is_live_before_any_processor_has_seen_it(config: ControlConfig) -> None:
    now = datetime.now(UTC).replace(microsecond=123456)
    async with running(config) as control:
        await until_ready(control)
        async with open_stream(control.base_url) as stream:
            await send(config, "air-9", frame("air-9", "pm2_5", [(now, 7.5), (now - timedelta(seconds=60), 99.0)]))
            event = await stream.until(lambda event: event.name == "live")
        assert event.data["items"] == [
            {"device": "air-9", "metric": "pm2_5", "value": 7.5, "time": now.isoformat().replace("+00:00", "Z")}
        ]
        item = (await live(control))["air-9", "pm2_5"]
        assert item["value"] == 7.5
        assert 0 <= item["age_s"] < 30
        # nobody has committed it: the lag grows from the moment it was appended
        await asyncio.sleep(1.1)
        status = (await control.client.get("/api/v1/status")).json()
        assert 1.0 <= status["lag_s"] < 30


@pytest.mark.parametrize("at_once", [queries._SERIES_AT_ONCE, 1])
async def test_stored_values_are_there_from_the_start_and_yield_to_newer_ones(
    config: ControlConfig, connection: Database, seeded: Seeded, monkeypatch: pytest.MonkeyPatch, at_once: int
) -> None:
    monkeypatch.setattr(queries, "_SERIES_AT_ONCE", at_once)
    now = datetime.now(UTC)
    series = seeded.series["air-1", "no2"]
    await connection.execute("INSERT INTO city.readings VALUES ($1, $2, 41, 0)", series, now - timedelta(hours=2))
    async with running(config) as control:
        await until_ready(control)
        assert (await live(control))["air-1", "no2"]["value"] == 41
        await send(config, "air-1", frame("air-1", "no2", [(now - timedelta(hours=3), 1.0)]))
        await send(config, "air-1", frame("air-1", "no2", [(now, 2.0)]))
        seen: set[float] = set()

        async def newest() -> bool:
            seen.add((await live(control))["air-1", "no2"]["value"])
            return 2.0 in seen

        await until(newest)
        assert seen <= {41, 2.0}


async def test_a_record_that_is_no_frame_is_counted_and_stops_nothing(config: ControlConfig) -> None:
    async with running(config) as control:
        await until_ready(control)
        for body in (b"", b"rubbish", frame("a", "pm2_5", [(T0, 1.0)])[:-20], b"\xff" * 1000):
            await send(config, "air-1", body)
        await send(config, "air-1", frame("air-1", "pm2_5", [(datetime.now(UTC), 5.0)]))
        await until(lambda: has_pm(control))
        assert "live_bad_frames_total 4.0" in (await control.client.get("/metrics")).text


@pytest.mark.usefixtures("seeded")
async def test_silent_devices_are_counted_registered_ones_that_never_spoke_included(config: ControlConfig) -> None:
    async with running(config) as control:
        await until_ready(control)
        await send(config, "air-1", frame("air-1", "pm2_5", [(datetime.now(UTC), 5.0)]))
        await until(lambda: has_pm(control))
        assert (await control.client.get("/api/v1/status")).json()["stale_devices"] == 4


def test_lag_is_the_age_of_the_oldest_record_not_yet_committed() -> None:
    now = T0
    tail = PartitionTail(100)
    for n in range(5):
        tail.see(100 + n, int((now.timestamp() - 10 + n) * 1000))
    assert tail.lag_s(CursorRow(0, 105, None, now), now) == 0
    assert tail.lag_s(CursorRow(0, 102, None, now), now) == 8
    assert tail.lag_s(None, now) == 8  # the older ones were committed a moment ago and stay forgotten


def test_lag_of_records_older_than_the_tail_is_bounded_by_the_cursors_last_move() -> None:
    tail = PartitionTail(100)
    assert tail.lag_s(CursorRow(0, 40, None, T0 - timedelta(seconds=30)), T0) == 30
    assert tail.lag_s(CursorRow(0, 100, None, T0 - timedelta(seconds=30)), T0) == 0
