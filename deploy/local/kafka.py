"""Kafka of the local stack: one KRaft node."""

import base64
import subprocess
import uuid
from pathlib import Path

from deploy.local import readiness
from deploy.local.cache_entry import make_folder
from deploy.local.places import REPOSITORY
from deploy.local.ports import Ports
from deploy.local.processes import clean_environment
from deploy.local.provision import Programs
from deploy.local.server import Place, Server, render
from deploy.local.trouble import Trouble

TEMPLATE = REPOSITORY / "deploy/kafka/server.properties"
HEAP_MB = 512
FORMAT_BUDGET_S = 60
_LOGGER = "org.slf4j.simpleLogger"


def prepare(place: Place, ports: Ports, programs: Programs) -> list[str]:
    """Render the configuration and format the storage once; return the command."""
    data = place.data("kafka")
    make_folder(data)
    config = render(
        TEMPLATE,
        place.run / "kafka.properties",
        kafka_port=ports.kafka_port,
        kafka_controller_port=ports.kafka_controller_port,
        data=data,
    )
    if not (data / "meta.properties").exists():
        _format(config, programs)
    return java_command(programs, place.logs, "kafka.Kafka", str(config))


def java_command(programs: Programs, logs: Path, main: str, *arguments: str) -> list[str]:
    """Command line of one of Kafka's programs. kafka.logs.dir is where its own tools would write."""
    return [
        str(programs.java), f"-Xms{HEAP_MB // 2}m", f"-Xmx{HEAP_MB}m", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=50",
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


def _format(config: Path, programs: Programs) -> None:
    arguments = ("format", "-t", cluster_id(), "-c", str(config))
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
