"""Headless Chromium, the built page, and the mock of the API it talks to."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Page, async_playwright

from deploy.local.page import UI, build_page
from deploy.local.provision import provide_browser
from ingest.contract.operating import serve_application
from tests.browser.mock_api import Wire, create
from tests.browser.mock_city import Item, MockCity, iso, now

OUT = Path(__file__).parent / "out"
CHROMIUM_VARIABLE = "CITYNERVE_CHROMIUM"
QUIET = (
    "--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-domain-reliability", "--no-first-run",
)  # fmt: skip
SOFTWARE_WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--ignore-gpu-blocklist")
NO_WEBGL = ("--disable-gpu", "--disable-3d-apis")
DESK = {"width": 1280, "height": 720}
PHONE = {"width": 390, "height": 844}


@dataclass
class MockServer:
    """A served mock of the control center. What the tests do to the city goes over the wire as the real one would send it."""

    url: str
    city: MockCity
    wire: Wire

    def raise_alarm(self, device: str, rule: str, severity: str, **more: Any) -> Item:
        alarm = self.city.raise_alarm(device, rule, severity, **more)
        self.wire.send("alarm", alarm)
        return alarm

    def clear_alarm(self, alarm: Item, value: float) -> None:
        alarm |= {"state": "cleared", "cleared_at": iso(now()), "cleared_value": value}
        self.wire.send("alarm", alarm)


@dataclass
class Screen:
    """A page under test and everything it complained about."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def watch(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))

    def _console(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and "GPU stall" not in message.text:
            self.complaints.append(f"{message.type}: {message.text}")

    async def picture(self, name: str) -> None:
        OUT.mkdir(exist_ok=True)
        await self.page.screenshot(path=OUT / f"{name}.png")


@pytest.fixture(scope="session")
def dist() -> Path:
    """The built page."""
    build_page()
    return UI / "dist"


@pytest.fixture(scope="session")
def chromium_path() -> Path:
    """CITYNERVE_CHROMIUM where it is set, else the pinned Chromium of the local stack (fetched where it is absent)."""
    named = os.environ.get(CHROMIUM_VARIABLE)
    if named is None:
        return provide_browser()
    found = shutil.which(named)
    assert found is not None, f"{CHROMIUM_VARIABLE} names {named}, which is no program"
    return Path(found)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser(chromium_path: Path) -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        opened = await playwright.chromium.launch(executable_path=chromium_path, args=[*QUIET, *SOFTWARE_WEBGL])
        yield opened
        await opened.close()


@pytest_asyncio.fixture(loop_scope="module")
async def mock(dist: Path) -> AsyncIterator[MockServer]:
    city, wire = MockCity.seeded(per_district=40), Wire()
    city.seed_alarms()
    async with serve_application(create(city, wire, dist), "127.0.0.1", 0, stop_budget_s=3) as port:
        yield MockServer(f"http://127.0.0.1:{port}", city, wire)
        wire.drop()


async def new_context(browser: Browser, *, locale: str = "en-GB", size: dict[str, int] | None = None) -> BrowserContext:
    chosen = size or DESK
    return await browser.new_context(locale=locale, viewport={"width": chosen["width"], "height": chosen["height"]})


@pytest_asyncio.fixture(loop_scope="module")
async def screen(browser: Browser, mock: MockServer) -> AsyncIterator[Screen]:
    """The page at a desk, loaded, with the map drawn. At its end the page must have complained about nothing."""
    context = await new_context(browser)
    opened = Screen(await context.new_page())
    opened.watch()
    await opened.page.goto(mock.url)
    await opened.page.locator("#map[data-points]").wait_for(timeout=20_000)
    yield opened
    await context.close()
    assert opened.complaints == []
