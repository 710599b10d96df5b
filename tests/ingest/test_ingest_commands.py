"""`citynerve ingest decode` and `spool`, typed as their users type them, mistakes included."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ingest.commands import ingest
from ingest.contract.operating import UserError


def decoded(payload: bytes, *arguments: str) -> tuple[int, list[dict[str, object]]]:
    result = CliRunner().invoke(
        ingest, ["decode", "--received", "2026-07-01T12:00:00Z", *arguments, "-"], input=payload
    )
    return result.exit_code, [json.loads(line) for line in result.stdout.splitlines()]


def test_a_reading_is_one_line_with_what_the_vendor_wrote() -> None:
    code, lines = decoded(b'{"air_temperature":"21.5"}', "--topic", "city/json/dev1")
    assert code == 0
    (line,) = lines
    assert {key: line[key] for key in ("device", "metric", "unit", "time", "value", "flags")} == {
        "device": "dev1", "metric": "air_temperature", "unit": "Cel", "time": "2026-07-01T12:00:00.000000Z", "value": 21.5, "flags": 3,
    }  # fmt: skip
    assert line["vendor_value"] == "21.5"
    assert line["vendor_time"] is None


def test_a_reject_is_a_line_with_its_reason_and_the_exit_code_says_so() -> None:
    code, lines = decoded(b'{"air_temperature":20,"x":1}', "--topic", "city/json/dev1")
    assert code == 1
    assert [line.get("reject") for line in lines] == [None, "unknown_metric"]


def test_old_payloads_decode_unless_the_window_is_asked_for() -> None:
    payload = b'{"time":"2011-10-31T13:24:24Z","air_temperature":20}'
    assert decoded(payload, "--topic", "city/json/d")[0] == 0
    code, lines = decoded(payload, "--topic", "city/json/d", "--window")
    assert (code, lines[0]["reject"]) == (1, "too_old")


def test_a_format_can_be_named_for_any_topic() -> None:
    code, lines = decoded(b'[{"n":"urn:dev:city:a:pm10","v":3}]', "--topic", "x/y", "--format", "senml-json")
    assert (code, lines[0]["device"], lines[0]["value"]) == (0, "a", 3.0)


def test_mistakes_end_in_one_sentence(tmp_path: Path) -> None:
    run = CliRunner()
    for arguments, sentence in (
        (["decode", "--topic", "x/y", "-"], "no route takes topic"),
        (["decode", "--topic", "city/json/d", str(tmp_path / "absent")], "cannot read"),
        (["decode", "--topic", "city/json/d", "--profile", "absent", "-"], "profile 'absent'"),
    ):
        result = run.invoke(ingest, arguments, input=b"{}")
        assert isinstance(result.exception, UserError)
        assert sentence in str(result.exception)
    result = run.invoke(ingest, ["decode", "--topic", "city/json/d", "--received", "noon", "-"], input=b"{}")
    assert result.exit_code == 2
    assert "--received" in result.stderr


def test_the_spool_of_a_gateway_that_never_ran_is_empty(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITYNERVE_INGEST__STATE_DIR", str(tmp_path))
    result = CliRunner().invoke(ingest, ["spool", "--json"])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["frames"] == 0
