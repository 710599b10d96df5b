"""compose.yaml does what the local stack does. Docker is not needed; where its compose plugin is there, it checks the file too."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from control_center.settings import ControlSettings
from deploy.local.pins import MOSQUITTO, SERVERS
from deploy.local.ports import default_ports
from ingest.contract.broker import KafkaSettings, MqttSettings
from ingest.contract.operating import load_sections
from ingest.settings import IngestSettings
from processors.contract.database import CitySettings, DatabaseSettings
from processors.settings import ProcessorSettings
from tests.architecture.command_line import problem

DEPLOY = Path(__file__).parents[2] / "deploy"
TEXT = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(TEXT)["services"]
OURS = [name for name, service in SERVICES.items() if service["image"].startswith("citynerve:")]
PASSWORDS = dict.fromkeys(
    ("CITYNERVE_DB_PASSWORD", "CITYNERVE_GRAFANA_DB_PASSWORD", "CITYNERVE_GRAFANA_ADMIN_PASSWORD"), "secret"
)
MODELS: dict[str, type[BaseModel]] = {
    "city": CitySettings, "mqtt": MqttSettings, "kafka": KafkaSettings, "database": DatabaseSettings, "ingest": IngestSettings,
    "processors": ProcessorSettings, "control": ControlSettings,
}  # fmt: skip
DATA_AND_ADDRESSES = {
    "controller.quorum.voters", "listeners", "advertised.listeners", "log.dirs",
}  # fmt: skip
"""Kafka's settings that name hosts and folders, which are Docker's own."""


def expanded(value: str) -> str:
    """`${NAME:-default}` and `${NAME:?message}` as compose fills them in."""
    return re.sub(
        r"\$\{(\w+)(?::([-?])([^}]*))?\}",
        lambda found: PASSWORDS.get(found[1]) or (found[3] if found[2] == "-" else ""),
        value,
    )


def settings_lines(path: str) -> dict[str, list[str]]:
    """Lines `name value` or `name=value` of a configuration file, by name."""
    found: dict[str, list[str]] = {}
    for line in (DEPLOY / path).read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            name, _, value = (
                line.partition("=") if "=" in line and " " not in line.partition("=")[0] else line.partition(" ")
            )
            found.setdefault(name.strip(), []).append(value.strip())
    return found


def test_kafka_has_the_settings_of_the_local_stack() -> None:
    local = {
        name: values[0]
        for name, values in settings_lines("kafka/server.properties").items()
        if name not in DATA_AND_ADDRESSES
    }
    given = SERVICES["kafka"]["environment"]
    assert {name: given.get("KAFKA_" + name.upper().replace(".", "_")) for name in local} == local
    others = {"KAFKA_" + name.upper().replace(".", "_") for name in (*local, *DATA_AND_ADDRESSES)} | {"KAFKA_HEAP_OPTS"}
    assert set(given) == others


def test_mosquitto_keeps_what_it_acknowledges_as_the_local_one_does() -> None:
    local, docker = settings_lines("mosquitto/local.conf"), settings_lines("mosquitto/compose.conf")
    elsewhere = {"listener", "plugin", "global_plugin", "plugin_opt_db_file"}
    assert {name: value for name, value in docker.items() if name not in elsewhere} == {
        name: value for name, value in local.items() if name not in elsewhere
    }
    assert docker["plugin_opt_sync"] == ["full"]
    assert docker["plugin_opt_flush_period"] == ["0"]
    data_folder = docker["plugin_opt_db_file"][0].rpartition("/")[0]
    assert any(volume == f"mosquitto:{data_folder}" for volume in SERVICES["mosquitto"]["volumes"])


def test_postgresql_gives_up_no_durability() -> None:
    local = {name: values[0].strip("'") for name, values in settings_lines("postgresql/local.conf").items()}
    given = dict(item.split("=", 1) for item in SERVICES["timescaledb"]["command"] if "=" in item)
    assert {"fsync", "synchronous_commit", "full_page_writes", "timezone", "max_locks_per_transaction"} <= set(given)
    assert {name: re.sub(r"^= *", "", local[name]).strip("' ") for name in given} == given


def test_prometheus_scrapes_the_same_jobs_by_the_same_rules() -> None:
    local, docker = (
        yaml.safe_load((DEPLOY / "prometheus" / name).read_text(encoding="utf-8"))
        for name in ("prometheus.yml", "compose.yml")
    )
    assert docker["global"] == local["global"]
    assert docker["rule_files"] == local["rule_files"]
    assert [job["job_name"] for job in docker["scrape_configs"]] == [job["job_name"] for job in local["scrape_configs"]]
    addressed = re.findall(
        r'"([a-z]+):\d+"|names: \[(\w+)\]', (DEPLOY / "prometheus/compose.yml").read_text(encoding="utf-8")
    )
    assert {one or other for one, other in addressed} <= set(SERVICES)


@pytest.mark.parametrize("name", OURS)
def test_our_services_get_settings_that_are_valid(name: str) -> None:
    environment = {key: expanded(str(value)) for key, value in SERVICES[name]["environment"].items()}
    loaded = load_sections(MODELS, Path(os.devnull), environment)
    known = {
        f"CITYNERVE_{section.upper()}__{field.upper()}"
        for section, model in MODELS.items()
        for field in model.model_fields
    }
    assert set(environment) <= known
    kafka, mqtt = loaded["kafka"], loaded["mqtt"]
    assert isinstance(kafka, KafkaSettings)
    assert isinstance(mqtt, MqttSettings)
    assert kafka.bootstrap.partition(":")[0] in SERVICES
    assert mqtt.host in SERVICES


@pytest.mark.parametrize("name", OURS)
def test_our_services_run_commands_that_exist(name: str) -> None:
    service = SERVICES[name]
    line = (
        shlex.join(["citynerve", *service["command"]])
        if service["command"]
        else service["entrypoint"][-1].removeprefix("exec ")
    )
    assert problem(line) is None


def test_everything_is_published_on_loopback_at_the_ports_of_the_demo() -> None:
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    ports = default_ports("demo")
    for lines in published.values():
        assert all(line.startswith("127.0.0.1:") for line in lines)
    shown = {name: int(expanded(lines[0]).split(":")[1]) for name, lines in published.items()}
    assert shown == {
        "mosquitto": ports["mqtt_port"], "control": ports["control_port"], "prometheus": ports["prometheus_port"],
        "alertmanager": ports["alertmanager_port"], "grafana": 23000,
    }  # fmt: skip


def test_every_variable_is_in_the_example_and_every_example_is_used() -> None:
    used = set(re.findall(r"\$\{(\w+)", TEXT))
    example = (DEPLOY / ".env.example").read_text(encoding="utf-8")
    given = dict(re.findall(r"^(\w+)=(.*)$", example, re.MULTILINE))
    assert set(given) == used
    assert {name for name, value in given.items() if not value} == set(PASSWORDS), "no password is shipped"
    defaults = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", TEXT))
    assert {name: given[name] for name in defaults} == defaults


def test_every_mounted_file_is_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            if source.startswith("."):
                assert (DEPLOY / source).exists(), volume


def test_the_images_are_the_versions_the_local_stack_was_tested_with() -> None:
    tags = {name: service["image"].rpartition(":")[2] for name, service in SERVICES.items()}
    jars = (DEPLOY / "kafka/jars.lock").read_text(encoding="utf-8")
    assert tags["mosquitto"].split("-")[0] == MOSQUITTO.pins["mosquitto"].split("-")[0]
    assert tags["prometheus"] == "v" + SERVERS.pins["prometheus"].split("+")[0]
    assert tags["alertmanager"] == "v" + SERVERS.pins["prometheus-alertmanager"].split("+")[0]
    assert tags["timescaledb"] == SERVERS.pins["postgresql-17-timescaledb"].split("+")[0] + "-pg17"
    assert re.search(rf"kafka_2\.13\W{re.escape(tags['kafka'])}\b", jars)


def test_docker_compose_takes_the_file() -> None:
    plugin = shutil.which("docker-compose")
    command = [plugin] if plugin else ["docker", "compose"]
    try:
        subprocess.run([*command, "version"], check=True, capture_output=True, timeout=30)
    except (OSError, subprocess.SubprocessError):
        pytest.skip("docker compose is not installed here; the other tests of this file check the structure")
    done = subprocess.run(
        [*command, "-f", str(DEPLOY / "compose.yaml"), "--profile", "demo", "config", "--quiet"],
        env=os.environ | PASSWORDS, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
