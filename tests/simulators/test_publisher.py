"""Publishing to a real Mosquitto: what was not taken is kept, what was acknowledged is at a subscriber, whatever dies."""

from __future__ import annotations

import contextlib
import shutil
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from deploy.local.ports import Ports
from deploy.local.stack import LocalStack
from ingest.contract.broker import MqttSettings
from simulators.batch import Batch, Names
from simulators.ledger import Ledger, LedgerWriter, read
from simulators.publisher import Publisher
from simulators.settings import SimulatorSettings
from tests.simulators.test_ledger import a_batch


class Subscriber:
    """A gateway's session: fixed id, kept by the broker, QoS 1; remembers every payload."""

    def __init__(self, port: int, topic: str) -> None:
        self.payloads: list[bytes] = []
        self.subscribed = threading.Event()
        self._client = Client(
            CallbackAPIVersion.VERSION2, client_id=f"sub-{uuid.uuid4().hex[:8]}", protocol=MQTTProtocolVersion.MQTTv5
        )
        self._client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)
        self._client.on_subscribe = lambda *_: self.subscribed.set()
        self._client.on_message = lambda _client, _data, message: self.payloads.append(bytes(message.payload))
        self._client.reconnect_delay_set(1, 1)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho
        properties.SessionExpiryInterval = 3600
        self._client.connect("127.0.0.1", port, clean_start=False, properties=properties)
        self._client.loop_start()
        assert self.subscribed.wait(10)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@contextlib.contextmanager
def subscriber(port: int, topic: str) -> Iterator[Subscriber]:
    listening = Subscriber(port, topic)
    try:
        yield listening
    finally:
        listening.close()


def publisher(port: int, ledger: LedgerWriter, **settings: float) -> Publisher:
    return Publisher(
        MqttSettings(port=port), SimulatorSettings.model_validate(settings), f"test-{uuid.uuid4().hex[:8]}", ledger
    )


def on_topic(batch: Batch, root: str) -> Batch:
    topics = [f"{root}/{topic}" for topic in batch.topics]
    return Batch(
        batch.due_us,
        topics,
        batch.payloads,
        batch.first,
        batch.device,
        batch.metric,
        batch.time_us,
        batch.value,
        batch.expect,
    )


def never() -> bool:
    return False


def wait_until(condition: Callable[[], bool], budget_s: float) -> bool:
    deadline_s = time.monotonic() + budget_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.02)
    return True


def acked_payloads(ledger: Ledger) -> set[int]:
    """Digests of the messages the broker took."""
    taken = ledger.acks["number"][ledger.acks["reason"] == 0]
    return set(ledger.messages["digest"][np.isin(ledger.messages["number"], taken)].tolist())


def test_what_is_sent_is_acknowledged_and_arrives_in_order(stack: LocalStack, mqtt_root: str, tmp_path: Path) -> None:
    names = Names()
    with (
        subscriber(stack.mqtt_port, f"{mqtt_root}/#") as gateway,
        LedgerWriter(tmp_path / "l", names, {}, fsync_every_s=1) as ledger,
    ):
        sender = publisher(stack.mqtt_port, ledger, in_flight=50)
        batch = on_topic(a_batch(names, 2000), mqtt_root)
        assert sender.send(batch, never) == 2000
        assert sender.drain(20)
        assert wait_until(lambda: len(gateway.payloads) >= 2000, 20)
        assert gateway.payloads == list(batch.payloads)
        totals = sender.totals()
        sender.close()
    assert (totals.acked_messages, totals.acked_readings, totals.unanswered, dict(totals.refused)) == (
        2000,
        4000,
        0,
        {},
    )
    assert len(acked_payloads(read(tmp_path / "l"))) == 2000


