"""Alarms on the page: raised, acknowledged, cleared. Against the mock of the API."""

from __future__ import annotations

import re

import pytest
from playwright.async_api import Locator, expect

from tests.browser.conftest import MockServer, Screen
from tests.browser.mock_city import Item

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

PM = {
    "metric": "pm2_5",
    "unit": "ug/m3",
    "raised_value": 88.5,
    "detail": {"threshold": 55.0, "column": "mean", "source": "15m"},
}


def card(screen: Screen, alarm: Item) -> Locator:
    return screen.page.locator(f".alarm[data-alarm='{alarm['alarm_id']}']")


async def sign_as(screen: Screen, name: str) -> None:
    await screen.page.get_by_role("dialog").get_by_label("Name").fill(name)
    await screen.page.keyboard.press("Enter")


async def test_an_alarm_appears_at_the_top_with_what_raised_it(screen: Screen, mock: MockServer) -> None:
    device = mock.city.device_of_kind("air_quality", 1)
    await expect(screen.page.locator(".alarm")).to_have_count(5)
    alarm = mock.raise_alarm(device["device"], "pm25-high", "critical", **PM)
    first = screen.page.locator(".alarm").first
    await expect(first).to_have_attribute("data-alarm", str(alarm["alarm_id"]))
    for words in (
        "Critical",
        "Fine dust is high",
        device["name"],
        "PM2.5",
        "88.5 µg/m³",
        "mean, 15 min",
        "limit 55 µg/m³",
        "since ",
    ):
        await expect(first).to_contain_text(words.replace(" µg", "\u202fµg"))
    await expect(first).to_contain_text("Warn schools near the device")
    await expect(screen.page.locator("#announcer")).to_have_text(
        f"New alarm, Critical: Fine dust is high, {device['name']}"
    )
    await expect(screen.page).to_have_title(re.compile(r"^\(5\) CityNerve · Đà Nẵng$"))
    await screen.picture("alarm-raised")


async def test_severity_is_told_by_shape_and_word_not_by_colour_alone(screen: Screen) -> None:
    shapes = {}
    for severity, word in (("critical", "Critical"), ("warning", "Warning"), ("info", "Notice")):
        one = screen.page.locator(f".alarm[data-severity='{severity}']").first
        await expect(one.locator(".alarm-severity")).to_have_text(word)
        shapes[severity] = await one.locator(".alarm-shape path").get_attribute("d")
    assert len(set(shapes.values())) == 3


async def test_the_name_is_asked_once_and_written_into_the_alarm(screen: Screen, mock: MockServer) -> None:
    page = screen.page
    first = mock.raise_alarm(mock.city.device_of_kind("air_quality", 1)["device"], "pm25-high", "critical", **PM)
    second = mock.raise_alarm(mock.city.device_of_kind("air_quality", 2)["device"], "pm25-high", "warning", **PM)
    await card(screen, first).get_by_role("button", name="Acknowledge").click()
    await screen.picture("who-acknowledges")
    await sign_as(screen, "Trần Văn Minh")
    await expect(card(screen, first)).to_have_attribute("data-state", "acknowledged")
    await expect(card(screen, first)).to_contain_text(re.compile(r"Acknowledged by Trần Văn Minh at \d\d:\d\d"))
    await expect(card(screen, first).get_by_role("button", name="Acknowledge")).to_have_count(0)
    assert mock.city.alarms[first["alarm_id"]]["acknowledged_by"] == "Trần Văn Minh"
    await page.reload()
    await card(screen, second).get_by_role("button", name="Acknowledge").click()
    await expect(card(screen, second)).to_have_attribute("data-state", "acknowledged")
    await expect(page.get_by_role("dialog")).to_have_count(0)
    await expect(page.locator(".signed-as")).to_contain_text("Acknowledging as Trần Văn Minh")


