"""A broker that breaks the rules: accepts a gateway, answers CONNECT and SUBSCRIBE as a case says, and throws its bytes at it."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

CONNACK = b"\x20\x03\x00\x00\x00"
PINGRESP = b"\xd0\x00"


@dataclass(frozen=True, slots=True)
class Attack:
    """`data` is sent `times` over, after SUBACK or instead of CONNACK or SUBACK."""

    name: str
    data: bytes = b""
    times: int = 1
    instead_of: str = ""
    close: bool = False
    """Close the connection behind the bytes, as a broker that died in the middle of a packet would."""


def suback(packet: bytes) -> bytes:
    """Every subscription granted at QoS 1."""
    at = 2  # SUBSCRIBE of a few routes: its length is two bytes at most
    if packet[1] & 128:
        at = 3
    mid, rest = packet[at : at + 2], packet[at + 2 :]
    rest = rest[1 + rest[0] :]
    filters = 0
    while rest:
        rest = rest[2 + int.from_bytes(rest[:2], "big") + 1 :]
        filters += 1
    return bytes([0x90, 3 + filters]) + mid + b"\x00" + b"\x01" * filters


def publish(topic: bytes, payload: bytes, mid: int = 1, qos: int = 1) -> bytes:
    """A PUBLISH whose length may take two bytes."""
    body = len(topic).to_bytes(2, "big") + topic + (mid.to_bytes(2, "big") if qos else b"") + b"\x00" + payload
    return bytes([0x30 | qos << 1]) + _length(len(body)) + body


def _length(number: int) -> bytes:
    out = bytearray()
    while True:
        number, low = divmod(number, 128)
        out.append(low | (128 if number else 0))
        if not number:
            return bytes(out)


@dataclass
class HostileBroker:
    """Plays one attack on each connection, in order; when all are played it is a broker like any other."""

    attacks: list[Attack]
    good: bytes
    """Sent on the peaceful connection after SUBACK."""
    port: int = 0
    connections: int = 0
    pubacks: int = 0
    """Acknowledgements on the peaceful connection."""
    _stop: threading.Event = field(default_factory=threading.Event)

    def well(self) -> bool:
        """Whether the gateway has acknowledged the good message."""
        return self.pubacks > 0

    async def serve(self) -> None:
        """Until `stop`; bound to a free port."""
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0)
        self.port = int(server.sockets[0].getsockname()[1])
        async with server:
            await asyncio.to_thread(self._stop.wait)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        attack = self.attacks[self.connections] if self.connections < len(self.attacks) else None
        self.connections += 1
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, TimeoutError):
            async with asyncio.timeout(60):
                await self._talk(reader, writer, attack)
        writer.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, attack: Attack | None) -> None:
        await _packet(reader)
        if attack is not None and attack.instead_of == "CONNACK":
            await self._throw(reader, writer, attack)
            return
        writer.write(CONNACK)
        subscribe = await _packet(reader)
        if attack is not None and attack.instead_of == "SUBACK":
            await self._throw(reader, writer, attack)
            return
        writer.write(suback(subscribe))
        if attack is not None:
            await self._throw(reader, writer, attack)
            return
        writer.write(self.good)
        while True:
            packet = await _packet(reader)
            if packet[0] == 0xC0:
                writer.write(PINGRESP)
            self.pubacks += packet[0] == 0x40

    async def _throw(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, attack: Attack) -> None:
        for _ in range(attack.times):
            writer.write(attack.data)
            await writer.drain()
        if not attack.close:
            while await reader.read(65_536):
                pass

    @contextlib.contextmanager
    def running(self) -> Iterator[HostileBroker]:
        """In a thread of its own."""
        thread = threading.Thread(target=lambda: asyncio.run(self.serve()), daemon=True)
        thread.start()
        while not self.port:
            thread.join(0.01)
        try:
            yield self
        finally:
            self._stop.set()
            thread.join(10)


async def _packet(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(2)
    length, shift, at = head[1] & 127, 7, head
    while at[-1] & 128:
        at += await reader.readexactly(1)
        length |= (at[-1] & 127) << shift
        shift += 7
    return at + await reader.readexactly(length)
