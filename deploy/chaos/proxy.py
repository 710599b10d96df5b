"""TCP proxies between our parts: cut, black hole, latency, bandwidth, reset in mid-packet, a lost answer. All run in one thread's loop."""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from deploy.chaos.answers import WATCHES, AnswerWatch
from deploy.local.readiness import HOST

_CHUNK_BYTES = 65_536
_CHUNKS_ON_THE_WAY = 256
_LOOK_AGAIN_S = 0.05
_CONNECT_BUDGET_S = 5.0
_THREAD_BUDGET_S = 10.0
_SMALLEST_TO_HALVE = 16
_Chunk = tuple[float, bytes]


@dataclass(slots=True)
class Weather:
    """What the line does to what passes it. `resets_left`: so many chunks are sent by half, then the connection is reset.

    `lose_every`: every n-th answer (see `answers`) is swallowed and its connection reset.
    """

    cut: bool = False
    black_hole: bool = False
    latency_s: float = 0.0
    bytes_per_s: float = 0.0
    resets_left: int = 0
    lose_every: int = 0


class TcpProxy:
    """One line to one server. `weather` may be replaced at any moment by `set`; `hurt` counts connections it ended and answers it lost."""

    def __init__(self, loop: asyncio.AbstractEventLoop, server: str, target_port: int) -> None:
        self._loop, self._server, self._target_port = loop, server, target_port
        self.weather = Weather()
        self.port = 0
        self.hurt = 0
        self._answers = 0
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self) -> None:
        """Take a free port."""
        self._listener = await asyncio.start_server(self._accepted, HOST, 0)
        self.port = self._listener.sockets[0].getsockname()[1]

    def set(self, weather: Weather) -> None:
        """Change the weather, from any thread; a cut ends what is open."""
        self._loop.call_soon_threadsafe(self._set, weather)

    def lead_to(self, port: int) -> int:
        """Connect what comes from now on to another port; returns the one before."""
        before, self._target_port = self._target_port, port
        return before

    def end_connections(self) -> None:
        """Reset every open connection, from any thread."""
        self._loop.call_soon_threadsafe(self._reset_all)

    @contextmanager
    def under(self, weather: Weather) -> Iterator[None]:
        """The weather while the body runs."""
        self.set(weather)
        try:
            yield
        finally:
            self.set(Weather())

    async def close(self) -> None:
        """End everything."""
        self._listener.close()
        self._reset_all()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _set(self, weather: Weather) -> None:
        self.weather = weather
        if weather.cut:
            self._reset_all()

    def _reset_all(self) -> None:
        self.hurt += len(self._open) // 2
        for writer in list(self._open):
            _reset(writer)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = self._loop.create_task(self._serve(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self.weather.cut:
                return
            async with asyncio.timeout(_CONNECT_BUDGET_S):
                up_reader, up_writer = await asyncio.open_connection(HOST, self._target_port)
        except (OSError, TimeoutError):
            return
        finally:
            if "up_writer" not in locals():
                _reset(writer)
        ends = {writer, up_writer}
        self._open |= ends
        try:
            await self._both_ways((reader, writer), (up_reader, up_writer))
        finally:
            self._open -= ends
            for end in ends:
                end.transport.abort()

    async def _both_ways(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        server: tuple[asyncio.StreamReader, asyncio.StreamWriter],
    ) -> None:
        watch = WATCHES[self._server]()
        up: asyncio.Queue[_Chunk] = asyncio.Queue(_CHUNKS_ON_THE_WAY)
        down: asyncio.Queue[_Chunk] = asyncio.Queue(_CHUNKS_ON_THE_WAY)
        readers = [
            asyncio.create_task(self._take(client[0], up, watch.asked)),
            asyncio.create_task(self._take(server[0], down, lambda _data: None)),
        ]
        writers = [
            asyncio.create_task(self._give(up, server[1], None)),
            asyncio.create_task(self._give(down, client[1], watch)),
        ]
        try:
            await asyncio.wait(writers, return_when=asyncio.FIRST_COMPLETED)
            if any(not w.cancelled() and w.exception() is None and w.result() for w in writers if w.done()):
                self.hurt += 1
                for end in (client[1], server[1]):
                    _reset(end)
        finally:
            for task in (*readers, *writers):
                task.cancel()
            await asyncio.gather(*readers, *writers, return_exceptions=True)

    async def _take(
        self, reader: asyncio.StreamReader, queue: asyncio.Queue[_Chunk], seen: Callable[[bytes], None]
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                seen(data)
                await queue.put((self._loop.time() + self.weather.latency_s, data))
        await queue.put((0.0, b""))

    async def _give(
        self, queue: asyncio.Queue[_Chunk], writer: asyncio.StreamWriter, watch: AnswerWatch | None
    ) -> bool:
        """Pass chunks on until the end; True where the weather ended it."""
        while True:
            due_s, data = await queue.get()
            await asyncio.sleep(max(0.0, due_s - self._loop.time()))
            while self.weather.black_hole:  # noqa: ASYNC110 - the weather changes from another thread
                await asyncio.sleep(_LOOK_AGAIN_S)
            if not data:
                return False
            if watch is not None and watch.answers(data) and self._loses_this_answer():
                return True
            if self.weather.resets_left > 0 and len(data) >= _SMALLEST_TO_HALVE:
                self.weather.resets_left -= 1
                writer.write(data[: len(data) // 2])
                await asyncio.sleep(_LOOK_AGAIN_S)
                return True
            writer.write(data)
            await writer.drain()
            if self.weather.bytes_per_s:
                await asyncio.sleep(len(data) / self.weather.bytes_per_s)

    def _loses_this_answer(self) -> bool:
        if not self.weather.lose_every:
            return False
        self._answers += 1
        return self._answers % self.weather.lose_every == 0


def _reset(writer: asyncio.StreamWriter) -> None:
    """End a connection by RST, as a peer does that knows nothing of it any more."""
    line = writer.get_extra_info("socket")
    if line is not None:
        with contextlib.suppress(OSError):
            line.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


class ProxyRoom:
    """The thread whose loop the proxies run in."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()
        self._proxies: list[TcpProxy] = []

    def proxy(self, server: str, target_port: int) -> TcpProxy:
        """A listening proxy before a server's port."""
        proxy = TcpProxy(self._loop, server, target_port)
        asyncio.run_coroutine_threadsafe(proxy.listen(), self._loop).result(_THREAD_BUDGET_S)
        self._proxies.append(proxy)
        return proxy

    def close(self) -> None:
        """End all proxies and the thread."""
        for proxy in self._proxies:
            asyncio.run_coroutine_threadsafe(proxy.close(), self._loop).result(_THREAD_BUDGET_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_THREAD_BUDGET_S)
        self._loop.close()
