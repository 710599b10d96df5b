"""Our own services as the launcher runs them, and the settings file that gives them the stack's addresses."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local import postgresql, readiness
from deploy.local.ports import Ports
from deploy.local.readiness import HOST


@dataclass(frozen=True, slots=True)
class Service:
    """One of our services: its command, the section of its settings, its port in [local], and what it sets differently."""

    name: str
    arguments: tuple[str, ...]
    section: str
    port_name: str
    environment: Mapping[str, str] = field(default_factory=dict)


SERVICES = (
    Service("ingest", ("ingest", "run"), "ingest", "ingest_port"),
    Service("process", ("process", "run"), "processors", "processor_port"),
    Service("control", ("control", "run"), "control", "control_port"),
)
SECOND_PROCESSOR = Service(
    "process2",
    ("process", "run"),
    "processors",
    "second_processor_port",
    {"CITYNERVE_PROCESSORS__NAME": "processor-2"},
)
"""Started by tests and by hand: a second member of the consumer group."""


def citynerve_command(*arguments: str) -> list[str]:
    """The project's command line run by this very Python."""
    return [sys.executable, "-m", "deploy.cli", *arguments]


def stack_settings(ports: Ports, data: Path) -> dict[str, dict[str, str | int | dict[str, str]]]:
    """The settings every command needs to work with the stack, by section; `data` is the stack's data folder."""
    return {
        "mqtt": {"host": HOST, "port": ports.mqtt_port},
        "kafka": {"bootstrap": f"{HOST}:{ports.kafka_port}"},
        "database": {"dsn": postgresql.dsn(ports.postgres_port)},
        "ingest": {"http_port": ports.ingest_port, "state_dir": str(data / "ingest")},
        "processors": {"http_port": ports.processor_port},
        "control": {
            "http_port": ports.control_port,
            "prometheus_url": f"http://{HOST}:{ports.prometheus_port}",
            "alertmanager_url": f"http://{HOST}:{ports.alertmanager_port}",
            "gateways": {"gw-1": f"http://{HOST}:{ports.ingest_port}"},
            "processors": {"processor-1": f"http://{HOST}:{ports.processor_port}"},
        },
    }


def merged_settings(
    own: Mapping[str, Mapping[str, object]], stack: Mapping[str, Mapping[str, object]]
) -> dict[str, dict[str, object]]:
    """The user's settings with the stack's addresses over them; [local] concerns the launcher alone."""
    names = [name for name in dict.fromkeys([*own, *stack]) if name != "local"]
    return {name: {**own.get(name, {}), **stack.get(name, {})} for name in names}


def to_toml(settings: Mapping[str, Mapping[str, object]]) -> str:
    """Write sections of plain values as TOML (JSON's strings, numbers and lists are TOML's)."""
    lines = ["# Written by `citynerve up`; use it with `citynerve --config THIS_FILE ...`."]
    for section, values in settings.items():
        lines += ["", f"[{section}]"]
        lines += [f"{name} = {_toml_value(value)}" for name, value in values.items()]
    return "\n".join(lines) + "\n"


def _toml_value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(k))} = {_toml_value(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml_value(item) for item in value) + "]"
    if isinstance(value, (bool, int, float, str)):
        return json.dumps(value, ensure_ascii=False)
    return str(value)  # a TOML date or time


def probe(port: int) -> str | None:
    """Probe of a service: None when ready, else why not."""
    return readiness.http(port, "/readyz")


def settings_file(run: Path) -> Path:
    """Where a stack's settings file is."""
    return run / "citynerve.toml"
