"""One arena at a time: the next kind is built when the one before is gone."""

from __future__ import annotations

from pathlib import Path
from typing import Self, cast

import pytest

from deploy.chaos import arenas
from deploy.chaos.arena import Arena
from deploy.chaos.arenas import Arenas
from deploy.chaos.faults import Fault
from deploy.chaos.trial import Plan, Result

said: list[str] = []


class One:
    """Stands in for an arena: says what happens to it."""

    folder = Path("kept")

    def __enter__(self) -> Self:
        said.append(f"{type(self).__name__} up")
        return self

    def keep(self) -> None:
        """Its logs stay."""
        said.append(f"{type(self).__name__} kept")

    def close(self) -> None:
        """Gone."""
        said.append(f"{type(self).__name__} down")


class Three(One):
    """Another kind."""


class FakeTrials:
    """Every trial of a fault named "bad" fails."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena

    def run(self, name: str, plan: Plan) -> Result:
        """The result and nothing else."""
        del plan
        return Result(name, problems=["bad"] if name == "bad" else [])


@pytest.fixture(autouse=True)
def _fakes(monkeypatch: pytest.MonkeyPatch) -> None:
    said.clear()
    kinds = {"first": One, "second": One, "third": Three, "bad": One}
    faults = {name: Fault(name, lambda _: None, cast("type[Arena]", kind)) for name, kind in kinds.items()}
    monkeypatch.setattr(arenas, "FAULTS", faults)
    monkeypatch.setattr(arenas, "Trials", FakeTrials)


def test_an_arena_serves_all_faults_of_its_kind_and_is_gone_before_the_next_is_built() -> None:
    with Arenas() as several:
        for name in ("first", "second", "third"):
            several.run(name, Plan())
    assert said == ["One up", "One down", "Three up", "Three down"]


def test_the_arena_of_a_failed_trial_is_kept_and_no_other() -> None:
    with Arenas() as several:
        for name in ("bad", "third", "first"):
            several.run(name, Plan())
    assert said == ["One up", "One kept", "One down", "Three up", "Three down", "One up", "One down"]


def test_after_a_failed_trial_the_next_gets_a_new_arena() -> None:
    with Arenas() as several:
        for name in ("bad", "first", "second"):
            several.run(name, Plan())
    assert said == ["One up", "One kept", "One down", "One up", "One down"]


def test_nothing_is_built_where_nothing_is_thrown() -> None:
    with Arenas():
        pass
    assert said == []


def test_faults_are_grouped_in_the_order_in_which_their_kinds_first_come() -> None:
    assert arenas.grouped(["third", "second", "first"]) == ["third", "second", "first"]
    assert arenas.grouped(["first", "third", "second"]) == ["first", "second", "third"]
