"""paho-mqtt with a faster receive path: the socket read in large chunks, PUBLISH taken apart in batches, acknowledgements in groups.

paho keeps what it is good at: CONNECT, TLS, subscribe, keep-alive, DISCONNECT. Its own way of receiving reads a packet with four recv calls
and builds three objects for it (16-36 us a QoS 1 message measured); this one costs about 1 us.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode

from ingest.messages import Messages
from ingest.mqtt_packets import MalformedStreamError, OtherPacket, PacketReader, pubacks

_CHUNK_BYTES = 262_144
_QUICK_ACK = getattr(socket, "TCP_QUICKACK", None)
_PUBACK = 0x40
_DISCONNECT = b"\xe0\x00"
_ONCE = {0x20: "CONNACK", 0x90: "SUBACK"}
"""Packets a gateway awaits once a connection. More of them would each subscribe again, or log again."""
_ANY_TIME = (0xD0, 0xE0)
"""PINGRESP and DISCONNECT. A gateway publishes nothing and uses no QoS 2: whatever else comes is a broker gone wrong, and paho would
answer a flood of it (PUBREL by PUBCOMP) into a queue without a bound."""


class BatchingClient(paho.Client):
    """A paho client for an outside event loop; `on_messages` gets each chunk's messages in one call.

    Everything runs on the caller's thread: call `loop_read`, `loop_write` and `loop_misc` from one thread only.
    """

    def __init__(self, client_id: str, max_payload: int, on_messages: Callable[[Messages], None]) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv5, manual_ack=True)
        # a callback that raises would otherwise end paho's work for good while is_connected() still says True
        self.suppress_exceptions = True
        self._max_payload = max_payload
        self._on_messages = on_messages
        self._reader = PacketReader(max_payload)
        self.last_packet = time.monotonic()
        self.chunk_was_full = False
        """Whether more was there than one read takes."""
        self.fault = ""
        """What the peer sent that ended the connection; empty where it did nothing wrong."""
        self._seen: set[int] = set()

    def reconnect(self) -> MQTTErrorCode:
        """Connect anew; bytes of the old connection are forgotten with it. Blocks while connecting."""
        self._reader = PacketReader(self._max_payload, self._reader.topics)
        self.fault = ""
        self._seen.clear()
        return super().reconnect()

    def loop_read(self, max_packets: int = 1) -> MQTTErrorCode:  # noqa: ARG002 - paho's signature
        """Read one chunk and handle every whole packet in it, in order."""
        if self._sock is None:
            return MQTTErrorCode.MQTT_ERR_NO_CONN
        try:
            chunk = self._received_bytes()
        except BlockingIOError:
            return MQTTErrorCode.MQTT_ERR_SUCCESS
        except OSError:
            chunk = b""
        self._answer_at_once()
        self.chunk_was_full = len(chunk) >= _CHUNK_BYTES
        self.last_packet = self._last_bytes_received = time.monotonic()
        rc = self._handle_chunk(chunk) if chunk else MQTTErrorCode.MQTT_ERR_CONN_LOST
        return rc if rc == MQTTErrorCode.MQTT_ERR_SUCCESS or self._sock is None else self._loop_rc_handle(rc)

    def _received_bytes(self) -> bytes:
        """What is there, up to a chunk and a TLS record.

        TLS gives a record at a time, and Mosquitto makes one of each packet: with a rest after every read, 230 messages a second were left.
        """
        chunk = self._sock_recv(_CHUNK_BYTES)
        if not chunk or not self._ssl:
            return chunk
        records, size = [chunk], len(chunk)
        with contextlib.suppress(OSError):  # nothing more is there, or the next read meets the end again
            # whole records: the socket does not become readable for the rest of one, should reading be paused now
            while size < _CHUNK_BYTES and (record := self._sock_recv(_CHUNK_BYTES)):
                records.append(record)
                size += len(record)
        return b"".join(records)

    def _answer_at_once(self) -> None:
        """Let the system acknowledge what was read now and not 40 ms later: a broker without TCP_NODELAY gathers small packets until then.

        Gathered, a packet costs Mosquitto 2 us less than sent by itself.
        """
        if _QUICK_ACK is not None and self._sock is not None:
            with contextlib.suppress(OSError):
                self._sock.setsockopt(socket.IPPROTO_TCP, _QUICK_ACK, 1)  # type: ignore[attr-defined]  # paho's protocol class leaves it out

    def _handle_chunk(self, chunk: bytes) -> MQTTErrorCode:
        try:
            messages, others = self._reader.feed(chunk)
        except MalformedStreamError as error:
            self.fault = f"the broker sent no MQTT 5: {error}"
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        # CONNACK comes first on a connection and SUBACK carries no data: handling control packets before messages keeps their meaning
        for packet in others:
            rc = self._handle_control(packet)
            if rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
                return rc
        if messages:
            self._on_messages(messages)
        return MQTTErrorCode.MQTT_ERR_SUCCESS

    def _handle_control(self, packet: OtherPacket) -> MQTTErrorCode:
        if packet.command not in _ANY_TIME and (packet.command not in _ONCE or packet.command in self._seen):
            what = _ONCE.get(packet.command, f"a packet that begins with {packet.command:#04x}")
            self.fault = f"the broker sent {what} {'again' if packet.command in _ONCE else 'to a subscriber'}"
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        self._seen.add(packet.command)
        self._in_packet["command"] = packet.command
        self._in_packet["packet"] = bytearray(packet.body)
        self._in_packet["remaining_length"] = len(packet.body)
        self._in_packet["pos"] = 0
        try:
            rc = self._packet_handle()
        except (
            Exception
        ) as error:  # paho raises struct.error, IndexError, MQTTException and its own type on broken packets
            self.fault = (
                f"the broker sent a broken packet that begins with {packet.command:#04x}: {type(error).__name__}"
            )
            return MQTTErrorCode.MQTT_ERR_PROTOCOL
        return MQTTErrorCode.MQTT_ERR_PROTOCOL if self.fault else rc

    def acknowledge(self, mids: list[int]) -> MQTTErrorCode:
        """PUBACK all of them, in this order, in one write."""
        return self._packet_queue(_PUBACK, pubacks(mids), 0, 0)

    def ping_while_paused(self) -> None:
        """Show the broker a sign of life while we do not read: its answer stays unread, and paho must not take that for a dead peer."""
        self._send_pingreq()
        self._ping_t = 0.0
        self._last_bytes_received = time.monotonic()

    def pending_bytes(self) -> int:
        """Bytes that TLS has decrypted already; the socket will not become readable for them."""
        pending = getattr(self._sock, "pending", None)
        return int(pending()) if pending is not None else 0

    def leave(self, timeout_s: float) -> None:
        """Send what waits and DISCONNECT, then read until the broker closes. Blocks up to about `timeout_s`.

        paho closes at once; with messages of the broker unread the system then sends a reset, and the last acknowledgements were lost
        by it (23 of 2,631 messages came again in a trial).
        """
        sock = self._sock
        if sock is None:
            return
        ends = time.monotonic() + timeout_s
        with contextlib.suppress(OSError):
            sock.settimeout(timeout_s)  # type: ignore[attr-defined]  # paho's protocol class leaves it out
            while self.want_write() and self.loop_write() == MQTTErrorCode.MQTT_ERR_SUCCESS:
                pass
            sock.send(_DISCONNECT)
            while time.monotonic() < ends and sock.recv(_CHUNK_BYTES):
                pass
        self._sock_close()

    def break_connection(self) -> None:
        """Close the socket of a connection that no longer answers; paho reports it as lost."""
        self._loop_rc_handle(MQTTErrorCode.MQTT_ERR_CONN_LOST)
