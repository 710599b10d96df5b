"""A real Alertmanager with our configuration: one dead gateway does not become an alarm for each of its devices."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from control_center.alarms.notify import Links, alert
from control_center.alarms.rules import UNACCOUNTED
from deploy.local.stack import LocalStack
from tests.ops.test_alerts import ALERTMANAGER, rules

READY_BUDGET_S = 30.0


@pytest.fixture(scope="module")
def alertmanager(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of an Alertmanager of this test's own."""
    folder = tmp_path_factory.mktemp("alertmanager")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = [
        str(stack.tool("prometheus-alertmanager")), f"--config.file={ALERTMANAGER}", f"--storage.path={folder}",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=", "--log.level=warn",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=stack.programs.servers)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=5) as client:
            _wait_until_ready(client)
            yield client
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait_until_ready(client: httpx.Client) -> None:
    deadline = time.monotonic() + READY_BUDGET_S
    while time.monotonic() < deadline:
        try:
            if client.get("/-/ready").status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    pytest.fail(f"Alertmanager was not ready within {READY_BUDGET_S} s")


def city_alarm(number: int, rule: str, metric: str | None) -> dict[str, Any]:
    """An alarm as the control center posts it, by its own code."""
    now = datetime.now(
        UTC
    )  # not at import: alerts end a minute after it, and a long session imports this file at its start
    row = {
        "alarm_id": number, "rule_id": rule, "device": f"air-{number:04d}", "name": "", "district": "Centre", "metric": metric,
        "severity": "warning", "state": "raised", "raised_at": now, "raised_value": None, "raised_detail": "{}", "cleared_at": None,
    }  # fmt: skip
    posted = alert(row, now=now, interval_s=60, links=Links())
    return posted | {name: posted[name].isoformat() for name in ("startsAt", "endsAt")}


def platform_alert(name: str) -> dict[str, Any]:
    """An alert as Prometheus posts it, with the labels of our rule."""
    now = datetime.now(UTC)
    return {
        "labels": {"alertname": name, **rules()[name]["labels"]},
        "startsAt": now.isoformat(),
        "endsAt": (now + timedelta(hours=1)).isoformat(),
    }


def inhibited(client: httpx.Client) -> dict[str, bool]:
    """Alert (its rule and device) -> whether it is held back."""
    found: dict[str, bool] = {}
    for item in client.get("/api/v2/alerts").json():
        name = f"{item['labels']['alertname']} {item['labels'].get('device', '')}".strip()
        found[name] = bool(item["status"]["inhibitedBy"])
    return found


def test_devices_behind_a_dead_gateway_are_held_back_and_the_city_is_not(alertmanager: httpx.Client) -> None:
    silent = [city_alarm(number, "device-silent", None) for number in range(20)]
    flood = city_alarm(99, "water-high", "water_level")
    loss = city_alarm(100, UNACCOUNTED, None)
    posted = alertmanager.post("/api/v2/alerts", json=[*silent, flood, loss])
    assert posted.status_code == 200, posted.text
    assert set(inhibited(alertmanager).values()) == {False}, "nothing is held back while the platform is well"

    alertmanager.post("/api/v2/alerts", json=[platform_alert("MqttDisconnected"), platform_alert("IngestSilent")])
    state = inhibited(alertmanager)
    assert all(state[f"device-silent air-{number:04d}"] for number in range(20))
    assert state["water-high air-0099"] is False
    assert state[f"{UNACCOUNTED} air-0100"] is False, "a loss is never held back by the outage that caused it"
    assert state["MqttDisconnected"] is False
    assert state["IngestSilent"] is True, "it only follows from the lost connection"
