"""The page with everything real behind it: Kafka, a processor, TimescaleDB, the control center, and a browser in front."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect
from prometheus_client import CollectorRegistry, start_http_server
from pydantic import SecretStr

from control_center.alarms.rules import load_rules
from control_center.app import ControlConfig, create_app
from control_center.settings import ControlSettings
from deploy.local.stack import LocalStack
from ingest.contract.broker import KafkaSettings
from ingest.contract.operating import serve_application
from ingest.contract.reading import Reading
from ingest.metrics import IngestMetrics
from processors.contract.database import CitySettings, DatabaseSettings
from processors.metrics import ProcessorMetrics
from tests.browser.conftest import Screen, new_context
from tests.processors.gateway import PARTITIONS, Gateway
from tests.processors.running import City

pytestmark = [pytest.mark.browser, pytest.mark.servers, pytest.mark.asyncio(loop_scope="module")]

HOSTILE = "<img src=x onerror=alert(document.domain)>"
STATIONS = 24
STORM, CALM = 27.5, 8.25  # m/s; the rule wind-gust raises above 20 and clears below 16


def readings_of(gusts: dict[str, float], *, ago_s: float = 0.0) -> list[Reading]:
    """One reading of gust and temperature for each station."""
    at_us = int((time.time() - ago_s) * 1e6)
    return [
        reading
        for device, gust in gusts.items()
        for reading in (Reading(device, "wind_gust", at_us, gust), Reading(device, "air_temperature", at_us, 21.5))
    ]


def calm() -> dict[str, float]:
    return {f"wx-{number:02d}": 5.0 + number / 10 for number in range(STATIONS)}


async def register(city: City) -> None:
    """What `citynerve devices import` would write."""
    for number in range(STATIONS):
        name = HOSTILE if number == 7 else f"Trạm thời tiết {number:02d}"
        district = ("Hải Châu", "Sơn Trà", "Cẩm Lệ")[number % 3]
        await city.fetch(
            "INSERT INTO city.devices (device, name, kind, district, latitude, longitude, expected_interval_s) "
            "VALUES ($1, $2, 'weather', $3, $4, $5, 60)",
            f"wx-{number:02d}", name, district, 16.03 + number % 5 * 0.012 + number % 3 * 0.02, 108.17 + number % 7 * 0.013,
        )  # fmt: skip


@pytest.fixture
def city(stack: LocalStack, database: str, kafka_prefix: str) -> City:
    return City(stack.kafka_bootstrap, kafka_prefix, database)


@pytest.fixture
def status_pages() -> Iterator[dict[str, str]]:
    """What the gateway and the processor say of themselves: the test has neither as a process of its own, and both are fine."""
    gateway, processor = CollectorRegistry(), CollectorRegistry()
    ours = IngestMetrics(gateway, gateway="gw-1")
    ours.last_message.set_to_current_time()
    for whom in ("broker", "kafka"):
        ours.waiting.set(whom, waits=False)
    of_processor = ProcessorMetrics(processor, "processor-1")
    for whom in ("kafka", "database"):
        of_processor.waiting.set(whom, waits=False)
    with contextlib.ExitStack() as held:
        yield {
            name: held.enter_context(serving(registry))
            for name, registry in (("gateway", gateway), ("processor", processor))
        }


@contextlib.contextmanager
def serving(registry: CollectorRegistry) -> Iterator[str]:
    """Address of a registry's /metrics."""
    server, thread = start_http_server(0, "127.0.0.1", registry)
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest_asyncio.fixture(loop_scope="module")
async def url(city: City, dist: Path, status_pages: dict[str, str]) -> AsyncIterator[str]:
    """Address of a real control center over the test's own topics and database, serving the page that `dist` has built."""
    assert dist.name == "dist"
    config = ControlConfig(
        control=ControlSettings(
            http_port=0,
            alertmanager_url="",
            alarm_poll_s=0.05,
            gateways={"gw-1": status_pages["gateway"]},
            processors={"processor-1": status_pages["processor"]},
        ),
        city=CitySettings(name="Đà Nẵng", time_zone="Asia/Ho_Chi_Minh", latitude=16.05, longitude=108.21),
        kafka=KafkaSettings(bootstrap=city.bootstrap, topic_prefix=city.prefix, partitions=PARTITIONS),
        database=DatabaseSettings(dsn=SecretStr(city.dsn)),
        rules=load_rules(None),
    )
    app = create_app(config)
    async with serve_application(app, "127.0.0.1", 0, stop_budget_s=3, lifespan="on") as port:
        yield f"http://127.0.0.1:{port}"
        app.state.parts.hub.close()