def test_no_matching_subscriber_means_kept_and_sent_again_when_there_is_one(
    stack: LocalStack, mqtt_root: str, tmp_path: Path
) -> None:
    names = Names()
    with LedgerWriter(tmp_path / "l", names, {}, fsync_every_s=0.05) as ledger:
        sender = publisher(stack.mqtt_port, ledger, in_flight=30, retry_s=0.1)
        batch = on_topic(a_batch(names, 100), mqtt_root)
        deadline_s = time.monotonic() + 1.5
        sent = sender.send(batch, lambda: time.monotonic() > deadline_s)
        before = sender.totals()
        assert sent <= 30
        assert (before.acked_messages, before.not_taken > 0) == (0, True)
        assert "no subscriber's session" in sender.trouble
        assert len(read(tmp_path / "l").acks) == 0
        with subscriber(stack.mqtt_port, f"{mqtt_root}/#") as gateway:
            assert sender.send(batch.cut(sent, 100), never) == 100 - sent
            assert sender.drain(20)
            assert wait_until(lambda: len(gateway.payloads) >= 100, 20)
            assert gateway.payloads == list(batch.payloads)
        assert sender.totals().acked_messages == 100
        sender.close()


def test_a_payload_over_the_brokers_limit_is_refused_and_does_not_cost_the_connection(
    stack: LocalStack, mqtt_root: str, tmp_path: Path
) -> None:
    names = Names()
    with (
        subscriber(stack.mqtt_port, f"{mqtt_root}/#") as gateway,
        LedgerWriter(tmp_path / "l", names, {}, fsync_every_s=1) as ledger,
    ):
        sender = publisher(stack.mqtt_port, ledger)
        batch = on_topic(a_batch(names, 2), mqtt_root)
        huge = Batch(batch.due_us, batch.topics, [b"x" * 2_000_000, b"small"], batch.first, batch.device, batch.metric, batch.time_us,
                     batch.value, batch.expect)  # fmt: skip
        assert sender.send(huge, never) == 2
        assert sender.drain(10)
        assert wait_until(lambda: gateway.payloads == [b"small"], 10)
        assert (dict(sender.totals().refused), sender.totals().reconnects) == ({149: 2}, 0)
        sender.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def own_broker(stack: LocalStack) -> Iterator[LocalStack]:
    """A Mosquitto of this test's own, with the configuration of every stack, which may be killed."""
    ports = Ports.model_validate({**stack.ports.model_dump(), "mqtt_port": free_port()})
    broker = LocalStack(f"broker-{uuid.uuid4().hex[:6]}", ports)
    broker.start_servers(["mosquitto"])
    yield broker
    broker.down()
    broker.wipe()
    shutil.rmtree(broker.place.folder)


def kill_and_start(broker: LocalStack) -> None:
    broker.kill("mosquitto")
    broker.start_servers(["mosquitto"])


@pytest.mark.slow
def test_every_acknowledged_message_survives_the_brokers_kill(own_broker: LocalStack, tmp_path: Path) -> None:
    names = Names()
    with (
        subscriber(own_broker.mqtt_port, "k/#") as gateway,
        LedgerWriter(tmp_path / "l", names, {}, fsync_every_s=0.1) as ledger,
    ):
        sender = publisher(own_broker.mqtt_port, ledger, in_flight=200)
        batch = on_topic(a_batch(names, 6000), "k")
        killer = threading.Timer(0.25, kill_and_start, [own_broker])
        killer.start()
        for start in range(0, 6000, 100):
            assert sender.send(batch.cut(start, start + 100), never) == 100
            time.sleep(0.01)
        assert sender.drain(30)
        killer.join(30)
        totals = sender.totals()
        sender.close()
        assert totals.reconnects >= 1
        assert (totals.acked_messages, totals.unanswered) == (6000, 0)
        assert wait_until(lambda: set(batch.payloads) <= set(gateway.payloads), 30)
    found = read(tmp_path / "l")
    assert len(acked_payloads(found)) == 6000
    assert found.acks["sends"].max() >= 2
