"""Cache entries: built whole or not at all, once, by one process at a time."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from deploy.local import cache_entry
from deploy.local.cache_entry import cached
from deploy.local.trouble import Trouble


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CITYNERVE_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def builder(content: str, counter: list[str]) -> Callable[[Path, Path], None]:
    def build(folder: Path, final: Path) -> None:
        counter.append(str(final))
        (folder / "file").write_text(content)

    return build


def test_an_entry_is_built_once_and_found_again() -> None:
    built: list[str] = []
    first = cached("thing", "recipe 1", builder("one", built))
    second = cached("thing", "recipe 1", builder("two", built))
    assert first == second
    assert (first / "file").read_text() == "one"
    assert built == [str(first)]


def test_another_recipe_builds_it_anew() -> None:
    built: list[str] = []
    cached("thing", "recipe 1", builder("one", built))
    assert (cached("thing", "recipe 2", builder("two", built)) / "file").read_text() == "two"


def test_a_moved_cache_is_built_anew_because_programs_hold_their_place(own_cache: Path) -> None:
    built: list[str] = []
    cached("thing", "recipe", builder("one", built))
    moved = own_cache / "moved-thing"
    (own_cache / "thing").rename(moved)
    assert (cached("moved-thing", "recipe", builder("two", built)) / "file").read_text() == "two"


def test_a_build_that_fails_leaves_nothing_and_the_old_entry_in_place(own_cache: Path) -> None:
    cached("thing", "recipe 1", builder("one", []))

    def fails(folder: Path, final: Path) -> None:
        del final
        (folder / "half").touch()
        raise Trouble("no network")

    with pytest.raises(Trouble, match="no network"):
        cached("thing", "recipe 2", fails)
    assert sorted(path.name for path in own_cache.iterdir()) == ["locks", "thing"]
    assert (own_cache / "thing/file").read_text() == "one"


def test_what_a_killed_build_left_is_removed_by_the_next(own_cache: Path) -> None:
    (own_cache / ".thing-1234").mkdir(parents=True)
    (own_cache / ".thing-1234/half").touch()
    cached("thing", "recipe", builder("one", []))
    assert sorted(path.name for path in own_cache.iterdir()) == ["locks", "thing"]


def test_two_at_once_build_it_once() -> None:
    built: list[str] = []
    gate = threading.Barrier(2)

    def slow(folder: Path, final: Path) -> None:
        time.sleep(0.3)
        builder("one", built)(folder, final)

    def ask() -> Path:
        gate.wait(5)
        return cached("thing", "recipe", slow)

    with ThreadPoolExecutor(2) as pool:
        asked = [pool.submit(ask) for _ in range(2)]
        assert {answer.result(20) for answer in asked} == {cached("thing", "recipe", slow)}
    assert len(built) == 1


def test_a_folder_that_may_not_be_made_is_told_with_the_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Trouble, match="CITYNERVE_CACHE"):
        cache_entry.make_folder(tmp_path / "file/folder")


def test_too_little_disk_is_told_with_both_numbers(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match=r"unpacking needs 99000000000 MB and the disk of .* has \d+ MB free"):
        cache_entry.need_space(tmp_path, 99_000_000_000, "unpacking")
