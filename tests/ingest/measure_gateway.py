"""CPU of a running gateway per QoS 1 message and per reading: `python -m tests.ingest.measure_gateway`, with the test stack running.

The broker gets a backlog while the gateway is stopped (its session keeps it); then the gateway takes it at full speed. CPU is user + system
of the gateway's process between its first and its last message, acknowledgements and Kafka included.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
import uuid
from collections.abc import Iterable
from pathlib import Path

import psutil

from tests.ingest.gateway_process import GatewayProcess, Publisher, create_topics, eventually

MQTT_PORT, KAFKA = 11883, "127.0.0.1:19092"
METRICS = ("air_temperature", "relative_humidity", "pm1", "pm2_5", "pm4", "pm10", "no2", "no", "o3", "so2")


def singles(root: str, count: int, start_us: int) -> Iterable[tuple[int, str, bytes]]:
    for number in range(count):
        body = {"time": start_us + number * 1000, "air_temperature": 20.5 + number % 7}
        yield number, f"{root}/json/dev-{number % 500}", json.dumps(body).encode()


def packs(root: str, count: int, start_us: int) -> Iterable[tuple[int, str, bytes]]:
    for number in range(count):
        first = {"bn": f"urn:dev:city:dev-{number % 500}:", "bt": (start_us + number * 1_000_000) / 1e6}
        records = [{"n": metric, "v": 20.5, "t": -second} for second in (0, 10) for metric in METRICS]
        yield number, f"{root}/senml/gw", json.dumps([first | records[0], *records[1:]]).encode()


def measure(kind: str, count: int, readings: int) -> None:
    name = f"m{uuid.uuid4().hex[:8]}"
    create_topics(KAFKA, name)
    with tempfile.TemporaryDirectory() as folder:
        gateway = GatewayProcess(name, name, MQTT_PORT, KAFKA, Path(folder))
        gateway.start()
        gateway.stop()
        sender = Publisher(MQTT_PORT, name)
        make = singles if kind == "single JSON" else packs
        sender.send(make(name, count, time.time_ns() // 1000 - 20 * 3600 * 1_000_000))
        sender.wait(120)
        sender.close()
        gateway.start(ready=False)
        assert gateway.process is not None
        process = psutil.Process(gateway.process.pid)
        eventually(lambda: _received(gateway) > 0, 30, "the first message")
        first, began, cpu = _received(gateway), time.monotonic(), _cpu_s(process)
        eventually(lambda: _received(gateway) >= count and gateway.metric("unacked_messages") == 0, 120, "all taken")
        messages, wall, used = count - first, time.monotonic() - began, _cpu_s(process) - cpu
        rejects = gateway.metric("readings_total")
        assert rejects == count * readings, rejects
        gateway.stop()
    print(
        f"{kind}: {messages} messages in {wall:.2f} s ({messages / wall:.0f}/s, {messages * readings / wall:.0f} readings/s);"
        f" CPU {used / messages * 1e6:.1f} us a message, {used / messages / readings * 1e6:.2f} us a reading"
    )


def _received(gateway: GatewayProcess) -> float:
    try:
        return gateway.metric("messages_total")
    except OSError:
        return 0.0


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


if __name__ == "__main__":
    amount = int(sys.argv[1]) if len(sys.argv) > 1 else 40_000
    measure("single JSON", amount, 1)
    measure("SenML of 20", amount, 20)
