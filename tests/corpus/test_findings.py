"""Every input that ever broke a promise: it has its verdict now, and no other reader chokes on it either."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

FINDINGS = Path(__file__).parent / "findings"
VERDICTS: dict[str, str] = json.loads((FINDINGS / "verdicts.json").read_text())
KEPT = sorted(FINDINGS.glob("*/*.bin"))


def case_name(path: Path) -> str:
    """Its key in verdicts.json."""
    return f"{path.parent.name}/{path.name}"


@pytest.mark.parametrize("path", KEPT, ids=case_name)
def test_a_finding_has_its_verdict(path: Path) -> None:
    data = path.read_bytes()
    assert path.stem == hashlib.sha256(data).hexdigest()[:16], "the file was changed after it was kept"
    assert TARGETS[path.parent.name](data) == VERDICTS[case_name(path)]


@pytest.mark.parametrize("target", TARGETS)
def test_no_reader_chokes_on_what_broke_another(target: str) -> None:
    assert all(TARGETS[target](path.read_bytes()) for path in KEPT)


def test_every_finding_has_a_verdict_and_every_verdict_its_finding() -> None:
    assert {case_name(path) for path in KEPT} == set(VERDICTS)


@pytest.mark.parametrize("target", TARGETS)
def test_the_fuzzer_starts_from_inputs_that_work(target: str) -> None:
    verdicts = {TARGETS[target](seed) for seed in seeds()[target]}
    assert len(verdicts) > 1
