"""A PUBACK counts once the broker has answered something sent after it; until then a lost connection means sending again."""

from __future__ import annotations

import socket
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest

from ingest.contract.broker import MqttSettings
from simulators.batch import Names
from simulators.ledger import LedgerWriter, read
from simulators.publisher import Publisher
from simulators.settings import SimulatorSettings
from tests.simulators.test_ledger import a_batch

CONNECT, PUBLISH, UNSUBSCRIBE = 0x10, 0x30, 0xA0
CONNACK = bytes([0x20, 3, 0, 0, 0])
NO_SUBSCRIPTION_EXISTED = 0x11


class ForgetfulBroker:
    """Acknowledges every message; its first life ends, everything forgotten, when it is asked anything more."""

    def __init__(self) -> None:
        self.lives: list[list[bytes]] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._run, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _run(self) -> None:
        while True:
            try:
                line, _ = self._listener.accept()
            except OSError:
                return
            self.lives.append([])
            with line, line.makefile("rb") as stream:
                while self._answer(line, *packet(stream)):
                    pass

    def _answer(self, line: socket.socket, kind: int, body: bytes) -> bool:
        if kind == CONNECT:
            line.sendall(CONNACK)
        elif kind == PUBLISH:
            (length,) = struct.unpack_from(">H", body)
            self.lives[-1].append(body[length + 5 :])  # topic, packet id (2 bytes), no properties (1 byte)
            line.sendall(bytes([0x40, 2]) + body[2 + length : 4 + length])
        elif kind == UNSUBSCRIBE and len(self.lives) > 1:
            line.sendall(bytes([0xB0, 4]) + body[:2] + bytes([0, NO_SUBSCRIPTION_EXISTED]))
        else:
            return False
        return True


def packet(stream: BinaryIO) -> tuple[int, bytes]:
    """One MQTT packet: its kind and body; kind 0 at the end."""
    take = stream.read
    first = take(1)
    if not first:
        return 0, b""
    length, shift = 0, 0
    while True:
        (digit,) = take(1)
        length |= (digit & 0x7F) << shift
        shift += 7
        if digit < 0x80:
            return first[0] & 0xF0, take(length)


@pytest.fixture
def broker() -> Iterator[ForgetfulBroker]:
    made = ForgetfulBroker()
    yield made
    made.close()


def test_what_a_broker_acknowledged_and_forgot_is_sent_again_before_it_counts(
    broker: ForgetfulBroker, tmp_path: Path
) -> None:
    path, names = tmp_path / "city.ledger", Names()
    batch = a_batch(names, 20)
    with LedgerWriter(path, names, {}, fsync_every_s=1.0) as ledger:
        publisher = Publisher(MqttSettings(port=broker.port), SimulatorSettings(), "believer", ledger)
        publisher.send(batch, lambda: False)
        ends_s = time.monotonic() + 10
        while len(broker.lives) < 2 and time.monotonic() < ends_s:
            assert publisher.totals().acked_messages == 0, "the first life acknowledged and never answered again"
            publisher.poll(0.02)
        assert publisher.drain(10)
        publisher.close()
    assert set(broker.lives[1]) == set(batch.payloads), "some by the client itself, the acknowledged ones by us"
    assert publisher.totals().acked_messages == len(batch)
    assert publisher.totals().resent_readings > 0
    acks = read(path).acks
    assert len(acks) == len(batch)
    assert acks["sends"].max() == 2
