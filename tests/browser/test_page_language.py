"""English and Vietnamese, whole: on the page, and in the catalogue and the sources."""

from __future__ import annotations

import json
import re
import subprocess
import sysconfig
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page, expect

from deploy.local.page import UI
from tests.browser.conftest import MockServer, Screen, new_context

SOURCES = sorted((UI / "src").rglob("*.ts"))
CATALOGUE = {language: json.loads((UI / "src" / "text" / f"{language}.json").read_text()) for language in ("en", "vi")}
SAME_IN_BOTH = re.compile(
    r"^(metric\.(pm|no|so|co|eco|tvoc|hcho|nh3|h2s|ph$).*|language\..*|chain\.kafka|alarms\.group_because|trouble\.sentence|trend\.line\.leq|column\.special)$"
)


async def leftovers(page: Page, language: str) -> list[str]:
    """Texts of elements that name a key and show something else than the language's text."""
    shown = await page.evaluate(
        "[...document.querySelectorAll('[data-t]')].map(node => [node.dataset.t, node.textContent])"
    )
    return [key for key, text in shown if CATALOGUE[language][key] != text]


@pytest.mark.browser
@pytest.mark.asyncio(loop_scope="module")
async def test_the_language_can_be_switched_and_is_remembered(screen: Screen) -> None:
    page = screen.page
    assert await leftovers(page, "en") == []
    await page.get_by_role("button", name="VI", exact=True).click()
    await expect(page.locator("html")).to_have_attribute("lang", "vi")
    await expect(page.locator("#alarms-title")).to_have_text("Cảnh báo")
    await expect(page.locator(".alarm").first).to_contain_text("Mực nước nguy hiểm")  # the server's texts too
    await expect(page.locator(".alarm").first.get_by_role("button", name="Xác nhận")).to_have_text("Xác nhận")
    await expect(page.locator("#map-legend")).to_contain_text("Chất lượng không khí")
    await expect(page.locator("[data-tile='status.lag'] dd")).to_have_text(re.compile(r"^0,\d giây$"))
    assert await leftovers(page, "vi") == []
    await screen.picture("vietnamese")
    await page.reload()
    await expect(page.locator("html")).to_have_attribute("lang", "vi")
    await expect(page.locator("#connection-text")).to_have_text("Trực tiếp")


@pytest.mark.browser
@pytest.mark.asyncio(loop_scope="module")
async def test_an_alarm_raised_later_comes_in_the_chosen_language(screen: Screen, mock: MockServer) -> None:
    await screen.page.get_by_role("button", name="VI", exact=True).click()
    await expect(screen.page.locator("#connection-text")).to_have_text("Trực tiếp")
    await expect(screen.page.locator(".alarm")).to_have_count(5)
    await screen.page.wait_for_timeout(1000)
    mock.raise_alarm(
        mock.city.device_of_kind("noise")["device"],
        "noise-high",
        "warning",
        metric="laeq",
        unit="dB",
        raised_value=75.0,
    )
    newest = screen.page.locator(".alarm[data-severity='warning']").first  # a critical one stands before it
    await expect(newest).to_contain_text("Tiếng ồn vượt ngưỡng ban đêm")


@pytest.mark.browser
@pytest.mark.asyncio(loop_scope="module")
async def test_a_vietnamese_browser_starts_in_vietnamese(browser: Browser, mock: MockServer) -> None:
    context = await new_context(browser, locale="vi-VN")
    page = await context.new_page()
    await page.goto(mock.url)
    await expect(page.locator("#alarms-title")).to_have_text("Cảnh báo")
    await context.close()


def test_both_languages_have_the_same_keys_and_placeholders() -> None:
    english, vietnamese = CATALOGUE["en"], CATALOGUE["vi"]
    assert list(english) == list(vietnamese)
    for key, text in english.items():
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", vietnamese[key])), key
        assert text.strip(), key
        assert vietnamese[key].strip(), key


def test_no_text_was_left_untranslated() -> None:
    same = [
        key for key, text in CATALOGUE["en"].items() if CATALOGUE["vi"][key] == text and not SAME_IN_BOTH.match(key)
    ]
    assert same == []


def test_every_key_is_used_and_every_used_key_exists() -> None:
    everything = "\n".join(path.read_text() for path in [*SOURCES, UI / "index.html"])
    computed = (*re.findall(r"`((?:\w+\.)+)\$\{", everything), "metric.", "kind.", "column.", "source.")
    unused = [key for key in CATALOGUE["en"] if f'"{key}"' not in everything and not key.startswith(computed)]
    assert unused == []
    named = re.findall(
        r"""(?:data-t(?:-label|-title|-placeholder)?=|\bt\(|\bt\w*: )"([a-z_0-9]+(?:\.[a-z_0-9]+)+)\"""", everything
    )
    assert [key for key in named if key not in CATALOGUE["en"]] == []


def test_every_metric_of_the_catalogue_has_a_name() -> None:
    from ingest.contract.sensor_kinds import METRICS

    assert [metric for metric in METRICS if f"metric.{metric}" not in CATALOGUE["en"]] == []


def test_no_text_is_written_into_the_sources() -> None:
    page = (UI / "index.html").read_text()
    visible = re.sub(r"<[^>]*>|CityNerve", "", page[page.index("<body") :])
    assert re.findall(r"\w+", visible) == []
    assert re.findall(r'(?:aria-label|title|placeholder|alt)="([^"]+)"', page) == []
    for path in SOURCES:
        assert hard_coded(path) == [], path


def hard_coded(path: Path) -> list[str]:
    """String literals that a person would read: they hold two words of prose, or letters beyond ASCII."""
    code = re.sub(r"//[^\n]*|/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
    code = re.sub(r"new (?:Error|ApiError)\([^)]*\)|console\.\w+\([^)]*\)", "", code)
    literals = [literal for pair in re.findall(r'"([^"\n]*)"|`([^`]*)`', code) for literal in pair if literal]
    shown = re.findall(r"""(?:textContent = |ariaLabel = |title = |text: )["`]([^"`$]*[A-Za-z]{2}[^"`$]*)["`]""", code)
    prose = [
        literal
        for literal in literals
        if re.search(r"\b[A-Z][a-z]+ [a-z]{2,}|[a-z]{3,} [a-z]{2,} [a-z]{3,}\b.*[.?!]", literal)
    ]
    foreign = [literal for literal in literals if re.search(r"[À-ỹ]", literal)]
    return shown + prose + foreign


def test_the_search_for_hard_coded_text_finds_some(tmp_path: Path) -> None:
    for code in ('node.textContent = "Acknowledge";', 'const a = "Không có";', 'say("Device is silent");'):
        (tmp_path / "x.ts").write_text(code)
        assert hard_coded(tmp_path / "x.ts"), code


def test_the_pure_parts_of_the_page_pass_their_own_tests(dist: Path) -> None:
    assert dist.is_dir()
    npm = Path(sysconfig.get_path("scripts")) / "node"
    tests = sorted(str(path) for path in (UI / "test").glob("*.test.ts"))
    done = subprocess.run(
        [str(npm), "--test", *tests], cwd=UI, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout[-3000:]
