"""B2: CPU of the gateway's process per QoS 1 message, acknowledgement included, against a textbook's gateway.

A backlog waits in the persistent sessions of both; then each takes its own copy at full speed, one after the other.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

from deploy.local.stack import LocalStack
from tests.benchmarks.contest import OURS, Contest, Row
from tests.benchmarks.payloads import PACKS, SINGLES, Load
from tests.benchmarks.servers import Place, own_place
from tests.benchmarks.settings import Size
from tests.benchmarks.valve import Valve, valve
from tests.ingest.gateway_process import GatewayProcess, eventually

BUDGET_S = 300.0


def run(stack: LocalStack, size: Size) -> Iterator[Row]:
    """Both kinds of message."""
    for load, messages in ((SINGLES, size.singles), (PACKS, size.packs)):
        with own_place(stack) as place, tempfile.TemporaryDirectory() as folder, valve(stack.mqtt_port) as gate:
            contest = _Contest(place, load, messages, gateway_of(place, Path(folder), gate), gate)
            yield from Contest("B2 gateway", load.case, "us CPU a message", contest.contestants()).run(size.runs)


class _Contest:
    """Each backlog goes to both sessions; it is made when the contestant of a round finds none."""

    def __init__(self, place: Place, load: Load, messages: int, gateway: GatewayProcess, gate: Valve) -> None:
        self._place, self._load, self._messages = place, load, messages
        self._gateway, self._gate = gateway, gate
        self._waiting: set[str] = set()
        gate.open()
        self._gateway.start()
        self._gateway.stop()
        textbook_gateway(place, 0).communicate(timeout=BUDGET_S)

    def contestants(self) -> dict[str, Callable[[], float]]:
        return {OURS: self._ours, "paho on_message, json, aiokafka send": self._textbook}

    def _backlog(self, name: str) -> None:
        if name not in self._waiting:
            assert not self._waiting, "the other's backlog was not taken"
            self._load.publish(self._place.stack.mqtt_port, self._place.name, self._messages)
            self._waiting = {"ours", "textbook"}
        self._waiting.remove(name)

    def _ours(self) -> float:
        self._backlog("ours")
        process = start_held(self._gateway, self._gate)
        cpu_s = cpu_of(process)
        self._gate.open()
        while sample(self._gateway, "messages_total") < self._messages or sample(self._gateway, "unacked_messages"):
            time.sleep(0.1)
        used = cpu_of(process) - cpu_s
        readings = sample(self._gateway, "readings_total")
        assert readings == self._messages * self._load.readings, f"only {readings} readings"
        assert self._gateway.stop() == 0
        return used / self._messages * 1e6

    def _textbook(self) -> float:
        self._backlog("textbook")
        output, _ = textbook_gateway(self._place, self._messages).communicate(timeout=BUDGET_S)
        return float(json.loads(output.splitlines()[-1])["cpu_s"]) / self._messages * 1e6


def gateway_of(place: Place, folder: Path, gate: Valve) -> GatewayProcess:
    """Ours, with its own routes and topics, behind the valve."""
    return GatewayProcess(place.name, place.name, gate.port, place.stack.kafka_bootstrap, folder)


def textbook_gateway(place: Place, messages: int) -> subprocess.Popen[bytes]:
    """The textbook's, which ends after so many messages."""
    arguments = {
        "--mqtt-port": place.stack.mqtt_port, "--kafka": place.stack.kafka_bootstrap, "--topic": place.textbook_topic,
        "--client": f"textbook-{place.name}", "--filter": f"{place.name}/#", "--messages": messages,
    }  # fmt: skip
    return textbook("gateway", arguments)


def textbook(part: str, arguments: dict[str, object]) -> subprocess.Popen[bytes]:
    """A process of the textbook pipeline; its one line of JSON comes on stdout."""
    given = [str(word) for pair in arguments.items() for word in pair]
    return subprocess.Popen([sys.executable, "-m", "tests.benchmarks.textbook", part, *given], stdout=subprocess.PIPE)


def start_held(gateway: GatewayProcess, gate: Valve) -> psutil.Process:
    """Start ours with the valve shut: it has started, and no message has come."""
    gate.shut()
    gateway.start(ready=False)
    assert gateway.process is not None
    eventually(lambda: answers(gateway), BUDGET_S, "the gateway answers")
    time.sleep(1.0)  # what it still does after its status page is up belongs to the start
    return psutil.Process(gateway.process.pid)


def answers(gateway: GatewayProcess) -> bool:
    """Whether its status page is up."""
    try:
        return gateway.metric("messages_total") == 0
    except OSError:
        return False


def sample(gateway: GatewayProcess, name: str) -> float:
    """A figure of a gateway that may still be starting."""
    try:
        return gateway.metric(name)
    except OSError:
        return 0.0


def cpu_of(process: psutil.Process) -> float:
    """User and system seconds so far (the kernel gives them in steps of 10 ms)."""
    times = process.cpu_times()
    return float(times.user + times.system)
