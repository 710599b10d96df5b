"""Gives batches to the broker over one or several connections, writes the ledger, and counts."""

from __future__ import annotations

import time
import zlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ingest.contract.broker import MqttSettings
from simulators.batch import Batch
from simulators.connection import Answer, Connection, Outgoing
from simulators.ledger import ACK, LedgerWriter
from simulators.settings import SimulatorSettings

_GROUP = 200
"""Messages recorded in the ledger at once: few enough that a stop leaves few recorded and unsent."""


@dataclass
class Totals:
    """What was sent and what the broker said. A message without readings (undecodable on purpose) counts as one reading."""

    messages: int = 0
    readings: int = 0
    acked_messages: int = 0
    acked_readings: int = 0
    not_taken: int = 0
    resent_readings: int = 0
    reconnects: int = 0
    unanswered: int = 0
    unanswered_readings: int = 0
    refused: Counter[int] = field(default_factory=Counter)

    def as_json(self) -> dict[str, int | dict[str, int]]:
        """For a machine: counters, `refused` by MQTT reason code in readings."""
        return {
            **{k: v for k, v in vars(self).items() if k != "refused"},
            "refused": {str(k): v for k, v in self.refused.items()},
        }


class Publisher:
    """Publishes in the order given; a device always goes over the same connection, so its order holds."""

    def __init__(self, mqtt: MqttSettings, settings: SimulatorSettings, client_id: str, ledger: LedgerWriter) -> None:
        self._ledger, self._settings = ledger, settings
        self._connections = [
            Connection(mqtt, f"{client_id}-{i}", in_flight=settings.in_flight, retry_s=settings.retry_s)
            for i in range(settings.connections)
        ]
        self._totals = Totals()

    def send(self, batch: Batch, stop: Callable[[], bool]) -> int:
        """Send messages, waiting for room as long as it takes; answers how many were sent before `stop` said so."""
        for start in range(0, len(batch), _GROUP):
            group = batch.cut(start, min(start + _GROUP, len(batch)))
            while not self._connections[0].ready and not stop():
                self.poll(0.05)
            if stop():
                return start
            sent = self._send_group(group, stop)
            if sent < len(group):
                return start + sent
        return len(batch)

    def _send_group(self, group: Batch, stop: Callable[[], bool]) -> int:
        numbers = self._ledger.about_to_send(group, time.time_ns() // 1000)
        counts = np.diff(group.first)
        messages = map(Outgoing, numbers.tolist(), group.topics, group.payloads, counts.tolist())
        for i, message in enumerate(messages):
            connection = self._connection(message.topic)
            while not (connection.ready and connection.publish(message)):
                self.poll(0.05)
                if stop():
                    return i
            self._totals.messages += 1
            self._totals.readings += message.readings
        self.poll(0.0)
        return len(group)

    def poll(self, timeout_s: float) -> None:
        """Hear the broker out; waits at most about `timeout_s`."""
        for connection in self._connections:
            connection.poll(timeout_s / len(self._connections))
            connection.check_hope()
        answers = [answer for connection in self._connections for answer in connection.answers()]
        self._record(answers)

    def drain(self, budget_s: float) -> bool:
        """Wait for the last answers; False where some did not come."""
        deadline_s = time.monotonic() + budget_s
        while any(connection.unanswered for connection in self._connections):
            if time.monotonic() > deadline_s:
                return False
            self.poll(0.05)
        return True

    def close(self) -> None:
        """Disconnect."""
        for connection in self._connections:
            connection.close()

    @property
    def trouble(self) -> str:
        """Why nothing goes out at the moment; empty where all is well."""
        held = sum(connection.held for connection in self._connections)
        reasons = [connection.trouble for connection in self._connections if connection.trouble]
        if held:
            reasons.append(f"{held} messages not taken yet: no subscriber's session wants them (is ingest running?)")
        return "; ".join(dict.fromkeys(reasons))

    def totals(self) -> Totals:
        """The counters as they stand."""
        totals = self._totals
        totals.not_taken = sum(connection.not_taken for connection in self._connections)
        totals.resent_readings = sum(connection.resent_readings for connection in self._connections)
        totals.reconnects = sum(max(0, connection.connects - 1) for connection in self._connections)
        totals.unanswered = sum(connection.unanswered for connection in self._connections)
        totals.unanswered_readings = sum(connection.unanswered_readings for connection in self._connections)
        return totals

    def _connection(self, topic: str) -> Connection:
        if len(self._connections) == 1:
            return self._connections[0]
        return self._connections[zlib.crc32(topic.encode()) % len(self._connections)]

    def _record(self, answers: list[Answer]) -> None:
        acks = np.empty(len(answers), ACK)
        for i, answer in enumerate(answers):
            acks[i] = (answer.message.number, answer.at_us, answer.reason, min(answer.message.sends, 65_535))
            if answer.reason >= 128:
                self._totals.refused[answer.reason] += answer.message.readings
            else:
                self._totals.acked_messages += 1
                self._totals.acked_readings += answer.message.readings
        self._ledger.answered(acks, time.monotonic())
