"""A man in the middle between the gateway and its broker who breaks MQTT's rules, one after the other, in the midst of real messages."""

import asyncio
import contextlib
import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from deploy.chaos.hostile_packets import PUBLISH, Malice, packets
from deploy.local.readiness import HOST

_CHUNK_BYTES = 65_536
_THREAD_BUDGET_S = 10.0
_PEACE_S = 0.4
"""Good messages between two malices, so that each meets a session at work."""
_LASTS_S = 0.5


class HostileBroker:
    """Forwards to the broker at `target_port`; for the `with` statement. `done` names what was thrown at the client so far."""

    def __init__(self, target_port: int, malices: Sequence[Malice]) -> None:
        self._target_port = target_port
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hostile broker", daemon=True)
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = list(malices)
        self.done: list[str] = []
        self.connections = 0
        self.port = 0

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(_THREAD_BUDGET_S)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(_THREAD_BUDGET_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_THREAD_BUDGET_S)
        self._loop.close()

    async def _listen(self) -> None:
        self._listener = await asyncio.start_server(self._accepted, HOST, 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    async def _close(self) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(OSError):
            up_reader, up_writer = await asyncio.open_connection(HOST, self._target_port)
            ways = [
                asyncio.create_task(_forward(reader, up_writer)),
                asyncio.create_task(self._meddle(up_reader, writer)),
            ]
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                await asyncio.gather(*ways, return_exceptions=True)
                up_writer.transport.abort()
        writer.transport.abort()

    async def _meddle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream, peace_until_s = bytearray(), self._loop.time() + _PEACE_S
        now: Malice | None = None
        ends_s = 0.0
        while data := await reader.read(_CHUNK_BYTES):
            stream += data
            for packet in packets(stream):
                at_s = self._loop.time()
                if now is not None and at_s > ends_s:
                    now, peace_until_s = None, at_s + _PEACE_S
                begins = packet[0] & 0xF0 == PUBLISH and now is None and at_s > peace_until_s and bool(self._waiting)
                if begins:
                    now, ends_s = self._waiting.pop(0), at_s + _LASTS_S
                    self.done.append(now.name)
                strikes = now is not None and packet[0] & 0xF0 == PUBLISH and (begins or now.each)
                writer.write(now.instead(packet) if strikes and now is not None else packet)
            await writer.drain()


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK_BYTES):
        writer.write(data)
        await writer.drain()
