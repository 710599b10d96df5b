"""The ports of a stack, settable one by one in [local], checked before anything starts."""

import socket
from collections.abc import Iterable

import psutil
from pydantic import BaseModel, ConfigDict, Field, model_validator

from deploy.local.readiness import HOST
from deploy.local.trouble import Trouble

BASES = {"demo": 20_000, "test": 10_000}
_LAST_DIGITS = {
    "mqtt_port": 1883,
    "kafka_port": 9092,
    "kafka_controller_port": 9093,
    "postgres_port": 5432,
    "prometheus_port": 9090,
    "alertmanager_port": 9094,
    "control_port": 8080,
    "ingest_port": 8081,
    "processor_port": 8082,
    "second_processor_port": 8083,
}


class Ports(BaseModel):
    """Section [local]: ports on 127.0.0.1. A port that is not set is the stack's default (demo 2xxxx, test 1xxxx)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mqtt_port: int = Field(ge=1, le=65535)
    kafka_port: int = Field(ge=1, le=65535)
    kafka_controller_port: int = Field(ge=1, le=65535)
    postgres_port: int = Field(ge=1, le=65535)
    prometheus_port: int = Field(ge=1, le=65535)
    alertmanager_port: int = Field(ge=1, le=65535)
    control_port: int = Field(ge=1, le=65535)
    ingest_port: int = Field(ge=1, le=65535)
    processor_port: int = Field(ge=1, le=65535)
    second_processor_port: int = Field(ge=1, le=65535)

    @model_validator(mode="after")
    def _no_port_twice(self) -> "Ports":
        seen: dict[int, str] = {}
        for name, port in self.model_dump().items():
            if port in seen:
                msg = f"{name} and {seen[port]} are both {port}; give each its own port"
                raise ValueError(msg)
            seen[port] = name
        return self


def default_ports(stack: str) -> dict[str, int]:
    """Defaults of a stack; a stack of another name gets the demo's, and so must be given others."""
    base = BASES.get(stack, BASES["demo"])
    return {name: base + digits for name, digits in _LAST_DIGITS.items()}


def check_free(ports: Ports, names: Iterable[str]) -> None:
    """Raise Trouble naming every one of the named ports that another program holds, and how to choose another."""
    taken = [(name, getattr(ports, name)) for name in names if not is_free(getattr(ports, name))]
    if not taken:
        return
    sentences = [
        f"port {port} is taken by {owner(port)}; set [local] {name} or CITYNERVE_LOCAL__{name.upper()}"
        for name, port in taken
    ]
    raise Trouble("\n".join(sentences))


def is_free(port: int) -> bool:
    """Tell whether a server could listen on the port of 127.0.0.1 now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: TIME_WAIT is no conflict
        try:
            probe.bind((HOST, port))
            probe.listen(1)
        except OSError:
            return False
    return True


def owner(port: int) -> str:
    """Who listens on the port, as far as the system tells an ordinary user."""
    try:
        for connection in psutil.net_connections(kind="tcp"):
            listens = connection.status == psutil.CONN_LISTEN and connection.laddr and connection.laddr.port == port
            if listens and connection.pid is not None:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return "another program"
