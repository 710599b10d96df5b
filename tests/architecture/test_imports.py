"""Who may import whom: import-linter's contracts, and the rule they cannot express."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.architecture.tree import ROOT, STAGES, imports, parsed, python_files


def test_the_import_contracts_of_pyproject_are_kept() -> None:
    linter = Path(sys.executable).parent / "lint-imports"
    done = subprocess.run(
        [str(linter), "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def crossing(path: Path) -> list[str]:
    """Imports of a file that reach into another stage elsewhere than its contract."""
    own = path.parts[0]
    allowed = ("ingest",) if own == "simulators" else STAGES
    found = []
    for name in imports(path):
        stage, _, rest = name.partition(".")
        if stage in STAGES and stage != own and not (stage in allowed and rest.startswith("contract")):
            found.append(name)
    return found


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "deploy"])
def test_a_stage_imports_only_the_contracts_of_others(stage: str) -> None:
    assert python_files(stage)
    reaching = {str(path): names for path in python_files(stage) if (names := crossing(path))}
    assert reaching == {}


def test_the_rule_sees_every_way_of_importing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.architecture.tree.ROOT", tmp_path)
    (tmp_path / "processors").mkdir()
    planted = Path("processors/columns.py")
    lines = (
        "import ingest.admission",
        "from ingest import pipeline",
        "from ingest.contract import frame",
        "def later():",
        "    from ingest.decoders.senml import decode",
        "    from .windows import starts",
    )
    (tmp_path / planted).write_text("\n".join(lines), encoding="utf-8")
    assert crossing(planted) == ["ingest.admission", "ingest.pipeline", "ingest.decoders.senml.decode"]


def test_package_files_hold_a_docstring_and_nothing_else() -> None:
    for path in python_files(*STAGES):
        if path.name == "__init__.py":
            body = parsed(path).body
            assert len(body) == 1, f"{path} must hold its docstring only"
            assert isinstance(getattr(body[0], "value", None), type(parsed(path).body[0].value)), path  # type: ignore[attr-defined]


def test_production_code_never_imports_tests() -> None:
    for path in python_files(*STAGES):
        assert [name for name in imports(path) if name.split(".")[0] == "tests"] == [], path
