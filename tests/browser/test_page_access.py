"""Who cannot use a mouse, has no WebGL, holds a phone, or sees little contrast."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, async_playwright, expect

from tests.browser.conftest import NO_WEBGL, PHONE, QUIET, MockServer, Screen, new_context

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

CONTRAST = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) ?? []).map(Number);
  const light = ([r, g, b]) => {
    const part = (c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * (top[3] ?? 1) + under[i] * (1 - (top[3] ?? 1)));
  const ground = (node) => {
    const layers = [];
    for (let at = node; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((under, top) => (top.length ? over(top, under) : under), [0, 0, 0]);
  };
  const poor = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!own || !node.checkVisibility() || node.closest(".visually-hidden, .map")) continue;
    const style = getComputedStyle(node);
    const under = ground(node);
    const [a, b] = [light(over(parse(style.color), under)), light(under)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    const size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) poor.push(`${ratio.toFixed(2)} ${node.className} ${node.textContent.slice(0, 30)}`);
  }
  return poor;
}"""

NAMELESS = """() => [...document.querySelectorAll("button, input, [role=combobox], section, nav, dialog")]
  .filter((node) => node.checkVisibility())
  .filter((node) => !(node.ariaLabel || node.textContent.trim() || node.labels?.length
    || document.getElementById(node.getAttribute("aria-labelledby"))?.textContent))
  .map((node) => node.outerHTML.slice(0, 120))"""

HEIGHTS = """() => [...document.querySelectorAll(".tab, .segment, .button")]
  .filter((node) => node.checkVisibility()).map((node) => node.offsetHeight)"""


async def open_page(browser: Browser, mock: MockServer, size: dict[str, int]) -> Page:
    context = await new_context(browser, size=size)
    page = await context.new_page()
    await page.goto(mock.url)
    await expect(page.locator("#map")).to_have_attribute("data-points", re.compile(r"\d+"), timeout=20_000)
    return page


async def test_an_alarm_can_be_acknowledged_with_the_keyboard_alone(screen: Screen, mock: MockServer) -> None:
    page = screen.page
    await expect(page.locator(".alarm")).to_have_count(5)
    await page.keyboard.press("Tab")
    await expect(page.locator(".skip")).to_be_focused()
    await page.keyboard.press("Enter")
    for _ in range(8):
        await page.keyboard.press("Tab")
        if await page.evaluate("document.activeElement.classList.contains('acknowledge')"):
            break
    await page.keyboard.press("Enter")
    await page.keyboard.type("Lan")
    await page.keyboard.press("Enter")
    newest = max(mock.city.alarms.values(), key=lambda alarm: str(alarm["raised_at"]))
    card = page.locator(f".alarm[data-alarm='{newest['alarm_id']}']")  # no longer the first: somebody takes care of it
    await expect(card).to_have_attribute("data-state", "acknowledged")
    assert newest["acknowledged_by"] == "Lan"


async def test_escape_closes_the_device_and_gives_the_focus_back(screen: Screen) -> None:
    page = screen.page
    title = page.locator(".alarm-title").first
    await title.focus()
    await page.keyboard.press("Enter")
    await expect(page.locator("#device-panel")).to_be_visible()
    await page.locator(".series").first.focus()
    await page.keyboard.press("Escape")
    await expect(page.locator("#device-panel")).to_be_hidden()
    await expect(title).to_be_focused()


async def test_every_control_has_a_name_and_no_id_is_there_twice(screen: Screen) -> None:
    await screen.page.locator(".alarm-title").first.click()
    await expect(screen.page.locator(".series").first).to_be_visible()
    assert await screen.page.evaluate(NAMELESS) == []
    assert (
        await screen.page.evaluate(
            "[...document.querySelectorAll('[id]')].map(n => n.id).filter((id, i, all) => all.indexOf(id) !== i)"
        )
        == []
    )


async def test_texts_have_the_contrast_of_wcag_aa(screen: Screen) -> None:
    await screen.page.get_by_role("button", name="All", exact=True).click()
    await screen.page.locator(".alarm-title").first.click()
    await expect(screen.page.locator(".series").first).to_be_visible()
    assert await screen.page.evaluate(CONTRAST) == []


async def test_a_phone_shows_one_section_at_a_time_and_never_scrolls_sideways(
    browser: Browser, mock: MockServer
) -> None:
    page = await open_page(browser, mock, PHONE)
    panels = {"Map": "#map-panel", "Alarms": "#alarms", "Ledger": "#ledger"}
    for tab, panel in panels.items():
        await page.locator(".tab", has_text=tab).click()
        for other in panels.values():
            await expect(page.locator(other)).to_be_visible(visible=other == panel)
        assert await page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
        await page.screenshot(path=Path(__file__).parent / "out" / f"phone-{tab.lower()}.png")
    await page.locator(".tab", has_text="Device").click()
    await expect(page.locator(".device-none")).to_have_text(
        "Choose a device on the map, by the search or from an alarm."
    )
    await page.locator(".tab", has_text="Alarms").click()
    await page.locator(".alarm-title").first.click()
    await expect(page.locator("#device-panel")).to_be_visible()
    await expect(page.locator(".trend-chart canvas")).to_be_visible()
    sizes = await page.evaluate(HEIGHTS)
    assert min(sizes) >= 24  # WCAG 2.2, target size
    await page.screenshot(path=Path(__file__).parent / "out" / "phone-device.png")
    await page.context.close()


async def test_without_webgl_a_plain_map_is_drawn_and_says_so(chromium_path: Path, mock: MockServer) -> None:
    async with async_playwright() as playwright:
        blind = await playwright.chromium.launch(executable_path=chromium_path, args=[*QUIET, *NO_WEBGL])
        page = await open_page(blind, mock, {"width": 1280, "height": 720})
        await expect(page.locator("#map")).to_have_attribute("data-map", "plain")
        await expect(page.locator("#map-note")).to_contain_text("This browser has no WebGL, so a plain map is shown.")
        device = mock.city.device_of_kind("weather")
        await page.get_by_role("combobox").fill(device["device"])
        await page.keyboard.press("Enter")
        await page.get_by_role("button", name="Close").click()
        await page.locator(".plain-map").click()  # its middle: the device that was looked at
        await expect(page.locator(".device-name")).to_have_text(device["name"])
        await page.get_by_role("button", name="Show the whole city").click()
        await page.wait_for_timeout(300)
        await page.screenshot(path=Path(__file__).parent / "out" / "plain-map.png")
        await blind.close()
