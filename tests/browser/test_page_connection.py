"""A stale value must never look fresh: silence of a device, of the stream, of the server; and a backlog."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta

import pytest
from playwright.async_api import Browser, expect

from tests.browser.conftest import MockServer, Screen, new_context

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


async def test_a_silent_device_is_grey_with_its_age(screen: Screen, mock: MockServer) -> None:
    silent = next(
        device
        for device in mock.city.devices
        if device["device"] in mock.city.silent and device["kind"] == "street_light"
    )
    await screen.page.get_by_role("combobox").fill(silent["device"])
    await screen.page.keyboard.press("Enter")
    row = screen.page.locator(".series", has_text="Active power")
    await expect(row).to_have_attribute("data-freshness", "stale")
    await expect(row.locator(".series-age")).to_have_text("silent for 1 h 20 min")
    fresh = mock.city.device_of_kind("noise")
    stale_style = await row.locator(".series-value").evaluate("node => getComputedStyle(node).fontStyle")
    await screen.page.get_by_role("combobox").fill(fresh["device"])
    await screen.page.keyboard.press("Enter")
    fresh_style = await screen.page.locator(".series-value").first.evaluate("node => getComputedStyle(node).fontStyle")
    assert (stale_style, fresh_style) == ("italic", "normal")
    await expect(screen.page.locator("#map-legend")).to_contain_text(f"{len(mock.city.silent)} silent")


async def test_a_lost_connection_is_told_with_the_age_of_the_data_and_comes_back(
    screen: Screen, mock: MockServer
) -> None:
    page = screen.page
    await expect(page.locator("#connection-text")).to_have_text("Live")
    mock.wire.refuse = True
    mock.wire.drop()
    await expect(page.locator("#connection-text")).to_have_text(
        re.compile(r"^Not live: data is \d+ s old"), timeout=10_000
    )
    opacity = await page.locator("#strip").evaluate("node => getComputedStyle(node).opacity")
    assert float(opacity) < 1
    await screen.picture("connection-lost")
    mock.wire.refuse = False
    await expect(page.locator("#connection-text")).to_have_text("Live", timeout=15_000)
    assert mock.wire.last_event_ids[-1] is not None, "the page must resume from the last event it saw"
    screen.complaints.clear()  # the browser logs each refused stream


async def test_a_dropped_stream_resumes_where_it_was(screen: Screen, mock: MockServer) -> None:
    await expect(screen.page.locator("#connection-text")).to_have_text("Live")
    opened = len(mock.wire.last_event_ids)
    mock.wire.drop()
    async with asyncio.timeout(10):
        while len(mock.wire.last_event_ids) == opened:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    assert mock.wire.last_event_ids[-1] is not None
    await expect(screen.page.locator("#connection-text")).to_have_text("Live")


async def test_silence_on_an_open_stream_is_told_too(screen: Screen, mock: MockServer) -> None:
    await expect(screen.page.locator("#connection-text")).to_have_text("Live")
    mock.wire.mute = True
    await expect(screen.page.locator("#connection-text")).to_have_text(
        re.compile(r"^No news for \d+ s"), timeout=10_000
    )
    mock.wire.mute = False
    await expect(screen.page.locator("#connection-text")).to_have_text("Live", timeout=10_000)


async def test_a_reset_makes_the_page_fetch_everything_anew(screen: Screen, mock: MockServer) -> None:
    await expect(screen.page.locator(".alarm")).to_have_count(5)
    device = mock.city.device_of_kind("air_quality", 1)["device"]
    mock.city.raise_alarm(device, "pm25-high", "critical", metric="pm2_5", unit="ug/m3", raised_value=70.0)
    mock.wire.send("reset", {})
    await expect(screen.page.locator(".alarm")).to_have_count(6)


async def test_a_device_that_nobody_knew_appears_by_itself(screen: Screen, mock: MockServer) -> None:
    await expect(screen.page.locator("#connection-text")).to_have_text("Live")
    before = int(await screen.page.locator("#map").get_attribute("data-points") or 0)
    mock.city.add_device("new-1", "Trạm mới", "weather", "Hải Châu", at=(108.22, 16.06))
    await expect(screen.page.locator("#map")).to_have_attribute("data-points", str(before + 1), timeout=30_000)


async def test_while_a_backlog_is_worked_off_the_page_says_which_moment_it_shows(
    browser: Browser, mock: MockServer
) -> None:
    mock.city.age, mock.city.catch_up_speed = timedelta(hours=9), 20
    context = await new_context(browser)
    screen = Screen(await context.new_page())
    await screen.page.goto(mock.url)
    text = screen.page.locator("#connection-text")
    await expect(text).to_have_text(re.compile(r"^Catching up: showing (\d\d/\d\d )?\d\d:\d\d$"), timeout=15_000)
    await screen.page.get_by_role("combobox").fill(mock.city.device_of_kind("noise")["device"])
    await screen.page.keyboard.press("Enter")
    row = screen.page.locator(".series").first
    await expect(row).to_have_attribute("data-freshness", "behind", timeout=10_000)
    await expect(row.locator(".series-age")).to_have_text(re.compile(r"^(8 h \d+ min|9 h) ago$"))
    await screen.picture("backlog")
    mock.city.catch_up_speed = 0
    await expect(row).to_have_attribute("data-freshness", "stale", timeout=20_000)  # it stands still: not a backlog
    await context.close()


async def test_a_server_that_fails_is_explained_and_tried_again(browser: Browser, mock: MockServer) -> None:
    mock.wire.fail = {"/api/v1/devices": 503}
    context = await new_context(browser)
    page = await context.new_page()
    await page.goto(mock.url)
    await expect(page.locator("#trouble")).to_have_text(
        "The devices could not be loaded: the control center reports 503 (database unreachable). "
        "Tell the platform team if it stays."
    )
    await expect(page.locator(".alarm")).to_have_count(5)  # the rest of the page works
    mock.wire.fail = {}
    await expect(page.locator("#trouble")).to_be_hidden(timeout=10_000)
    await expect(page.locator("#map")).to_have_attribute("data-points", re.compile(r"\d+"), timeout=10_000)
    await context.close()
