"""The same arena with three Kafka nodes, each broker and controller: every reading has three copies, two of which must exist."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from pydantic import Field

from deploy.chaos.arena import SERVERS, Arena, ProxiedStack
from deploy.local import kafka
from deploy.local.ports import Ports
from deploy.local.provision import Programs
from deploy.local.readiness import HOST
from deploy.local.server import Place
from deploy.local.trouble import Trouble

BROKERS = ("kafka-1", "kafka-2", "kafka-3")
REPLICAS, IN_SYNC = 3, 2
_HEAP_MB = 512
_READY_BUDGET_S = 180.0
"""Three Java programs start at once."""


class ClusterPorts(Ports):
    """Ports of a stack with three brokers; the first has those of a single one."""

    kafka_2_port: int = Field(ge=1, le=65535)
    kafka_2_controller_port: int = Field(ge=1, le=65535)
    kafka_3_port: int = Field(ge=1, le=65535)
    kafka_3_controller_port: int = Field(ge=1, le=65535)


def _port_names(number: int) -> tuple[str, str]:
    stem = "kafka" if number == 1 else f"kafka_{number}"
    return f"{stem}_port", f"{stem}_controller_port"


class ClusterStack(ProxiedStack):
    """A stack whose Kafka is a cluster."""

    def __init__(self, name: str, ports: ClusterPorts, folder: Path) -> None:
        super().__init__(name, ports, folder)
        self.nodes = [
            kafka.Node(broker, number, *(getattr(ports, port) for port in _port_names(number)))
            for number, broker in enumerate(BROKERS, start=1)
        ]
        self._cluster = kafka.cluster_id()
        del self.servers["kafka"]
        for node in self.nodes:
            self.servers[node.name] = replace(
                kafka.SERVER,
                name=node.name,
                prepare=partial(self._prepare_node, node),
                ports=_port_names(node.number),
                ready_budget_s=_READY_BUDGET_S,
            )

    def _prepare_node(self, node: kafka.Node, place: Place, _: Ports, programs: Programs) -> list[str]:
        properties = kafka.cluster_properties(node, self.nodes)
        properties |= kafka.listener_properties(node, self.listeners[node.name])
        return kafka.prepare_node(place, programs, node, properties=properties, cluster=self._cluster, heap_mb=_HEAP_MB)

    @property
    def kafka_bootstrap(self) -> str:
        """All three, not through a proxy."""
        return ",".join(f"{HOST}:{node.port}" for node in self.nodes)

    def kafka_settings(self) -> dict[str, str | int]:
        """Three copies of everything, and no acknowledgement before two have it."""
        return super().kafka_settings() | {"replication_factor": REPLICAS, "min_insync_replicas": IN_SYNC}


class ClusterArena(Arena):
    """The arena of the faults that need more than one broker."""

    servers = (*(name for name in SERVERS if name != "kafka"), *BROKERS)
    brokers = BROKERS
    port_names = (*Arena.port_names, *_port_names(2), *_port_names(3))

    def make_stack(self, folder: Path, ports: dict[str, int]) -> ProxiedStack:
        """The stack with the cluster."""
        return ClusterStack(folder.name, ClusterPorts(**ports), folder)


def nodes_of(arena: Arena) -> list[kafka.Node]:
    """The nodes of an arena's cluster; raises Trouble where it has a single broker."""
    if not isinstance(arena.stack, ClusterStack):
        raise Trouble("this fault needs the arena with three brokers")
    return arena.stack.nodes
