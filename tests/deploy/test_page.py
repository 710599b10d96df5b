"""When the page is built, and when it is not."""

from pathlib import Path

import pytest

from deploy.local import page
from deploy.local.trouble import Trouble


@pytest.fixture
def ui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: list[str]) -> Path:
    """Sources of a page whose npm is replaced by a record of what was asked of it."""
    monkeypatch.setenv("CITYNERVE_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "ui"
    (folder / "src").mkdir(parents=True)
    (folder / "package.json").write_text("{}")
    (folder / "package-lock.json").write_text("{}")
    (folder / "src/main.ts").write_text("one")

    def npm(ui: Path, *arguments: str) -> None:
        (ui / ("node_modules" if arguments == ("ci",) else "dist")).mkdir(exist_ok=True)
        asked.append(" ".join(arguments))

    monkeypatch.setattr(page, "_npm", npm)
    return folder


@pytest.fixture
def asked() -> list[str]:
    """What npm was asked, in order."""
    return []


def test_a_first_build_installs_and_builds_a_second_does_nothing(ui: Path, asked: list[str]) -> None:
    assert page.build_page(ui)
    assert asked == ["ci", "run build"]
    assert not page.build_page(ui)
    assert len(asked) == 2


def test_a_changed_source_builds_without_installing(ui: Path, asked: list[str]) -> None:
    page.build_page(ui)
    asked.clear()
    (ui / "src/main.ts").write_text("two")
    assert page.build_page(ui)
    assert asked == ["run build"]


def test_a_changed_lock_installs_again(ui: Path, asked: list[str]) -> None:
    page.build_page(ui)
    asked.clear()
    (ui / "package-lock.json").write_text('{"a": 1}')
    assert page.build_page(ui)
    assert asked == ["ci", "run build"]


def test_a_checkout_without_a_page_is_fine(tmp_path: Path) -> None:
    assert not page.build_page(tmp_path)


def test_a_failed_build_is_told_and_tried_again(ui: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(ui: Path, *arguments: str) -> None:
        msg = f"npm {arguments[0]} failed in {ui}: no space"
        raise Trouble(msg)

    with monkeypatch.context() as patched:
        patched.setattr(page, "_npm", fails)
        with pytest.raises(Trouble, match="npm ci failed"):
            page.build_page(ui)
    assert page.build_page(ui)
