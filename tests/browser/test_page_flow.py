"""Who waits for whom on the page, what is old with its age, and the silent devices of one gateway as one line."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from playwright.async_api import Browser, expect

from tests.browser.conftest import PHONE, MockServer, Screen, new_context
from tests.browser.mock_city import Item, iso, now

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

CONTROL_ROOM = {"width": 1366, "height": 768}
SPOOLING = "The gateway gw-1 has waited for Kafka for 12 min: it spools, 3.1 GB of 8.0 GB used, about 41 hours left at today's rate."
KAFKA_AWAY: Item = {
    "mood": "held_up",
    "headline": "Held up: Kafka does not answer (12 min)",
    "hops": {
        "gateway": {
            "state": "waiting", "waits_for": "kafka", "age_s": 720.0, "queue_bytes": 3_100_000_000,
            "queue_limit_bytes": 8_000_000_000, "hours_left": 41.0, "text": SPOOLING,
        },
        "kafka": {"state": "away", "age_s": 722.0, "text": "Kafka has not answered gw-1 for 12 min."},
    },
}  # fmt: skip
GATEWAY_GONE: Item = {
    "mood": "unknown",
    "headline": "Not known whether live: gateway gw-1 does not answer",
    "hops": {
        "devices": {"state": "unknown", "text": "Whether devices send is not known."},
        "broker": {"state": "unknown", "text": "How the broker is nobody can say."},
        "gateway": {"state": "unknown", "age_s": 840.0, "text": "The gateway gw-1 has not answered for 14 min."},
    },
}


def silence(mock: MockServer, n: int, **more: Any) -> list[Item]:
    """So many devices fall silent at once."""
    at = now() - timedelta(minutes=14)
    detail = {"last_reading": iso(at), "held_s": 0.0, "expected_interval_s": 60.0, "missed_intervals": 3.0}
    devices = [device["device"] for device in mock.city.devices if device["device"] not in mock.city.silent]
    return [
        mock.raise_alarm(device, "silent", "warning", raised_at=iso(at), raised_value=180.0, detail=detail, **more)
        for device in devices[:n]
    ]


async def test_on_a_good_day_every_hop_is_fine_and_nothing_more_is_said(screen: Screen) -> None:
    hops = screen.page.locator("#chain .hop")
    await expect(hops).to_have_count(7)
    for number in range(7):
        await expect(hops.nth(number)).to_have_attribute("data-state", "fine")
    names = ["Devices", "Broker", "gw-1", "Kafka", "processor-1", "Database", "This page"]
    await expect(hops.locator(".hop-name")).to_have_text(names)
    await expect(screen.page.locator(".chain-worst")).to_be_hidden()
    await expect(screen.page.locator("#stale")).to_be_hidden()
    await expect(screen.page.locator("#connection-text")).to_have_text("Live")


@pytest.mark.parametrize(("size", "name"), [(CONTROL_ROOM, "desk"), (PHONE, "phone")])
async def test_who_waits_for_whom_is_a_picture_and_a_sentence(
    browser: Browser, mock: MockServer, size: dict[str, int], name: str
) -> None:
    mock.city.flow = KAFKA_AWAY
    context = await new_context(browser, size=size)
    screen = Screen(await context.new_page())
    page = screen.page
    await page.goto(mock.url)
    await expect(page.locator("#connection-text")).to_have_text("Held up: Kafka does not answer (12 min)")
    gateway = page.locator("#chain .hop[data-part='gateway']")
    await expect(gateway).to_have_attribute("data-state", "waiting")
    await expect(gateway.locator(".hop-figure")).to_have_text(re.compile(r"^12 min · 3\.1\sGB$"))
    await expect(page.locator("#chain .hop[data-part='kafka']")).to_have_attribute("data-state", "away")
    await expect(page.locator(".chain-worst")).to_have_text("Kafka has not answered gw-1 for 12 min.")
    await expect(page.locator(".chain-words")).to_be_hidden()
    await page.locator(".chain-summary").click()
    await expect(page.locator(".chain-words li")).to_have_count(6)
    await expect(page.locator(".chain-words li[data-part='gateway']")).to_have_text(SPOOLING)
    overflow = await page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow == 0
    await page.wait_for_timeout(500)
    await screen.picture(f"flow-{name}")
    mock.city.flow = {}
    await expect(page.locator("#connection-text")).to_have_text("Live", timeout=10_000)
    await context.close()


async def test_a_shape_tells_the_states_apart_and_a_screen_reader_hears_them(screen: Screen, mock: MockServer) -> None:
    mock.city.flow = KAFKA_AWAY | {
        "hops": KAFKA_AWAY["hops"] | {"devices": {"state": "silent"}, "broker": {"state": "unknown"}}
    }
    hops = screen.page.locator("#chain .hop")
    await expect(hops.nth(1)).to_have_attribute("data-state", "unknown", timeout=10_000)
    shapes = [await hops.nth(number).locator("path").get_attribute("d") for number in range(5)]
    assert len(set(shapes)) == 5, "silent, unknown, waiting, away and fine must look different without colour"
    await expect(hops.nth(2)).to_contain_text("waiting")
    await expect(hops.nth(3)).to_contain_text("does not answer")


async def test_while_catching_up_the_page_does_not_say_live_and_marks_the_ages_of_alarms(
    screen: Screen, mock: MockServer
) -> None:
    since = screen.page.locator(".alarm-since").first
    await expect(since).to_have_text(re.compile(r"^since \d\d:\d\d \(\d+ (s|min)\)$"))
    headline = "Catching up: 12 min behind, about 3 min to go"
    mock.city.flow = {"mood": "catching_up", "headline": headline, "behind_s": 720.0, "left_s": 180.0}
    await expect(screen.page.locator("#connection-text")).to_have_text(headline, timeout=10_000)
    device = mock.city.device_of_kind("noise", 3)["device"]
    mock.raise_alarm(device, "noise-high", "critical", metric="laeq", unit="dB", raised_value=75.0)
    await expect(since).to_have_text(re.compile(r"^since \d\d:\d\d \(\d+ s; data 12 min behind\)$"), timeout=10_000)
    await screen.picture("catching-up")


async def test_a_database_that_is_away_makes_old_what_comes_from_it_and_only_that(
    screen: Screen, mock: MockServer
) -> None:
    page = screen.page
    mock.city.database_age = timedelta(minutes=3)
    await expect(page.locator("#stale")).to_have_text(
        re.compile(r"^Counts, alarms and ledger of 3 min ago; the database does not answer\."), timeout=10_000
    )
    opacity = "node => Number(getComputedStyle(node).opacity)"
    assert await page.locator("[data-tile='status.unaccounted']").evaluate(opacity) < 1
    assert await page.locator(".ledger-verdict").evaluate(opacity) < 1
    assert await page.locator("#map").evaluate(opacity) == 1
    await screen.picture("database-away")
    mock.city.database_age = timedelta(0)
    await expect(page.locator("#stale")).to_be_hidden(timeout=10_000)


async def test_a_control_center_that_is_away_is_told_with_the_age_and_no_hop_stays_green(
    screen: Screen, mock: MockServer
) -> None:
    page = screen.page
    await expect(page.locator("#chain .hop[data-part='kafka']")).to_have_attribute("data-state", "fine")
    mock.wire.refuse = True
    mock.wire.drop()
    await expect(page.locator("#stale")).to_have_text(
        re.compile(r"^Data of \d+ s ago; the control center does not answer\.$"), timeout=10_000
    )
    await expect(page.locator("#chain .hop[data-state='fine']")).to_have_count(0)
    await screen.picture("control-away")
    mock.wire.refuse = False
    await expect(page.locator("#stale")).to_be_hidden(timeout=15_000)
    screen.complaints.clear()  # the browser logs each refused stream


async def test_the_silent_devices_of_a_gateway_that_is_away_are_one_line_with_all_of_them_beneath(
    screen: Screen, mock: MockServer
) -> None:
    page = screen.page
    before = await page.locator("#alarm-list > .alarm").count()
    mock.city.flow = GATEWAY_GONE
    silent = silence(mock, 119)  # and the one that was silent before
    group = page.locator(".alarm-group")
    await expect(group).to_have_count(1, timeout=10_000)
    await expect(group.locator(".alarm-group-title")).to_have_text(
        re.compile(r"^120 devices of gateway gw-1 are silent since \d\d:\d\d: the gateway does not answer$"),
        timeout=10_000,
    )
    await expect(page.locator("#alarm-list > .alarm")).to_have_count(before)  # the one of before went into the group
    await expect(page).to_have_title(re.compile(rf"^\({before - 1}\) "))  # one is acknowledged, the group counts once
    await expect(group.locator(".alarm-fold .alarm")).to_have_count(0)
    await group.get_by_role("button", name="Show all 120").click()
    await expect(group.locator(".alarm-fold .alarm")).to_have_count(120)
    await expect(group.locator(f".alarm[data-alarm='{silent[0]['alarm_id']}']")).to_have_count(1)
    await screen.picture("group-unfolded")
    await group.get_by_role("button", name="Fold 120").click()
    await expect(group.locator(".alarm-fold")).to_be_hidden()
    await screen.picture("group")


async def test_a_group_shrinks_as_its_devices_come_back_and_ends(screen: Screen, mock: MockServer) -> None:
    silent = silence(mock, 11)
    group = screen.page.locator(".alarm-group")
    await expect(group).to_contain_text("12 devices of gateway gw-1 are silent", timeout=10_000)
    mock.clear_alarm(silent[0], 0.0)
    await expect(group).to_contain_text("11 devices of gateway gw-1", timeout=10_000)
    for alarm in silent[1:]:
        mock.clear_alarm(alarm, 0.0)
    await expect(group).to_have_count(0, timeout=10_000)


async def test_a_group_is_acknowledged_at_once_by_name(screen: Screen, mock: MockServer) -> None:
    page = screen.page
    silent = silence(mock, 10)
    await page.locator(".alarm-group").get_by_role("button", name="Acknowledge all 11").click()
    await page.get_by_role("dialog").get_by_label("Name").fill("Lan")
    await page.keyboard.press("Enter")
    await expect(page.locator(".alarm-group")).to_have_attribute("data-state", "acknowledged", timeout=10_000)
    assert {mock.city.alarms[alarm["alarm_id"]]["acknowledged_by"] for alarm in silent} == {"Lan"}


async def test_the_ledger_shows_its_audit_and_says_when_rows_are_gone(screen: Screen, mock: MockServer) -> None:
    audit = screen.page.locator(".ledger-audit")
    await expect(audit).to_have_text(re.compile(r"^Rows audited \d\d:\d\d: missing 0, doubled 0, removed 100$"))
    mock.city.audit |= {"missing": 4, "doubled": 2}
    await expect(audit).to_have_attribute("data-mood", "bad", timeout=10_000)
    await expect(audit).to_contain_text("missing 4, doubled 2")
    await expect(screen.page.locator(".ledger-verdict")).to_have_attribute("data-mood", "bad")


async def test_dead_letters_are_shown_by_reason_with_the_newest_of_each(screen: Screen) -> None:
    page = screen.page
    await page.get_by_role("button", name="Dead letters").click()
    row = page.locator("[data-reason='unknown_metric']")
    await expect(row.locator("td").first).to_have_text("31")
    await expect(row).to_contain_text("no metric is called <b>pm99</b>")  # as text: payloads come from outside
    await expect(row.get_by_role("link")).to_have_attribute("href", "/api/v1/deadletters?reason=unknown_metric&limit=1")
    await screen.picture("dead-letters")
    await page.keyboard.press("Escape")
    await expect(row).to_be_hidden()


async def test_devices_with_a_wrong_clock_are_listed_while_there_are_some(browser: Browser, mock: MockServer) -> None:
    device = mock.city.device_of_kind("noise")
    mock.city.wrong_clocks = [
        {
            "device": device["device"],
            "offset": "+7 h 00 min",
            "text": "local time sent as UTC",
            "readings": 40,
            "last_seen": iso(now()),
        }
    ]
    context = await new_context(browser)
    page = await context.new_page()
    await page.goto(mock.url)
    await page.get_by_role("button", name="Wrong clocks: 1").click(timeout=30_000)
    row = page.locator(f"[data-dialog='clocks'] [data-device='{device['device']}']")
    await expect(row).to_contain_text(device["name"])
    await expect(row).to_contain_text("+7 h 00 min")
    await context.close()


async def test_a_page_opened_while_the_database_is_away_does_not_claim_that_there_are_no_alarms(
    browser: Browser, mock: MockServer
) -> None:
    paths = ("/api/v1/alarms", "/api/v1/devices", "/api/v1/series", "/api/v1/ledger")
    mock.wire.fail = dict.fromkeys(paths, 503)
    mock.city.database_age = timedelta(minutes=3)
    context = await new_context(browser, size=PHONE)
    page = await context.new_page()
    await page.goto(mock.url)
    await page.locator("#tabs [data-tab='alarms']").click()
    await expect(page.locator(".alarm-empty")).to_have_text("The alarms are not known yet.")
    await expect(page.locator("[data-tile='status.stale'] dd")).to_have_text("–")
    trouble = page.locator("#trouble")
    await expect(trouble).to_contain_text("The alarms could not be loaded", timeout=10_000)
    await expect(trouble).to_contain_text("The ledger could not be loaded", timeout=10_000)
    assert (await trouble.inner_text()).count("database unreachable") == 1
    mock.wire.fail, mock.city.database_age = {}, timedelta(0)
    await expect(page.locator(".alarm").first).to_be_visible(timeout=20_000)
    await context.close()


async def test_what_kafka_no_longer_had_is_listed_beside_the_ledger(screen: Screen, mock: MockServer) -> None:
    gap = screen.page.get_by_role("button", name="Gaps: 1")
    await expect(gap).to_have_count(0)
    mock.city.gaps = [
        {
            "topic": "city.readings.v1",
            "partition": 3,
            "from_offset": 100,
            "to_offset": 149,
            "reason": "retention",
            "readings": None,
            "seen_at": iso(now()),
        }
    ]
    await gap.click(timeout=20_000)
    row = screen.page.locator("[data-gap='city.readings.v1/3']")
    await expect(row).to_contain_text("100 to 149")
    await expect(row).to_contain_text("retention passed it")
