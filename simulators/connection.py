"""One MQTT 5 connection that publishes at QoS 1 with many messages in flight, driven by the caller's own loop.

paho runs without its thread: publishing and answers then happen in one place and in order, and no lock is taken for a message.
"""

from __future__ import annotations

import contextlib
import select
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from ingest.contract.broker import MqttSettings
from ingest.contract.operating import EXIT_TROUBLE, UserError

NO_SUBSCRIBER = 16
_NOT_TAKEN = frozenset({NO_SUBSCRIBER, 151})
"""Answers after which the message is still ours: no session wants it yet, or a quota is used up."""
_HOPELESS = frozenset({132, 133, 134, 135, 138, 140})
"""Answers to CONNECT that no waiting mends: protocol, client id, credentials, authorisation, banned, authentication method."""
PACKET_TOO_LARGE = 149
_REFUSED = 128
_LONGEST_PAUSE_S = 5.0
_BARRIER = "citynerve/barrier"
"""A filter nobody subscribes to: unsubscribing from it changes nothing, and the broker must answer."""
_SESSION_EXPIRY_S = 300


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message under its ledger number; `sends` counts how often it was given to the broker."""

    number: int
    topic: str
    payload: bytes
    readings: int
    sends: int = 1


@dataclass(frozen=True, slots=True)
class Answer:
    """The broker's last word on a message: reason 0 is taken, from 128 on refused."""

    message: Outgoing
    reason: int
    at_us: int


