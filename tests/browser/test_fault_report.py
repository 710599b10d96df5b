"""The faults' report as a person opens it: it asks nobody for anything, its links lead to pictures, it fits a desk, a phone and paper."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from deploy.chaos.faults import FAULTS
from deploy.chaos.memory import MIB, Growth
from deploy.chaos.report_page import page
from deploy.chaos.sampling import Sample
from deploy.chaos.trial import Result
from tests.browser.conftest import DESK, PHONE, Screen, new_context

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


def trials() -> list[Result]:
    """Every fault as if it had been thrown; one of them has cost a reading."""
    memory = {"ingest": 110 * MIB, "process": 140 * MIB, "control": 120 * MIB}
    looks = [Sample(n / 2, 700 * n, 690 * n, 0, 0.1 * n, 5e4 * n, 0.3, memory) for n in range(60)]
    found = [
        Result(
            name, readings=20_000, recovery_s=5.0, latency_back_s=7.0, began_s=5.0, ended_s=15.0, samples=looks,
            growths=[Growth(part, taken, taken + MIB, taken) for part, taken in memory.items()],
        )
        for name in FAULTS
    ]  # fmt: skip
    found[3].lost = 1
    return found


@pytest.fixture
def report(tmp_path: Path) -> str:
    path = tmp_path / "what-if.html"
    path.write_text(page(trials(), 7, 3000.0), encoding="utf-8")
    return path.as_uri()


@pytest.mark.parametrize(("size", "scheme"), [(DESK, "light"), (DESK, "dark"), (PHONE, "light")])
async def test_the_report_opens_alone_and_its_links_lead_to_the_pictures(
    browser: Browser, report: str, size: dict[str, int], scheme: str
) -> None:
    context = await new_context(browser, size=size)
    screen = Screen(await context.new_page())
    screen.watch()
    asked: list[str] = []
    screen.page.on("request", lambda request: asked.append(request.url))
    await screen.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    await screen.page.goto(report)
    assert asked == [report]
    await screen.picture(f"fault-report-{size['width']}-{scheme}")
    await expect(screen.page.locator(".verdict.failed")).to_have_text(re.compile(r"^1 of \d+ faults were not survived"))
    await screen.page.get_by_role("link", name="Kill -9 of mosquitto, twice").click()
    place = list(FAULTS).index("kill-mosquitto") + 1
    await expect(screen.page.locator(f"#t{place} svg")).to_be_in_viewport()
    wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
    assert await screen.page.evaluate(wider) <= 0
    assert await screen.page.locator("section.trial svg").count() == len(FAULTS)
    await context.close()
    assert screen.complaints == []


async def test_no_picture_is_cut_in_two_on_paper(browser: Browser, report: str) -> None:
    context = await new_context(browser)
    opened = await context.new_page()
    await opened.goto(report)
    await opened.emulate_media(media="print")
    broken = "[...document.querySelectorAll('section.trial')].map(s => getComputedStyle(s).breakInside)"
    assert set(await opened.evaluate(broken)) == {"avoid"}
    ink = "getComputedStyle(document.body).color"
    assert await opened.evaluate(ink) == "rgb(0, 0, 0)", "black on white, whatever the screen's colours are"
    assert len(await opened.pdf(format="A4")) > 10_000
    await context.close()
