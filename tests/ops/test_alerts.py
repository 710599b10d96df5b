"""Alerting rules: their promtool tests, their runbook, and Alertmanager's routes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from control_center.alarms.rules import UNACCOUNTED
from deploy.local.stack import LocalStack

ROOT = Path(__file__).parents[2]
CASES = sorted((ROOT / "tests/ops/alerts").glob("*.test.yml"))
ALERTMANAGER = ROOT / "deploy/prometheus/alertmanager.yml"


def rules() -> dict[str, dict[str, Any]]:
    """Every alert by its name."""
    found: dict[str, dict[str, Any]] = {}
    for path in (ROOT / "deploy/prometheus/rules").glob("*.yml"):
        for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                assert rule["alert"] not in found
                found[rule["alert"]] = rule
    return found


def run(*command: object) -> str:
    """Output of a program that must succeed."""
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("case", CASES, ids=lambda path: str(path.name))
def test_the_rules_fire_and_rest_as_their_cases_say(stack: LocalStack, case: Path) -> None:
    assert "SUCCESS" in run(stack.tool("promtool"), "test", "rules", case)


def test_every_alert_has_a_case_that_fires_and_one_that_rests() -> None:
    fires: set[str] = set()
    rests: set[str] = set()
    for case in CASES:
        for test in yaml.safe_load(case.read_text(encoding="utf-8"))["tests"]:
            for check in test["alert_rule_test"]:
                (fires if check["exp_alerts"] else rests).add(check["alertname"])
    assert fires == set(rules())
    assert rests == set(rules()) - {"Watchdog"}


def test_every_alert_has_its_section_in_the_runbook() -> None:
    sections = set(re.findall(r"^### (\w+)$", (ROOT / "deploy/README.md").read_text(encoding="utf-8"), re.MULTILINE))
    assert sections == set(rules())
    for name, rule in rules().items():
        assert rule["annotations"]["runbook"] == f"deploy/README.md#{name.lower()}"
        assert rule["labels"]["severity"] in {"critical", "warning", "none"}


def test_prometheus_takes_both_of_its_configurations(stack: LocalStack, tmp_path: Path) -> None:
    (tmp_path / "rules").symlink_to(ROOT / "deploy/prometheus/rules")
    rendered = re.sub(r"(?<!\$)\$\w+", "9", (ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8"))
    (tmp_path / "local.yml").write_text(rendered, encoding="utf-8")
    (tmp_path / "compose.yml").write_text(
        (ROOT / "deploy/prometheus/compose.yml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    for name in ("local.yml", "compose.yml"):
        assert "SUCCESS" in run(stack.tool("promtool"), "check", "config", tmp_path / name)


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        (["alertname=Watchdog", "severity=none", "stage=prometheus"], "dead-man"),
        (["alertname=KafkaDown", "severity=critical", "stage=ingest"], "platform"),
        (["alertname=pm25-high", "severity=critical"], "control-room"),
    ],
)
def test_an_alert_goes_to_whom_it_concerns(stack: LocalStack, labels: list[str], receiver: str) -> None:
    assert "SUCCESS" in run(stack.tool("amtool"), "check-config", ALERTMANAGER)
    assert run(stack.tool("amtool"), "config", "routes", "test", f"--config.file={ALERTMANAGER}", *labels).split() == [
        receiver
    ]


def test_inhibition_names_only_alerts_that_exist() -> None:
    document = yaml.safe_load(ALERTMANAGER.read_text(encoding="utf-8"))
    for rule in document["inhibit_rules"]:
        for matcher in (*rule["source_matchers"], *rule["target_matchers"]):
            if matcher.startswith("alertname"):
                assert set(re.search(r'"(.*)"', matcher)[1].split("|")) <= {*rules(), UNACCOUNTED}, matcher  # type: ignore[index]
