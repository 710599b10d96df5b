"""Fixtures of the gateway's tests with real servers: the shared stack, and one whose servers may be killed."""

from __future__ import annotations

import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.ports import Ports, default_ports
from deploy.local.stack import LocalStack
from tests.ingest.gateway_process import GatewayProcess, Publisher, create_topics, free_port

MakeGateway = Callable[..., GatewayProcess]


def _gateways(mqtt_port: int, kafka: str, folder: Path) -> Iterator[MakeGateway]:
    made: list[GatewayProcess] = []

    def make(**options: Any) -> GatewayProcess:
        name = f"t{uuid.uuid4().hex[:10]}"
        create_topics(kafka, name)
        gateway = GatewayProcess(name, name, mqtt_port, kafka, folder / name, options)
        made.append(gateway)
        return gateway

    yield make
    for gateway in made:
        if gateway.process is not None and gateway.process.poll() is None:
            gateway.kill()


@pytest.fixture
def gateway(stack: LocalStack, tmp_path: Path) -> Iterator[MakeGateway]:
    """Makes gateways on the shared test stack, each with its own topics and folders."""
    yield from _gateways(stack.mqtt_port, stack.kafka_bootstrap, tmp_path)


@pytest.fixture(scope="session")
def own_stack(stack: LocalStack) -> Iterator[LocalStack]:
    """A Mosquitto and a Kafka of these tests' own: they may be stopped, killed and paused."""
    del stack  # its set-up fetches the programs
    folder = Path(tempfile.mkdtemp(prefix="citynerve-ingest-"))
    folder.chmod(0o755)
    own = LocalStack("ingest-faults", Ports(**{name: free_port() for name in default_ports("test")}), folder)
    own.start_servers(["mosquitto", "kafka"])
    yield own
    own.down()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def fragile_gateway(own_stack: LocalStack, tmp_path: Path) -> Iterator[MakeGateway]:
    """Makes gateways on the stack whose servers may be hurt."""
    own_stack.start_servers(["mosquitto", "kafka"])
    yield from _gateways(own_stack.mqtt_port, own_stack.kafka_bootstrap, tmp_path)


@pytest.fixture
def publisher() -> Iterator[Callable[[GatewayProcess], Publisher]]:
    """Makes publishers to a gateway's broker; closed after the test."""
    made: list[Publisher] = []

    def make(gateway: GatewayProcess) -> Publisher:
        made.append(Publisher(gateway.mqtt_port, gateway.root))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def now_us() -> int:
    """A start for readings' times that stays inside the accepted window while the test runs."""
    return time.time_ns() // 1000 - 3600 * 1_000_000