class Connection:
    """Keeps at most `in_flight` messages unanswered; re-sends what was not taken; reconnects for as long as it is polled.

    A PUBACK is believed once the broker has answered something sent after it: Mosquitto acknowledges a message a moment before it commits
    it, and a kill in between loses it (docs/local-stack.md). The question is an UNSUBSCRIBE that changes nothing. When the connection is
    lost, messages whose PUBACK is not believed are published again; those unanswered paho sends again, flagged as duplicates.
    """

    def __init__(self, settings: MqttSettings, client_id: str, *, in_flight: int, retry_s: float) -> None:
        self._settings, self._window, self._first_pause_s = settings, in_flight, retry_s
        self._flying: dict[int, Outgoing] = {}
        self._held: list[Outgoing] = []
        self._answers: deque[Answer] = deque()
        self._unsure: list[Answer] = []
        self._asked: list[Answer] = []
        self._barrier_mid: int | None = None
        self._pause_s, self._probe_at_s, self._probing, self._release = retry_s, 0.0, False, False
        self._reconnect_pause_s, self._reconnect_at_s = 0.1, 0.0
        self._largest_packet = 268_435_455
        self.connected = False
        self.trouble = "not connected yet"
        self.connects = 0
        self.not_taken = 0
        self.resent_readings = 0
        self._client = self._make_client(client_id)

    def _make_client(self, client_id: str) -> Client:
        client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.suppress_exceptions = True
        client.max_inflight_messages_set(self._window)
        if self._settings.username is not None:
            password = self._settings.password
            client.username_pw_set(self._settings.username, password.get_secret_value() if password else None)
        if self._settings.tls_ca is not None:
            client.tls_set(ca_certs=self._settings.tls_ca)
        client.on_connect, client.on_disconnect, client.on_publish = (
            self._on_connect,
            self._on_disconnect,
            self._on_publish,
        )
        client.on_unsubscribe = self._on_barrier
        return client

    @property
    def unanswered(self) -> int:
        """Messages in flight, held back, or with a PUBACK not yet believed."""
        return len(self._flying) + len(self._held) + len(self._unsure) + len(self._asked)

    @property
    def held(self) -> int:
        """Messages that were not taken and wait to be sent again."""
        return len(self._held)

    @property
    def unanswered_readings(self) -> int:
        """Readings of the unanswered messages."""
        unsure = (answer.message for answer in [*self._unsure, *self._asked])
        return sum(message.readings for message in [*self._flying.values(), *self._held, *unsure])

    @property
    def ready(self) -> bool:
        """Whether a message may be given to `publish` now."""
        return self.connected and not self._held and len(self._flying) < self._window

    def publish(self, message: Outgoing) -> bool:
        """Send a message; False where the client has no room for it now (nothing was sent)."""
        if len(message.payload) + len(message.topic) + 16 > self._largest_packet:
            self._answers.append(
                Answer(message, PACKET_TOO_LARGE, _now_us())
            )  # sending it would cost the connection, again and again
            return True
        info = self._client.publish(message.topic, message.payload, qos=1)
        if info.rc == MQTTErrorCode.MQTT_ERR_QUEUE_SIZE:
            return False
        self._flying[info.mid] = message  # also with MQTT_ERR_NO_CONN: paho has it and sends it after the reconnect
        return True

    def answers(self) -> Sequence[Answer]:
        """The answers that came since the last call."""
        found = list(self._answers)
        self._answers.clear()
        return found

    def poll(self, timeout_s: float) -> None:
        """Read and write what is possible, waiting up to `timeout_s` for the broker; (re)connect where that is due.

        Raises:
            UserError: the broker refuses us for a reason that waiting does not mend.
        """
        sock = self._client.socket()
        if sock is None:
            self._reconnect(timeout_s)
            return
        writing = [sock] if self._client.want_write() else []
        with contextlib.suppress(OSError, ValueError):
            readable, writable, _ = select.select([sock], writing, [], timeout_s)
            if readable:
                self._client.loop_read()
            if writable and self._client.socket() is not None:
                self._client.loop_write()
        self._client.loop_misc()
        self._send_held()
        self._ask_barrier()

    def close(self) -> None:
        """Say goodbye; what is unanswered stays so."""
        if self._client.socket() is not None:
            self._client.disconnect()
            with contextlib.suppress(OSError, ValueError):
                self._client.loop_write()

    def _reconnect(self, timeout_s: float) -> None:
        wait_s = self._reconnect_at_s - time.monotonic()
        if wait_s > 0:
            time.sleep(min(wait_s, timeout_s))
            return
        self._reconnect_at_s = time.monotonic() + self._reconnect_pause_s
        self._reconnect_pause_s = min(self._reconnect_pause_s * 2, _LONGEST_PAUSE_S)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho
        properties.SessionExpiryInterval = _SESSION_EXPIRY_S
        try:
            if self.connects:
                self._client.reconnect()
            else:
                self._client.connect(
                    self._settings.host, self._settings.port, self._settings.keepalive_s, properties=properties
                )
        except OSError as error:
            self.trouble = f"{self._settings.host}:{self._settings.port}: {error.strerror or error}"

    def _send_held(self) -> None:
        """Try one of the messages that were not taken; once it is taken the others follow, in order."""
        if not self._held or not self.connected or self._probing:
            return
        waiting, self._held = sorted(self._held, key=lambda message: message.number), []
        if self._release:
            self._release = False
            for message in waiting:
                self._again(message)
        elif time.monotonic() >= self._probe_at_s:
            self._held = waiting[1:]
            self._probing = self._again(waiting[0])
        else:
            self._held = waiting

    def _ask_barrier(self) -> None:
        """Ask the broker anything after the PUBACKs that came: its answer makes them good."""
        if self._unsure and self._barrier_mid is None and self.connected:
            error, mid = self._client.unsubscribe(_BARRIER)
            if error == MQTTErrorCode.MQTT_ERR_SUCCESS:
                self._barrier_mid, self._asked, self._unsure = mid, self._unsure, []

    def _on_barrier(
        self, _client: Client, _data: Any, mid: int, _reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        if mid == self._barrier_mid:
            self._answers.extend(self._asked)
            self._barrier_mid, self._asked = None, []

    def _again(self, message: Outgoing) -> bool:
        if self.publish(replace(message, sends=message.sends + 1)):
            return True
        self._held.append(message)
        return False

    def _on_connect(
        self, _client: Client, _data: Any, _flags: ConnectFlags, reason: ReasonCode, properties: Properties | None
    ) -> None:
        if reason.value in _HOPELESS:
            self.trouble = f"hopeless: {reason}"
            return
        if reason.value >= 128:
            self.trouble = f"the broker answered {reason}"
            return
        if self.connects:
            self.resent_readings += sum(message.readings for message in self._flying.values())
            self._flying = {mid: replace(message, sends=message.sends + 1) for mid, message in self._flying.items()}
        self.connects += 1
        self.connected, self.trouble, self._reconnect_pause_s = True, "", 0.1
        limits = vars(properties) if properties is not None else {}
        self._largest_packet = limits.get("MaximumPacketSize", self._largest_packet)
        self._window = min(self._window, limits.get("ReceiveMaximum", 65_535))

    def _on_disconnect(
        self, _client: Client, _data: Any, _flags: DisconnectFlags, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        self.connected, self._probing = False, False
        doubtful = [answer.message for answer in [*self._asked, *self._unsure]]
        self._barrier_mid, self._asked, self._unsure = None, [], []
        if doubtful:
            self.resent_readings += sum(message.readings for message in doubtful)
            self._held, self._release = doubtful + self._held, True
        if not self.trouble.startswith("hopeless"):
            self.trouble = f"disconnected: {reason}"

    def _on_publish(
        self, _client: Client, _data: Any, mid: int, reason: ReasonCode, _properties: Properties | None
    ) -> None:
        message = self._flying.pop(mid, None)
        if message is None:
            return
        probing, self._probing = self._probing, False
        if reason.value in _NOT_TAKEN:
            self.not_taken += 1
            self._held.append(message)
            self._probe_at_s = time.monotonic() + self._pause_s
            self._pause_s = min(self._pause_s * 2, _LONGEST_PAUSE_S) if probing else self._pause_s
            return
        answer = Answer(message, reason.value, _now_us())
        (self._answers if reason.value >= _REFUSED else self._unsure).append(answer)
        if probing:  # the others follow from `poll`: paho's locks are held in here
            self._pause_s, self._release = self._first_pause_s, True

    def check_hope(self) -> None:
        """Raise where the broker's refusal will not go away by itself."""
        if self.trouble.startswith("hopeless"):
            reason = self.trouble.removeprefix("hopeless: ")
            raise UserError(
                f"the MQTT broker refuses the connection ({reason}); see [mqtt] username and password",
                exit_code=EXIT_TROUBLE,
            )


def _now_us() -> int:
    return time.time_ns() // 1000
