"""Kafka of the local stack: one KRaft node, or several that are one cluster."""

import base64
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local import readiness
from deploy.local.cache_entry import make_folder
from deploy.local.places import REPOSITORY
from deploy.local.ports import Ports
from deploy.local.processes import clean_environment
from deploy.local.provision import Programs
from deploy.local.readiness import HOST
from deploy.local.server import Place, Server, render
from deploy.local.trouble import Trouble

TEMPLATE = REPOSITORY / "deploy/kafka/server.properties"
HEAP_MB = 512
FORMAT_BUDGET_S = 60
_LOGGER = "org.slf4j.simpleLogger"


@dataclass(frozen=True, slots=True)
class Node:
    """One process that is broker and controller; `name` in the stack, `number` in the cluster."""

    name: str
    number: int
    port: int
    controller_port: int


def prepare(place: Place, ports: Ports, programs: Programs) -> list[str]:
    """Render the configuration and format the storage once; return the command."""
    return prepare_node(place, programs, Node("kafka", 1, ports.kafka_port, ports.kafka_controller_port))


def prepare_node(
    place: Place,
    programs: Programs,
    node: Node,
    *,
    properties: Mapping[str, str] | None = None,
    cluster: str | None = None,
    heap_mb: int = HEAP_MB,
) -> list[str]:
    """The same for any node: `properties` win over the template's, `cluster` is the id all nodes of a cluster share."""
    data = place.data(node.name)
    make_folder(data)
    config = render(
        TEMPLATE,
        place.run / f"{node.name}.properties",
        kafka_port=node.port,
        kafka_controller_port=node.controller_port,
        data=data,
    )
    with config.open("a", encoding="utf-8") as file:  # the last of two equal keys counts
        file.writelines(f"{name}={value}\n" for name, value in (properties or {}).items())
    if not (data / "meta.properties").exists():
        _format(config, programs, cluster or cluster_id())
    return java_command(programs, place.logs, "kafka.Kafka", str(config), heap_mb=heap_mb)


def listener_properties(node: Node, clients: Mapping[str, tuple[int, int]]) -> dict[str, str]:
    """One more listener for each client: name -> (port to listen on, port to advertise).

    Kafka tells its clients where it is: through one listener they would leave a proxy after the first answer.
    """
    own = {"PLAINTEXT": (node.port, node.port)} | {name.upper(): ports for name, ports in clients.items()}
    listen = [f"{name}://{HOST}:{port}" for name, (port, _) in own.items()]
    return {
        "listeners": ",".join([*listen, f"CONTROLLER://{HOST}:{node.controller_port}"]),
        "advertised.listeners": ",".join(f"{name}://{HOST}:{port}" for name, (_, port) in own.items()),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in [*own, "CONTROLLER"]),
    }


def cluster_properties(node: Node, nodes: Sequence[Node]) -> dict[str, str]:
    """What a node of a cluster has otherwise than a single one: its number, the voters, and copies of Kafka's own topics.

    With them a group's offsets survive the death of its coordinator; with one copy (the template's) they would die with it.
    """
    copies, needed = str(min(3, len(nodes))), str(min(2, len(nodes)))
    return {
        "node.id": str(node.number),
        "controller.quorum.voters": ",".join(f"{each.number}@{HOST}:{each.controller_port}" for each in nodes),
        "default.replication.factor": copies,
        "min.insync.replicas": needed,
        "unclean.leader.election.enable": "false",
        "offsets.topic.replication.factor": copies,
        "transaction.state.log.replication.factor": copies,
        "transaction.state.log.min.isr": needed,
        "share.coordinator.state.topic.replication.factor": copies,
        "share.coordinator.state.topic.min.isr": needed,
    }


def java_command(programs: Programs, logs: Path, main: str, *arguments: str, heap_mb: int = HEAP_MB) -> list[str]:
    """Command line of one of Kafka's programs. kafka.logs.dir is where its own tools would write."""
    return [
        str(programs.java), f"-Xms{heap_mb // 2}m", f"-Xmx{heap_mb}m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=50",
        "-XX:+ExitOnOutOfMemoryError", "-Djava.awt.headless=true", f"-Dkafka.logs.dir={logs}",
        f"-D{_LOGGER}.defaultLogLevel=warn", f"-D{_LOGGER}.log.kafka.server.KafkaRaftServer=info",
        f"-D{_LOGGER}.showDateTime=true", f"-D{_LOGGER}.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSZ",
        "-cp", str(programs.kafka / "*"), main, *arguments,
    ]  # fmt: skip


def cluster_id() -> str:
    """A new cluster id: 16 random bytes in URL-safe base64. A leading '-' would be taken for an option."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text


def _format(config: Path, programs: Programs, cluster: str) -> None:
    arguments = ("format", "-t", cluster, "-c", str(config))
    command = java_command(programs, config.parent, "kafka.tools.StorageTool", *arguments)
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=FORMAT_BUDGET_S, check=False, env=clean_environment({})
    )
    if done.returncode != 0:
        last = ((done.stderr + done.stdout).strip().splitlines() or ["it gave no reason"])[-1]
        msg = f"Kafka's storage could not be formatted: {last}; try `citynerve up --fresh`"
        raise Trouble(msg)


SERVER = Server(
    "kafka",
    prepare,
    readiness.kafka,
    ("kafka_port", "kafka_controller_port"),
    unprivileged=False,  # its Java may lie in a home that another uid cannot enter
    stop_budget_s=40.0,
    ready_budget_s=90.0,
)
