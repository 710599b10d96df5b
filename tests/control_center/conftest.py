"""A running control center of the test's own, on a free port, over a fresh database and fresh topics."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest

from control_center.alarms.rules import load_rules
from control_center.app import ControlConfig, create_app
from control_center.settings import ControlSettings
from deploy.local.stack import LocalStack
from ingest.contract.broker import KafkaSettings
from ingest.contract.operating import serve_application
from processors.contract.database import CitySettings, DatabaseSettings

Connection = asyncpg.Connection  # asyncpg's stubs make it generic, the class itself is not
T0 = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Running:
    """A control center that answers at `client`'s address."""

    client: httpx.AsyncClient
    app: Any
    base_url: str


@pytest.fixture
def config(stack: LocalStack, database: str, kafka_prefix: str) -> ControlConfig:
    return ControlConfig(
        control=ControlSettings(http_port=0, alertmanager_url="", alarm_poll_s=0.05, notify_interval_s=1),
        city=CitySettings(name="Đà Nẵng", time_zone="Asia/Ho_Chi_Minh", latitude=16.05, longitude=108.2),
        kafka=KafkaSettings(bootstrap=stack.kafka_bootstrap, topic_prefix=kafka_prefix),
        database=DatabaseSettings.model_validate({"dsn": database}),
        rules=load_rules(None),
    )


@contextlib.asynccontextmanager
async def running(config: ControlConfig) -> AsyncIterator[Running]:
    """Serve the real application with uvicorn on a free port."""
    app = create_app(config)
    async with serve_application(app, "127.0.0.1", 0, stop_budget_s=3, lifespan="on") as port:
        base_url = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=base_url, timeout=10, trust_env=False) as client:
            yield Running(client, app, base_url)
        app.state.parts.hub.close()


async def until(condition: Callable[[], Awaitable[bool]], timeout_s: float = 20) -> None:
    """Wait until `condition()` holds."""
    async with asyncio.timeout(timeout_s):
        while not await condition():  # noqa: ASYNC110 - what is waited for lies in another process
            await asyncio.sleep(0.05)


async def until_ready(control: Running) -> None:
    """Wait until every part works and this replica leads."""

    async def ready() -> bool:
        answer = await control.client.get("/readyz")
        return answer.status_code == 200 and "alarms_leading 1.0" in (await control.client.get("/metrics")).text

    await until(ready)


@pytest.fixture
async def control(config: ControlConfig) -> AsyncIterator[Running]:
    async with running(config) as service:
        yield service


@pytest.fixture
async def connection(database: str) -> AsyncIterator["asyncpg.Connection[asyncpg.Record]"]:
    opened = await asyncpg.connect(database, server_settings={"timezone": "UTC"})
    yield opened
    await opened.close()


@dataclass(frozen=True)
class Seeded:
    """Ids of what `seeded` put into the database."""

    series: dict[tuple[str, str], int]
    devices: dict[str, int]


HOSTILE_NAME = "<img src=x onerror=alert(1)>{{7*7}}\u202e"


@pytest.fixture
async def seeded(connection: "asyncpg.Connection[asyncpg.Record]") -> Seeded:
    """Five devices, two with readings and windows; one has a hostile name."""
    await connection.executemany(
        "INSERT INTO city.devices (device, name, kind, district, latitude, longitude, expected_interval_s) VALUES ($1,$2,$3,$4,$5,$6,$7)",
        [
            ("air-1", "Cầu Rồng", "air_quality", "Hải Châu", 16.06, 108.22, 60),
            ("air-2", HOSTILE_NAME, "air_quality", "Sơn Trà", 16.07, 108.23, None),
            ("noise-1", "", "noise", "Hải Châu", None, None, None),
            ("water/level 1", "slash and space", "water_level", "Hải Châu", 16.0, 108.0, None),
            ("zebra", "last", "weather", "", None, None, None),
        ],
    )
    devices = {
        r["device"]: r["device_id"] for r in await connection.fetch("SELECT device, device_id FROM city.devices")
    }
    wanted = [
        ("air-1", "pm2_5", "ug/m3"),
        ("air-1", "no2", "ug/m3"),
        ("noise-1", "laeq", "dB"),
        ("water/level 1", "water_level", "m"),
    ]
    await connection.executemany(
        "INSERT INTO city.series (device_id, metric, unit, mean_kind, interval_s, partition) VALUES ($1,$2,$3,0,60,0)",
        [(devices[device], metric, unit) for device, metric, unit in wanted],
    )
    rows = await connection.fetch("SELECT series_id, device, metric FROM city_view.series")
    series = {(row["device"], row["metric"]): row["series_id"] for row in rows}
    pm = series["air-1", "pm2_5"]
    await connection.executemany(
        "INSERT INTO city.readings (series_id, time, value, flags) VALUES ($1,$2,$3,$4)",
        [(pm, T0 + timedelta(seconds=10 * n, microseconds=n), 10.0 + n / 8, n % 2) for n in range(250)],
    )
    await connection.executemany(
        """INSERT INTO city.windows_15m (series_id, start, count, mean, min, max, std, first, last, p50, p95, p99, special, expected,
               valid, late, flagged, revision, first_time, last_time, sketch)
           VALUES ($1,$2,3,2,1,3,0.8,1,3,2,3,3,NULL,15,2,1,1,4,$2,$2,'')""",
        [(pm, T0 + timedelta(minutes=15 * n)) for n in range(30)],
    )
    return Seeded(series, devices)
