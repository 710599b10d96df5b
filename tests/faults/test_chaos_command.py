"""`citynerve chaos` as it is typed: the list, mistakes, and the order of faults."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy.chaos.faults import FAULTS
from deploy.chaos_commands import _order, chaos


def test_the_list_names_every_fault() -> None:
    done = CliRunner().invoke(chaos, ["--list"])
    assert done.exit_code == 0
    assert [line.split()[0] for line in done.output.splitlines()] == list(FAULTS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--fault", "kill-everything"], "there is no fault kill-everything; `citynerve chaos --list` names them all"),
        (["--report", "nowhere/at/all.html"], "for the report"),
        (["--for", "soon"], "soon"),
        (["--rate", "0"], "0"),
    ],
)
def test_a_mistake_is_a_sentence_and_starts_nothing(
    arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(chaos, arguments)
    assert done.exit_code == 2
    assert said in done.output


def test_the_same_seed_is_the_same_order_and_each_fault_comes_once() -> None:
    first, again = list(_order([], list(FAULTS), None, 7)), list(_order([], list(FAULTS), None, 7))
    assert first == again
    assert sorted(first) == sorted(FAULTS)
    assert list(_order([], list(FAULTS), None, 8)) != first


def test_named_faults_come_as_named_and_again_until_the_time_is_over() -> None:
    assert list(_order(["lock", "backends"], list(FAULTS), None, 1)) == ["lock", "backends"]
    assert list(_order(["lock"], list(FAULTS), -1.0, 1)) == []
    endless = _order(["lock", "backends"], list(FAULTS), 60.0, 1)
    assert [next(endless) for _ in range(3)] == ["lock", "backends", "lock"]


def test_faults_of_one_kind_of_arena_stand_together_so_that_each_is_built_once() -> None:
    named = ["lock", "cluster-one-killed", "backends", "cluster-rolling"]
    assert list(_order(named, list(FAULTS), None, 1)) == ["lock", "backends", "cluster-one-killed", "cluster-rolling"]
    kinds = [FAULTS[name].arena for name in _order([], list(FAULTS), None, 7)]
    assert sum(before is not after for before, after in pairwise(kinds)) == len(set(kinds)) - 1
