"""A gateway as its own process, a publisher that honours acknowledgements, and a reader of what Kafka holds."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from paho.mqtt.enums import CallbackAPIVersion

from ingest.contract.frame import DeadLetter, FrameHeader, decode_dead_letters, decode_readings
from ingest.contract.topics import Topics

PARTITIONS = 4


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def eventually(condition: Callable[[], bool], budget_s: float = 20.0, what: str = "condition") -> None:
    """Wait until a condition holds; fail with `what` after the budget."""
    ends = time.monotonic() + budget_s
    while not condition():
        assert time.monotonic() < ends, f"after {budget_s} s still not: {what}"
        time.sleep(0.05)


@dataclass
class GatewayProcess:
    """`citynerve ingest run` with settings of its own."""

    root: str
    prefix: str
    mqtt_port: int
    kafka: str
    folder: Path
    options: dict[str, Any] = field(default_factory=dict)
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self, *, ready: bool = True) -> None:
        routes = [
            {"topic": f"{self.root}/senml/+", "format": "senml-json", "profile": "canonical"},
            {"topic": f"{self.root}/json/+", "format": "plain-json", "profile": "canonical"},
            {"topic": f"{self.root}/application/+/device/+/event/+", "format": "chirpstack-v4", "profile": "lorawan"},
            *self.options.get("extra_routes", []),
        ]
        settings = {
            "MQTT__PORT": self.mqtt_port,
            "KAFKA__BOOTSTRAP": self.kafka,
            "KAFKA__TOPIC_PREFIX": self.prefix,
            "KAFKA__REQUEST_TIMEOUT_MS": 2000,
            "INGEST__GATEWAY_ID": self.root.replace("/", "-"),
            "INGEST__ROUTES": json.dumps(routes),
            "INGEST__STATE_DIR": self.folder,
            "INGEST__HTTP_PORT": self.port,
            **{f"INGEST__{name.upper()}": value for name, value in self.options.items() if name != "extra_routes"},
        }
        environment = {**os.environ, **{f"CITYNERVE_{name}": str(value) for name, value in settings.items()}}
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "gateway.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "ingest", "run"], env=environment, stderr=log, stdout=log
            )
        if ready:
            eventually(self.ready, 30, f"gateway ready: {self.log()[-2000:]}")

    def ready(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, f"the gateway ended: {self.log()[-3000:]}"
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def metric(self, name: str, label: str = "") -> float:
        """A sample of /metrics; `label` is the text between the braces."""
        assert self.process is None or self.process.poll() is None, f"the gateway ended: {self.log()[-3000:]}"
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            wanted = f"citynerve_ingest_{name}{{{label}}} " if label else f"citynerve_ingest_{name} "
            for line in answer.read().decode().splitlines():
                if line.startswith(wanted):
                    return float(line.split(" ")[-1])
        raise AssertionError(f"no sample {wanted}")

    def log(self) -> str:
        return (self.folder / "gateway.log").read_text()

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log().splitlines()]

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        self.signal(signal.SIGKILL)
        assert self.process is not None
        self.process.wait(10)

    def stop(self, budget_s: float = 20) -> int:
        assert self.process is not None
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        return self.process.wait(budget_s)

    def resident_mb(self) -> float:
        assert self.process is not None
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGESIZE") / 1e6


class Publisher:
    """QoS 1 publisher; `acked` are the payload numbers the broker acknowledged with success."""

    def __init__(self, port: int, name: str) -> None:
        self.acked: set[int] = set()
        self._numbers: dict[int, int] = {}
        # paho calls back under its own lock: the callback may only append, or publish and callback wait for each other
        self._answers: deque[tuple[int, int]] = deque()
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"publisher-{name}", protocol=paho.MQTTv5)
        self.client.max_inflight_messages_set(500)
        self.client.on_publish = self._on_publish
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def _on_publish(self, _client: Any, _userdata: Any, mid: int, reason: Any, _properties: Any) -> None:
        self._answers.append((mid, reason.value))

    def unacked(self) -> int:
        """Messages published and not acknowledged yet."""
        while self._answers:
            mid, reason = self._answers.popleft()
            number = self._numbers.pop(mid)
            if reason == 0:
                self.acked.add(number)
        return len(self._numbers)

    def send(self, messages: Iterable[tuple[int, str, bytes]], most_unacked: int = 1500) -> None:
        """Publish (number, topic, payload), waiting where too many are unacknowledged."""
        for number, topic, payload in messages:
            info = self.client.publish(topic, payload, qos=1)
            self._numbers[info.mid] = number
            ends = time.monotonic() + 60
            while self.unacked() > most_unacked:
                assert time.monotonic() < ends, "the broker acknowledges nothing"
                time.sleep(0.005)

    def wait(self, budget_s: float = 60) -> None:
        eventually(lambda: self.unacked() == 0, budget_s, "all publishes acknowledged by the broker")

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@dataclass
class Record:
    """One record read back from Kafka."""

    topic: str
    partition: int
    offset: int
    header: FrameHeader
    body: bytes


def create_topics(bootstrap: str, prefix: str) -> None:
    async def create() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
        await admin.start()
        try:
            specs = Topics(prefix).specs(partitions=PARTITIONS)
            await admin.create_topics(
                [
                    NewTopic(spec.name, spec.partitions, 1, topic_configs=spec.configs(min_insync_replicas=1))
                    for spec in specs
                ]
            )
        finally:
            await admin.close()

    asyncio.run(create())


def read_values(bootstrap: str, topic: str, partitions: int) -> list[Any]:
    """Every record of a topic, in order within each partition."""

    async def read() -> list[Any]:
        consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False)
        await consumer.start()
        try:
            places = [TopicPartition(topic, number) for number in range(partitions)]
            consumer.assign(places)
            ends = await consumer.end_offsets(places)
            for place in places:
                consumer.seek(
                    place, 0
                )  # seek_to_beginning loses a race against the reset to the end that assign() begins
            records: list[Any] = []
            for place in places:
                while await consumer.position(place) < ends[place]:
                    records.append(await consumer.getone(place))
            return records
        finally:
            await consumer.stop()

    async def bounded() -> list[Any]:
        async with asyncio.timeout(60):
            return await read()

    return asyncio.run(bounded())


def read_frames(bootstrap: str, topic: str, partitions: int = PARTITIONS) -> list[Record]:
    return [
        Record(topic, record.partition, record.offset, FrameHeader.from_kafka(record.headers), record.value)
        for record in read_values(bootstrap, topic, partitions)
    ]


def read_readings(bootstrap: str, prefix: str) -> list[tuple[str, str, int, float]]:
    """(device, metric, time_us, value) of every reading, duplicates included, in the order of each partition."""
    readings = []
    for record in read_frames(bootstrap, Topics(prefix).readings):
        columns = decode_readings(record.body)
        assert len(columns) == record.header.count
        readings += [
            (columns.devices[device], columns.metrics[metric], time_us, value)
            for device, metric, time_us, value in zip(
                columns.device_codes.tolist(), columns.metric_codes.tolist(), columns.time_us.tolist(),
                columns.values.tolist(), strict=True,
            )
        ]  # fmt: skip
    return readings


def read_letters(bootstrap: str, prefix: str) -> list[DeadLetter]:
    records = read_frames(bootstrap, Topics(prefix).dead_letters, 1)
    return [letter for record in records for letter in decode_dead_letters(record.body)]


def read_statements(bootstrap: str, prefix: str) -> list[dict[str, Any]]:
    return [json.loads(record.value) for record in read_values(bootstrap, Topics(prefix).custody, 1)]


def numbered(root: str, numbers: Iterable[int], start_us: int, devices: int = 50) -> Iterable[tuple[int, str, bytes]]:
    """One plain JSON reading for each number; the value is the number's, the time is unique for its device."""
    for number in numbers:
        body = {"time": start_us + number * 1000, "energy_total": number}
        yield number, f"{root}/json/dev-{number % devices}", json.dumps(body).encode()


def values_of(readings: Iterable[tuple[str, str, int, float]]) -> set[int]:
    return {int(value) for _, metric, _, value in readings if metric == "energy_total"}


def assert_numbers_follow(records: Iterable[Record]) -> None:
    """In each (epoch, partition) the frames' first appearances have seq 0, 1, 2 ... and `before` adds up."""
    seen: dict[tuple[int, int], tuple[int, int]] = {}
    for record in records:
        key = (record.header.epoch, record.partition)
        seq, before = seen.get(key, (0, 0))
        if record.header.seq < seq:
            continue  # a replay
        assert (record.header.seq, record.header.before) == (seq, before), f"a gap in {key}"
        seen[key] = (seq + 1, before + record.header.count)
