"""A stack of its own for faults: free ports, own folder, every line between two parts through a proxy."""

import random
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from control_center.settings import ControlSettings
from deploy.chaos.destroyed import Destroyed
from deploy.chaos.proxy import ProxyRoom, TcpProxy
from deploy.chaos.scrape import largest, scrape
from deploy.demo_figures import Sent
from deploy.local import kafka, postgresql
from deploy.local.launch import migrate
from deploy.local.places import stack_folder
from deploy.local.ports import Ports, default_ports, is_free
from deploy.local.provision import Programs
from deploy.local.readiness import HOST
from deploy.local.server import Place, Server
from deploy.local.stack import LocalStack
from ingest.settings import IngestSettings
from processors.settings import ProcessorSettings

SERVERS = ("mosquitto", "kafka", "postgres")
SERVICES = ("ingest", "process", "control")
EDGES = (
    ("simulator", "mosquitto"),
    ("ingest", "mosquitto"),
    ("ingest", "kafka"),
    ("process", "kafka"),
    ("process", "postgres"),
    ("control", "kafka"),
    ("control", "postgres"),
)
"""Client and server of each line."""
_PORTS = range(22_000, 28_000)
_SETTINGS = {
    "CITYNERVE_MQTT__KEEPALIVE_S": "5",
    "CITYNERVE_PROCESSORS__SESSION_TIMEOUT_MS": "6000",
    "CITYNERVE_DATABASE__COMMAND_TIMEOUT_S": "8",
}
"""Shorter than the defaults, so that what only a deadline finds is found within a trial; the outcome may not depend on it."""


_STOP_BUDGETS_S = {
    "ingest": IngestSettings().stop_budget_s,
    "process": ProcessorSettings().stop_budget_s,
    "process2": ProcessorSettings().stop_budget_s,
    "control": ControlSettings().stop_budget_s,
}


@dataclass(frozen=True, slots=True)
class Stop:
    """A part that was asked to end by SIGTERM: how long it took, and how long it may take."""

    name: str
    took_s: float
    budget_s: float


class Adjustable(Protocol):
    """The load of a trial, as a fault may change it."""

    @property
    def sent(self) -> Sent:
        """What it has said of itself."""

    def times(self, factor: float) -> AbstractContextManager[float]:
        """So many times the usual rate, as long as it is open; answers the messages a second that are asked for."""


def _free_ports(count: int) -> list[int]:
    """Ports that nobody holds, below those the kernel gives to clients: a killed server must find its own free again."""
    candidates = iter(random.sample(_PORTS, len(_PORTS)))
    found: list[int] = []
    while len(found) < count:
        port = next(candidates)
        if is_free(port):
            found.append(port)
    return found


def edges_to(brokers: Sequence[str]) -> list[tuple[str, str]]:
    """The lines when Kafka is these brokers: each client has one to each of them."""
    return [(client, name) for client, server in EDGES for name in (brokers if server == "kafka" else [server])]


_FORGET_SOON = {"producer.id.expiration.check.interval.ms": "500"}
"""How often Kafka looks for producers to forget (after a day): every ten minutes would be too long for a trial."""


class ProxiedStack(LocalStack):
    """A stack whose Kafka has one more listener for each client, advertised at that client's proxy."""

    def __init__(self, name: str, ports: Ports, folder: Path) -> None:
        super().__init__(name, ports, folder)
        self.listeners: dict[str, dict[str, tuple[int, int]]] = {}
        """Broker -> client -> (port it listens on, port it advertises)."""

    def _start_server(self, server: Server, programs: Programs) -> str | None:
        if server.name == "kafka":
            server = replace(server, prepare=self._prepare_kafka)
        return super()._start_server(server, programs)

    def _prepare_kafka(self, place: Place, ports: Ports, programs: Programs) -> list[str]:
        node = kafka.Node("kafka", 1, ports.kafka_port, ports.kafka_controller_port)
        properties = kafka.listener_properties(node, self.listeners["kafka"]) | _FORGET_SOON
        return kafka.prepare_node(place, programs, node, properties=properties)


