"""The systemd units: commands and settings that exist, one port each, closed as far as the programs allow."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from deploy.local.ports import default_ports
from tests.architecture.command_line import problem
from tests.ops.test_compose import MODELS

UNITS = sorted((Path(__file__).parents[2] / "deploy/systemd").glob("*.service"))
EXPOSURE_AT_MOST = "20"
"""In tenths, as systemd-analyze counts; 0 is closed, 100 is open."""


def values(unit: Path, name: str) -> list[str]:
    """Every value of a setting of a unit."""
    return re.findall(rf"^{name}=(.*)$", unit.read_text(encoding="utf-8"), re.MULTILINE)


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: str(path.name))
def test_a_unit_runs_a_command_that_exists_with_settings_that_exist(unit: Path) -> None:
    (command,) = values(unit, "ExecStart")
    program, _, rest = command.partition(" ")
    assert program == "/opt/citynerve/.venv/bin/citynerve"
    assert problem(f"citynerve {rest.replace('%H-%i', 'host-1')}") is None
    for setting in values(unit, "Environment"):
        section, field = setting.partition("=")[0].removeprefix("CITYNERVE_").lower().split("__")
        assert field in MODELS[section].model_fields


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: str(path.name))
def test_a_wrong_setting_is_not_tried_for_ever(unit: Path) -> None:
    assert values(unit, "RestartPreventExitStatus") == ["2"]
    assert values(unit, "Restart") == ["always"]


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: str(path.name))
def test_systemd_knows_every_setting_and_finds_the_unit_closed(unit: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed here")
    verify = ["systemd-analyze", "verify", "--man=no", str(unit)]
    said = subprocess.run(verify, capture_output=True, text=True, timeout=60, check=False).stderr
    assert [
        line for line in said.splitlines() if "is not executable" not in line and unit.stem.partition("@")[0] in line
    ] == []
    security = [
        "systemd-analyze",
        "security",
        "--offline=yes",
        "--no-pager",
        f"--threshold={EXPOSURE_AT_MOST}",
        str(unit),
    ]
    done = subprocess.run(security, capture_output=True, text=True, timeout=60, check=False)
    if "Unrecognized option" in done.stderr or "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze cannot judge a file")
    assert done.returncode == 0, done.stdout[-300:] + done.stderr


def test_processors_beside_the_other_services_have_ports_of_their_own() -> None:
    (unit,) = [unit for unit in UNITS if "process" in unit.name]
    (setting,) = values(unit, "Environment")
    ports = {int(setting.partition("=")[2].replace("%i", str(number))) for number in range(1, 10)}
    assert len(ports) == 9
    assert not ports & set(default_ports("demo").values())