async def test_whoever_cancels_the_question_has_acknowledged_nothing(screen: Screen, mock: MockServer) -> None:
    alarm = mock.raise_alarm(mock.city.device_of_kind("air_quality", 1)["device"], "pm25-high", "critical", **PM)
    await card(screen, alarm).get_by_role("button", name="Acknowledge").click()
    await screen.page.keyboard.press("Escape")
    await expect(screen.page.get_by_role("dialog")).to_have_count(0)
    await expect(card(screen, alarm)).to_have_attribute("data-state", "raised")
    assert mock.city.alarms[alarm["alarm_id"]]["state"] == "raised"


async def test_a_cleared_alarm_leaves_the_open_list_and_looks_different_in_all(
    screen: Screen, mock: MockServer
) -> None:
    alarm = mock.raise_alarm(mock.city.device_of_kind("air_quality", 1)["device"], "pm25-high", "critical", **PM)
    await expect(card(screen, alarm)).to_be_visible()
    raised_colour = (
        await card(screen, alarm).locator(".alarm-severity").evaluate("node => getComputedStyle(node).color")
    )
    mock.clear_alarm(alarm, 41.0)
    await expect(card(screen, alarm)).to_have_count(0)
    await screen.page.get_by_role("button", name="All", exact=True).click()
    await expect(card(screen, alarm)).to_have_attribute("data-state", "cleared")
    await expect(card(screen, alarm)).to_contain_text(re.compile(r"Cleared at \d\d:\d\d with 41\sµg/m³"))
    cleared_colour = (
        await card(screen, alarm).locator(".alarm-severity").evaluate("node => getComputedStyle(node).color")
    )
    assert cleared_colour != raised_colour
    await screen.picture("alarms-all")


async def test_acknowledging_what_has_just_cleared_is_answered_with_a_sentence(
    screen: Screen, mock: MockServer
) -> None:
    alarm = mock.raise_alarm(mock.city.device_of_kind("air_quality", 1)["device"], "pm25-high", "critical", **PM)
    await card(screen, alarm).get_by_role("button", name="Acknowledge").click()
    mock.city.alarms[alarm["alarm_id"]]["state"] = "cleared"
    await sign_as(screen, "Lan")
    await expect(screen.page.locator("#trouble")).to_have_text(
        "The alarm was not acknowledged: it has been cleared already; nothing is left to do."
    )
    screen.complaints.clear()  # the browser logs the 409


async def test_an_alarm_leads_to_its_device_and_its_limit_in_the_trend(screen: Screen, mock: MockServer) -> None:
    device = mock.city.device_of_kind("air_quality", 1)
    alarm = mock.raise_alarm(device["device"], "pm25-high", "critical", **PM)
    await card(screen, alarm).get_by_role("button", name="Fine dust is high", exact=True).click()
    await expect(screen.page.locator(".device-name")).to_have_text(device["name"])
    await expect(screen.page.locator(".series[aria-pressed='true'] .series-name")).to_have_text("PM2.5")
    await screen.page.wait_for_timeout(800)
    await screen.picture("alarm-chosen")


async def test_a_silent_device_says_when_it_last_sent(screen: Screen) -> None:
    silent = screen.page.locator(".alarm", has_text="Device is silent")
    await expect(silent).to_contain_text(re.compile(r"last reading [\d/: ]+ · expected every 1 min"))
    await expect(silent).not_to_contain_text("180")


async def test_a_burst_of_alarms_is_counted_whole_and_drawn_at_once(screen: Screen, mock: MockServer) -> None:
    await expect(screen.page.locator(".alarm")).to_have_count(5)
    await expect(screen.page.locator("#connection-text")).to_have_text("Live")
    placed = [device["device"] for device in mock.city.devices if device["latitude"] is not None]
    for number in range(1000):
        mock.raise_alarm(placed[number % len(placed)], "silent", "warning", detail={})
    warnings = screen.page.locator(".alarm-count[data-severity='warning']")
    await expect(warnings).to_contain_text("1,003", timeout=20_000)
    await expect(screen.page.locator(".alarm-empty")).to_have_text("805 less urgent ones are not shown.")
    await expect(screen.page.locator("#announcer")).to_contain_text(re.compile(r"and [\d,]+ more new alarms"))
    await screen.page.reload()
    await expect(warnings).to_contain_text("1,003", timeout=20_000)
