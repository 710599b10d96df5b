"""The gateway's MQTT session: persistent, QoS 1, acknowledged by hand, in order, on the connection each message came from.

Runs on the event loop (no thread of its own); only connecting, which blocks, is done in a thread while nothing else touches the client.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import ssl
import time
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from ingest.ack_tracker import AckTracker, Ticket
from ingest.contract.broker import MqttSettings
from ingest.contract.steady_clock import wall_us
from ingest.inbox import Inbox
from ingest.messages import Messages
from ingest.metrics import IngestMetrics
from ingest.mqtt_client import BatchingClient
from ingest.settings import IngestSettings

log = logging.getLogger(__name__)

_RECONNECT_FIRST_S, _RECONNECT_MOST_S = 0.2, 15.0
_CONNECT_TIMEOUT_S = 5.0
_GOODBYE_S = 1.0
_GRANTED_QOS1 = 1
_REST_SHARE, _REST_MOST_S = 0.05, 0.025
"""Of the age at which frames go out, and at most: how long the socket is left alone after each read. The broker sends no more than
`receive_maximum` messages in a rest: 8000 in the 3 s of an age of a minute would be all."""


class MqttSource:
    """Messages in batches, in the order received.

    `unacknowledged` is bounded: past the limits the socket is not read until enough is acknowledged (Receive Maximum alone is no bound:
    some brokers open a new window with every acknowledgement).
    """

    def __init__(
        self, mqtt: MqttSettings, settings: IngestSettings, metrics: IngestMetrics, *, session_expected: bool
    ) -> None:
        self._mqtt = mqtt
        self._settings = settings
        self._metrics = metrics
        self._session_expected = session_expected
        self._filters = [route.topic for route in settings.routes]
        self._tracker = AckTracker()
        self._inbox = Inbox(settings.slice_messages, settings.slice_bytes)
        self._wanted = 1
        self._rest_s = min(settings.flush_age_ms / 1000 * _REST_SHARE, _REST_MOST_S)
        self._resting: asyncio.TimerHandle | None = None
        self._last_arrival = 0.0
        self._last_us = 0
        self._arrived = asyncio.Event()
        self._dropped = asyncio.Event()
        self._reading = False
        self._taking = True
        self._subscribed = False
        self._subscribe_mid: int | None = None
        self._trouble = "not connected to the MQTT broker yet"
        self._held_bytes = 0
        self.on_session: Callable[[], None] = lambda: None
        self.now_us = wall_us
        self._client = self._make_client()
        metrics.unacked_messages.set_function(lambda: self.unacknowledged)

    # -- for the pipeline

    async def batch(self, timeout_s: float, at_least: int = 1) -> Messages:
        """Up to `slice_messages` messages, received one after the other on one connection.

        Waits for `at_least` of them (fewer where they are large or the socket is left unread), and for `timeout_s` at most.
        """
        if not self._enough(at_least):
            self._wanted = at_least
            self._arrived.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._arrived.wait()
        return self._inbox.slice()

    def _enough(self, wanted: int) -> bool:
        waiting = len(self._inbox)
        return waiting >= wanted or (waiting > 0 and (self._inbox.full or not self._reading))

    @property
    def silent_s(self) -> float:
        """Seconds since the last message came."""
        return time.monotonic() - self._last_arrival

    def track(self, messages: Messages) -> Ticket:
        """Note that these messages, the next in order of receipt, are being worked on."""
        self._held_bytes += messages.size_bytes()
        # the inbox is emptied on a reconnect, so whatever is in it belongs to the current connection
        return self._tracker.open(messages.mids, self._tracker.generation)

    def finish(self, ticket: Ticket, held_bytes: int) -> None:
        """All of a ticket is safe: acknowledge what its order allows."""
        self._held_bytes -= held_bytes
        ready = self._tracker.complete(ticket)
        if ready and self._client.is_connected():
            self._client.acknowledge(ready)
            self._watch_writes()
        self._read_or_pause()

    @property
    def unacknowledged(self) -> int:
        """Messages received and not yet acknowledged."""
        return self._tracker.unfinished + len(self._inbox)

    @property
    def not_ready(self) -> str | None:
        """Why devices should not rely on this gateway yet; None when its session and subscriptions stand."""
        return None if self._subscribed and self._client.is_connected() else self._trouble

    def stop_taking(self) -> None:
        """Read no more; what was received can still be acknowledged."""
        self._taking = False
        self._read_or_pause()

    async def disconnect(self) -> None:
        """Say goodbye. The session stays at the broker, which keeps what comes for it."""
        self._unwatch()
        await asyncio.to_thread(self._client.leave, _GOODBYE_S)

    # -- the connection

    async def run(self) -> None:
        """Connect, and connect again, for ever; each wait is bounded. Cancel to end it."""
        delay = _RECONNECT_FIRST_S
        while True:
            connected = await self._connect()
            if connected:
                started = time.monotonic()
                await self._attend()
                delay = _RECONNECT_FIRST_S if time.monotonic() - started > 10 else delay
            if not self._taking:
                return
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - spreads gateways out, no secret
            delay = min(delay * 2, _RECONNECT_MOST_S)

    async def _connect(self) -> bool:
        self._dropped.clear()
        try:
            rc = await asyncio.to_thread(self._client.reconnect)
        except (OSError, ValueError) as error:
            self._trouble = f"no MQTT broker at {self._mqtt.host}:{self._mqtt.port}: {error}"
            self._metrics.mqtt_connects.labels("unreachable").inc()
            log.warning("MQTT broker not reachable", extra={"fields": {"error": str(error)}})
            return False
        if rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            return False
        self._watch()
        return True

    async def _attend(self) -> None:
        """While connected: keep-alive, watchdog; returns when the connection is gone."""
        connected_by = time.monotonic() + 2 * _CONNECT_TIMEOUT_S
        silence_s = 2.5 * self._mqtt.keepalive_s
        paused_since_ping = time.monotonic()
        while not self._dropped.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(1.0, self._mqtt.keepalive_s / 4)):
                    await self._dropped.wait()
            now = time.monotonic()
            if self._dropped.is_set():
                break
            if not self._reading and self._client.is_connected():
                if now - paused_since_ping > self._mqtt.keepalive_s / 2:
                    self._client.ping_while_paused()
                    paused_since_ping = now
            else:
                self._client.loop_misc()
                silent = now - self._client.last_packet > silence_s and now > connected_by
                if silent or (now > connected_by and not self._client.is_connected()):
                    self._metrics.mqtt_connects.labels("watchdog").inc()
                    self._client.break_connection()
            self._watch_writes()
        self._unwatch()

    def _make_client(self) -> BatchingClient:
        client = BatchingClient(
            f"citynerve-{self._settings.gateway_id}", self._settings.max_payload_bytes, self._received
        )
        client.connect_timeout = _CONNECT_TIMEOUT_S
        if self._mqtt.username is not None:
            password = self._mqtt.password
            client.username_pw_set(self._mqtt.username, password.get_secret_value() if password else None)
        if self._mqtt.tls_ca is not None:
            client.tls_set_context(ssl.create_default_context(cafile=self._mqtt.tls_ca))
        client.on_connect = self._on_connect
        client.on_subscribe = self._on_subscribe
        client.on_disconnect = self._on_disconnect
        client.on_pre_connect = self._on_pre_connect
        client.on_socket_close = self._on_socket_close
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho leaves it untyped
        properties.SessionExpiryInterval = self._settings.session_expiry_s
        properties.ReceiveMaximum = self._settings.receive_maximum
        client.connect_async(
            self._mqtt.host, self._mqtt.port, self._mqtt.keepalive_s, clean_start=False, properties=properties
        )
        return client

    # -- paho's callbacks; none may raise

    def _on_pre_connect(self, _client: paho.Client, _userdata: Any) -> None:
        self._forget_connection()

    def _on_connect(
        self,
        client: paho.Client,
        _userdata: Any,
        flags: paho.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._trouble = f"the MQTT broker refused the gateway: {reason}"
            self._metrics.mqtt_connects.labels("refused").inc()
            log.error("MQTT broker refused the connection", extra={"fields": {"reason": str(reason)}})
            return
        self._tracker.connect()
        self._metrics.mqtt_is(up=True)
        self._metrics.mqtt_connects.labels("resumed" if flags.session_present else "new_session").inc()
        if self._session_expected and not flags.session_present:
            self._metrics.mqtt_connects.labels("session_lost").inc()
            log.error("the MQTT broker has forgotten this gateway's session: what it kept for us is lost")
        self._trouble = "subscribing"
        _, self._subscribe_mid = client.subscribe(
            [(topic, SubscribeOptions(qos=1, retainHandling=1)) for topic in self._filters]
        )

    def _on_subscribe(
        self, _client: paho.Client, _userdata: Any, mid: int, reasons: list[ReasonCode], _properties: Properties | None
    ) -> None:
        if mid != self._subscribe_mid:
            self._client.fault = f"the broker sent SUBACK for packet id {mid}, which was not used"
            return
        refused = [
            topic for topic, reason in zip(self._filters, reasons, strict=False) if reason.value != _GRANTED_QOS1
        ]
        if refused or len(reasons) != len(self._filters):
            self._trouble = f"the MQTT broker refused to subscribe {', '.join(refused) or 'some topics'} at QoS 1"
            log.error("subscription refused", extra={"fields": {"topics": refused}})
            return
        self._subscribed = True
        self._session_expected = True
        log.info("MQTT session stands", extra={"fields": {"topics": self._filters}})
        self.on_session()

    def _on_disconnect(
        self,
        _client: paho.Client,
        _userdata: Any,
        _flags: paho.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._forget_connection()
        why = self._client.fault or str(reason)
        self._trouble = f"the MQTT connection was lost: {why}"
        self._dropped.set()
        if self._taking:
            self._metrics.mqtt_connects.labels("lost").inc()
            log.warning("MQTT disconnected", extra={"fields": {"reason": why}})

    def _on_socket_close(self, _client: paho.Client, _userdata: Any, sock: Any) -> None:
        # before the system can give the number to another socket
        with contextlib.suppress(RuntimeError):  # connecting runs in a thread, where nothing was watched yet
            loop = asyncio.get_running_loop()
            loop.remove_reader(sock.fileno())
            loop.remove_writer(sock.fileno())
            self._stop_resting()
        self._reading = False

    def _forget_connection(self) -> None:
        self._tracker.disconnect()
        self._subscribed = False
        self._metrics.mqtt_is(up=False)
        # not worked on yet and no longer ours to acknowledge: the broker delivers them again
        self._inbox.clear()

    def _received(self, messages: Messages) -> None:
        now_us = self.now_us()
        self._last_us = messages.came(now_us, self._last_us)
        self._inbox.add(messages)
        self._last_arrival = time.monotonic()
        self._metrics.messages.inc(len(messages))
        self._metrics.last_message.set(now_us / 1e6)
        if messages.dups:
            self._metrics.redelivered.inc(len(messages.dups))
        self._read_or_pause()
        if self._enough(self._wanted):
            self._arrived.set()

    # -- the event loop's side of the socket

    def _watch(self) -> None:
        self._reading = False
        self._read_or_pause()
        self._watch_writes()

    def _unwatch(self) -> None:
        sock = self._client.socket()
        if sock is not None:
            loop = asyncio.get_running_loop()
            loop.remove_reader(sock.fileno())
            loop.remove_writer(sock.fileno())
        self._stop_resting()
        self._reading = False

    def _read_or_pause(self) -> None:
        sock = self._client.socket()
        if sock is None or sock.fileno() < 0:
            return
        settings = self._settings
        held = self._inbox.size + self._held_bytes
        factor = 1.0 if self._reading else 0.8
        room = (
            self.unacknowledged < settings.max_unacked_messages * factor and held < settings.max_unacked_bytes * factor
        )
        wanted = self._taking and room
        if wanted and not self._reading:
            asyncio.get_running_loop().add_reader(sock.fileno(), self._readable)
        elif self._reading and not wanted:
            self._stop_resting()
            asyncio.get_running_loop().remove_reader(sock.fileno())
            if self._taking:
                self._metrics.reading_paused.inc()
        self._reading = wanted

    def _readable(self) -> None:
        self._drive(self._client.loop_read)
        while self._reading and self._client.pending_bytes():
            self._drive(self._client.loop_read)
        self._rest()

    def _rest(self) -> None:
        """Leave the socket alone for a moment, unless much is there: what comes meanwhile is read at once, and goes out no later.

        Woken for each packet, the gateway and the broker spend more on waking than on messages.
        """
        sock = self._client.socket()
        if self._reading and sock is not None and not self._client.chunk_was_full:
            loop = asyncio.get_running_loop()
            loop.remove_reader(sock.fileno())
            self._resting = loop.call_later(self._rest_s, self._rested, sock.fileno())

    def _rested(self, number: int) -> None:
        self._resting = None
        asyncio.get_running_loop().add_reader(number, self._readable)

    def _stop_resting(self) -> None:
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None

    def _writable(self) -> None:
        self._drive(self._client.loop_write)

    def _drive(self, step: Callable[[], MQTTErrorCode]) -> None:
        try:
            step()
        except Exception:
            log.exception("the MQTT client failed; connecting again")
            self._client.break_connection()
        if self._client.socket() is None:
            self._dropped.set()
        else:
            self._watch_writes()

    def _watch_writes(self) -> None:
        sock = self._client.socket()
        if sock is None or sock.fileno() < 0:
            return
        loop = asyncio.get_running_loop()
        if self._client.want_write():
            loop.add_writer(sock.fileno(), self._writable)
        else:
            loop.remove_writer(sock.fileno())
