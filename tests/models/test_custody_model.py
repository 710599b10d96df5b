"""The Spin model of custody: its assertions hold, and each protection taken away breaks the one it is there for."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

MODEL = Path(__file__).parents[2] / "docs" / "model" / "custody.pml"

_HARM = {
    "ACK_BEFORE_KAFKA": "behind[m]",
    "NO_GENERATION": "==next_ack)",
    "NO_ORDER": "==next_ack)",
    "NO_FENCE": "(owner==token)",
    "NO_SEQUENCE": "rows[log_message[q]]<=1",
    "CURSOR_AFTER": "rows[log_message[q]]<=1",
    "CURSOR_BEFORE": "acked[0]",
    "RETRY_COMMIT": "moved_by[q]==0",
}
"""Protection taken away -> the assertion that fails; `acked[0]` is in the formula `no_acked_reading_lost` only."""
_LATER_HARM = {
    ("NO_FENCE", 1): "rows[log_message[q]]<=1",
    ("RETRY_COMMIT", 1): "rows[log_message[q]]<=1",
    ("NO_GENERATION", 2): "behind[m]",
}
"""(Protection taken away, faults of the gateway) -> what fails where the first assertion is not looked at."""


@pytest.fixture(scope="module", autouse=True)
def tools() -> None:
    for tool in ("spin", "cc"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not on PATH; docs/model/README.md says how to install it")


def search(folder: Path, *defines: str, faults: int = 1, compiled: tuple[str, ...] = ()) -> str:
    """What the exhaustive search prints."""
    for command in (
        ["spin", *defines, f"-DGATEWAY_FAULTS={faults}", "-a", str(MODEL)],
        ["cc", "-O1", "-w", "-DSAFETY", "-DCOLLAPSE", *compiled, "-o", "pan", "pan.c"],
    ):
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
    answer = subprocess.run(["./pan", "-m100000"], cwd=folder, check=False, capture_output=True, text=True, timeout=120)
    return answer.stdout


def violated(output: str) -> str:
    """The assertion that ended the search."""
    assert "errors: 1" in output, output
    return next(line for line in output.splitlines() if "assertion violated" in line).replace(" ", "")


@pytest.mark.parametrize("claim", ["no_acked_reading_lost", None])
def test_nothing_acknowledged_is_lost_and_nothing_is_stored_twice(tmp_path: Path, claim: str | None) -> None:
    """With the formula; and without it, where Spin looks for processes that are stuck, too."""
    output = search(tmp_path, compiled=() if claim else ("-DNOCLAIM",))
    assert ("never claim         \t+ (no_acked_reading_lost)" in output) == (claim is not None), output
    assert "errors: 0" in output, output
    assert "max search depth too small" not in output
    assert "Search not completed" not in output
    unreached = output.split("unreached in proctype AtRest")[1]
    assert unreached.lstrip().startswith("(0 of"), "the end was never looked at"


@pytest.mark.parametrize("missing", _HARM)
def test_each_protection_is_needed(tmp_path: Path, missing: str) -> None:
    assert _HARM[missing] in violated(search(tmp_path, f"-D{missing}"))


@pytest.mark.parametrize(("missing", "faults"), _LATER_HARM)
def test_what_is_broken_first_does_harm_later(tmp_path: Path, missing: str, faults: int) -> None:
    output = search(tmp_path, f"-D{missing}", "-DLATER_HARM", faults=faults)
    assert _LATER_HARM[missing, faults] in violated(output)