@pytest_asyncio.fixture(loop_scope="module")
async def desk(browser: Browser, url: str) -> AsyncIterator[Screen]:
    """The page of that control center; closed before it is, so that it has nothing to complain about."""
    context = await new_context(browser)
    screen = Screen(await context.new_page())
    screen.watch()
    await screen.page.goto(url)
    yield screen
    await context.close()
    assert screen.complaints == []


async def test_a_storm_is_seen_acknowledged_and_over(desk: Screen, city: City) -> None:
    page, gateway = desk.page, city.gateway(epoch=1)
    await register(city)
    async with city.processor():
        for minute in range(60, 0, -1):
            await city.send(gateway.frames(readings_of(calm(), ago_s=minute * 60)))
        await city.caught_up()
        await page.reload()
        await expect(page.locator("#map")).to_have_attribute("data-points", str(STATIONS), timeout=20_000)
        await expect(page.locator("#map")).to_have_attribute("data-map", "webgl")
        await expect(page.locator("#connection-text")).to_have_text("Live")
        await expect(page.locator(".alarm-empty")).to_have_text("No open alarms.")

        await city.send(gateway.frames(readings_of(calm() | {"wx-07": STORM})))
        alarm = page.locator(".alarm")
        await expect(alarm).to_have_count(1, timeout=20_000)
        await expect(alarm).to_have_attribute("data-severity", "warning")
        await expect(alarm.locator(".alarm-device")).to_have_text(HOSTILE)
        await expect(alarm.locator(".alarm-values")).to_have_text(re.compile(r"^27\.5\sm/s.*limit 20\sm/s$"))
        await alarm.locator(".alarm-title").click()
        await expect(page.locator(".device-name")).to_have_text(HOSTILE)
        await expect(page.locator(".series", has_text="Wind gust").locator(".series-value")).to_have_text(
            re.compile(r"^27\.5\sm/s$")
        )
        await page.locator(".trend [data-t='trend.range.1h']").click()
        await expect(page.locator(".trend-chart")).to_have_attribute(
            "aria-label", re.compile(r"highest 27\.5\sm/s, latest 27\.5\sm/s")
        )
        await desk.picture("real-storm")

        await alarm.get_by_role("button", name="Acknowledge").click()
        await page.get_by_role("dialog").get_by_label("Name").fill("Nguyễn Thị Lan")
        await page.keyboard.press("Enter")
        await expect(alarm).to_have_attribute("data-state", "acknowledged")
        assert await city.value("SELECT acknowledged_by FROM city.alarms") == "Nguyễn Thị Lan"

        await still_air(city, gateway)
        await expect(page.locator(".alarm-empty")).to_be_visible(timeout=20_000)
        await page.get_by_role("button", name="All", exact=True).click()
        await expect(alarm).to_have_attribute("data-state", "cleared")
        await expect(alarm).to_contain_text(re.compile(r"Cleared at \d\d:\d\d with 8\.25\sm/s"))
        await page.get_by_role("button", name="VI", exact=True).click()
        await expect(alarm).to_contain_text("Nguyễn Thị Lan đã xác nhận")
        await expect(page.locator(".ledger-number")).to_have_text("0")
        await expect(page.locator(".ledger-sum dd").first).to_have_text(
            re.compile(r"^2\.\d\d\d|3\.\d\d\d$"), timeout=10_000
        )
        await desk.picture("real-cleared-vi")


async def still_air(city: City, gateway: Gateway) -> None:
    """The storm is over."""
    await city.send(gateway.frames(readings_of(calm() | {"wx-07": CALM})))