class Arena:
    """The stack, its proxies and its services, for the `with` statement; gone with its folder afterwards.

    `problems` collects what went wrong besides the score (a service that ended by itself).
    """

    servers: tuple[str, ...] = SERVERS
    brokers: tuple[str, ...] = ("kafka",)
    port_names: tuple[str, ...] = tuple(default_ports("test"))
    live: bool = False
    """The city's readings are minutes old and come at twice its pace, instead of a day old and as fast as is asked for."""
    present: bool = False
    """They come at the city's own pace and are seconds old: what is stamped with the time of receipt makes none of them late."""

    def __init__(self) -> None:
        parent = stack_folder("chaos").parent
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="chaos-", dir=parent))
        folder.chmod(0o755)
        to_kafka = [edge for edge in edges_to(self.brokers) if edge[1] in self.brokers]
        ports = _free_ports(len(self.port_names) + len(to_kafka))
        self._kafka_ports = dict(zip(to_kafka, ports[len(self.port_names) :], strict=True))
        self.stack = self.make_stack(folder, dict(zip(self.port_names, ports, strict=False)))
        self.folder = folder
        self.problems: list[str] = []
        self.fault_ended_s: float | None = None
        self.destroyed: list[Destroyed] = []
        """What the fault destroyed for good: the trial expects exactly this lost and unaccounted for."""
        self._kept = False
        self._room = ProxyRoom()
        self.lines: dict[tuple[str, str], TcpProxy] = {}
        self.extra: dict[str, dict[str, str]] = {}
        """Service -> settings a fault gave it."""
        self.stops: list[Stop] = []
        self.load: Adjustable | None = None
        """The load of the trial that runs."""

    def make_stack(self, folder: Path, ports: dict[str, int]) -> ProxiedStack:
        """The stack as it is before its lines are known."""
        return ProxiedStack(folder.name, Ports(**ports), folder)

    def __enter__(self) -> Self:
        try:
            self._build()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _build(self) -> None:
        targets = {"mosquitto": self.stack.mqtt_port, "postgres": self.stack.postgres_port}
        for client, server in edges_to(self.brokers):
            kind = "kafka" if server in self.brokers else server
            port = self._kafka_ports.get((client, server)) or targets[server]
            self.lines[client, server] = self._room.proxy(kind, port)
        for (client, broker), port in self._kafka_ports.items():
            self.stack.listeners.setdefault(broker, {})[client] = (port, self.lines[client, broker].port)
        self.stack.write_settings()
        self.stack.start_servers(self.servers)
        migrate(self.stack)
        for service in SERVICES:
            self.start(service)

    def close(self) -> None:
        """Stop everything and remove the folder, or with `keep` its data alone."""
        self.stack.down()
        self._room.close()
        shutil.rmtree(self.folder / "data" if self._kept else self.folder, ignore_errors=True)

    def keep(self) -> None:
        """Let logs and ledgers stay when it is closed."""
        self._kept = True

    @property
    def dsn(self) -> str:
        """The database without a proxy, for who looks on."""
        return self.stack.postgres_dsn()

    def environment(self, name: str) -> dict[str, str]:
        """Settings that lead a client through its proxies."""
        client = "process" if name == "process2" else name
        found = dict(_SETTINGS)
        if (client, "mosquitto") in self.lines:
            found["CITYNERVE_MQTT__PORT"] = str(self.lines[client, "mosquitto"].port)
        kafka_ports = [self.lines[client, broker].port for broker in self.brokers if (client, broker) in self.lines]
        if kafka_ports:
            found["CITYNERVE_KAFKA__BOOTSTRAP"] = ",".join(f"{HOST}:{port}" for port in kafka_ports)
        if (client, "postgres") in self.lines:
            found["CITYNERVE_DATABASE__DSN"] = postgresql.dsn(self.lines[client, "postgres"].port, postgresql.DATABASE)
        return found | self.extra.get(name, {})

    def start(self, name: str, *, wait: bool = True) -> None:
        """Start a server or a service."""
        if name in self.servers:
            self.stack.start_servers([name])
        else:
            self.stack.start_service(name, environment=self.environment(name), wait=wait)

    def kill(self, name: str) -> None:
        """kill -9."""
        self.stack.kill(name)

    def terminate(self, name: str) -> None:
        """SIGTERM; a part that needs more than its budget is a problem."""
        started_s = time.monotonic()
        ended = self.stack.stop(name)
        stop = Stop(name, time.monotonic() - started_s, self.stop_budget_s(name))
        self.stops.append(stop)
        if not ended:
            self.problems.append(f"{name} had to be killed {stop.took_s:.0f} s after SIGTERM")

    def stop_budget_s(self, name: str) -> float:
        """Seconds within which a part must have ended: for ours what its own settings promise, for a server the launcher's patience."""
        server = self.stack.servers.get(name)
        return _STOP_BUDGETS_S[name] if server is None else server.stop_budget_s

    def set_settings(self, name: str, extra: Mapping[str, str]) -> None:
        """Let a service be started with other settings from now on."""
        self.extra[name] = dict(extra)

    def new_trial(self) -> None:
        """Forget what the trial before has left here."""
        self.fault_ended_s = None
        for kept in (self.problems, self.destroyed, self.stops):
            kept.clear()

    def over(self) -> None:
        """The fault ends now; what follows is recovery. The first call counts."""
        if self.fault_ended_s is None:
            self.fault_ended_s = time.monotonic()

    def mend(self) -> None:
        """Start what ended by itself, and say so: a supervisor would do it, but nothing of ours should need one."""
        for name in (*self.servers, *SERVICES):
            if name not in self.stack.records:
                self.problems.append(f"{name} ended by itself")
                self.start(name)

    def metrics(self, name: str) -> dict[str, float] | None:
        """A service's metrics; None where it does not answer."""
        port = {"ingest": self.stack.ports.ingest_port, "process": self.stack.ports.processor_port}[name]
        return scrape(port)

    def metric(self, name: str, metric: str) -> float | None:
        """A service's gauge (the largest of its series); None where it does not answer."""
        found = self.metrics(name)
        return None if found is None else largest(found, metric)
