"""The command line as a person types it, mistakes included."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from deploy.cli import main
from ingest.contract.moments import Moment, duration_s
from simulators.options import Speed


def citynerve(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(main, ["simulate", *arguments], env=env)


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("15m", 900), ("1.5h", 5400), ("7d", 604_800), ("42", 42)])
def test_durations_are_read(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["city", "--speed", "fast"], "'fast' is no speed"),
        (["city", "--speed", "0"], "'0' is no speed"),
        (["city", "--from", "yesterday"], "'yesterday' is no time"),
        (["city", "--from", "2026-01-01T00:00:00"], "has no zone"),
        (["city", "--for", "long"], "'long' is no duration"),
        (["city", "--devices", "3"], "3 is not in the range"),
        (["replay", "--csv", "x.csv", "--time", "t", "--device", "d"], "say what to send"),
        (
            ["replay", "--csv", "x.csv", "--time", "t", "--device", "d", "--metric", "laeq"],
            "--metric and --value belong together",
        ),
        (["replay", "--csv", "x.csv", "--time", "t", "--device", "d", "--map", "laeq"], "write COLUMN=METRIC"),
        (
            ["replay", "--csv", "x.csv", "--time", "t", "--device", "d", "--map", "v=loud"],
            "'loud' is not a known metric",
        ),
        (
            ["replay", "--csv", "absent.csv", "--time", "t", "--device", "d", "--map", "v=laeq"],
            "cannot read absent.csv",
        ),
        (["score", "--ledger", "absent"], "cannot read the ledger file absent"),
    ],
)
def test_a_mistake_gets_one_sentence_and_exit_code_2(arguments: list[str], said: str) -> None:
    result = citynerve(*arguments)
    assert result.exit_code == 2
    assert said in result.output.replace("\n", " ")
    assert "Traceback" not in result.output


@pytest.mark.parametrize("command", ["city", "replay", "score"])
def test_help_shows_an_example(command: str) -> None:
    result = citynerve(command, "--help")
    assert result.exit_code == 0
    assert "Example: citynerve simulate" in " ".join(result.output.split())


def test_speed_and_moment_take_their_words() -> None:
    assert Speed().convert("max", None, None) == float("inf")
    assert Speed().convert("480x", None, None) == 480.0
    assert Moment().convert("2026-01-01T01:00:00+01:00", None, None) == 1_767_225_600


def test_devices_are_written_for_import(tmp_path: Path) -> None:
    result = citynerve("city", "--devices", "50", "--write-devices", str(tmp_path / "d.csv"))
    assert result.exit_code == 0
    lines = (tmp_path / "d.csv").read_text().splitlines()
    assert lines[0] == "device,name,kind,district,latitude,longitude,expected_interval_s"
    assert len(lines) == 51
    refused = citynerve("city", "--write-devices", str(tmp_path / "no" / "d.csv"))
    assert (refused.exit_code, "cannot write" in refused.output) == (2, True)


def test_a_recording_can_be_saved_for_a_city_to_play_beside(tmp_path: Path) -> None:
    saved = tmp_path / "spec.json"
    result = citynerve(
        "replay", "--csv", "p.csv", "--device", "m", "--time", "t", "--map", "P=active_power:kW", "--save", str(saved)
    )
    assert result.exit_code == 0
    spec = json.loads(saved.read_text())
    assert spec["columns"] == [{"column": "P", "metric": "active_power", "unit": "kW"}]
    assert Path(spec["csv"]).is_absolute()


def test_no_broker_is_said_before_anything_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulators.programs.CONNECT_BUDGET_S", 0.3)
    result = citynerve("city", "--ledger", str(tmp_path / "l"), env={"CITYNERVE_MQTT__PORT": "1"})
    assert result.exit_code == 1
    assert "no MQTT broker answers at 127.0.0.1:1" in result.output


def test_wrong_settings_are_all_named_at_once() -> None:
    result = citynerve("city", env={"CITYNERVE_SIMULATORS__IN_FLIGHT": "0", "CITYNERVE_MQTT__PORT": "x"})
    assert result.exit_code == 2
    assert "[simulators] in_flight" in result.output
    assert "[mqtt] port" in result.output
