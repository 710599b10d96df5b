"""The Spin model of custody: its assertions hold, and each protection taken away breaks the one it is there for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

MODEL = Path(__file__).parents[2] / "docs" / "model" / "custody.pml"

_HARM = {
    "ACK_BEFORE_KAFKA": "in_log[m]",
    "NO_GENERATION": "==next_ack)",
    "NO_ORDER": "==next_ack)",
    "NO_FENCE": "(owner==token)",
    "NO_SEQUENCE": "rows[log_message[q]]<=1",
    "CURSOR_AFTER": "rows[log_message[q]]<=1",
    "CURSOR_BEFORE": "rows[log_message[q]]>=1",
    "RETRY_COMMIT": "moved_by[q]==0",
}
"""Protection taken away -> the assertion that fails."""


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    for tool in ("spin", "cc"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not on PATH; docs/model/README.md says how to install it")


def search(folder: Path, *defines: str) -> str:
    """What the exhaustive search prints."""
    for command in (
        ["spin", *defines, "-DGATEWAY_FAULTS=1", "-a", str(MODEL)],
        ["cc", "-O1", "-w", "-DSAFETY", "-DCOLLAPSE", "-o", "pan", "pan.c"],
    ):
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
    answer = subprocess.run(["./pan", "-m100000"], cwd=folder, check=False, capture_output=True, text=True, timeout=120)
    return answer.stdout


def test_nothing_acknowledged_is_lost_and_nothing_is_stored_twice(tmp_path: Path) -> None:
    output = search(tmp_path)
    assert "errors: 0" in output, output
    assert "max search depth too small" not in output
    assert "Search not completed" not in output


@pytest.mark.parametrize("missing", _HARM)
def test_each_protection_is_needed(tmp_path: Path, missing: str) -> None:
    output = search(tmp_path, f"-D{missing}")
    assert "errors: 1" in output, output
    violated = next(line for line in output.splitlines() if "assertion violated" in line)
    assert _HARM[missing] in violated.replace(" ", "")
