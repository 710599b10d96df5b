"""A TCP proxy before PostgreSQL that swallows the answer to every n-th COMMIT and cuts the connection there."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

_ANSWER = b"COMMIT\x00"  # the tag of CommandComplete


class CuttingProxy:
    """Counts the answers it lost."""

    def __init__(self, target_port: int, every: int) -> None:
        self._target_port, self._every = target_port, every
        self._seen = 0
        self.lost = 0

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, both ways, until either side or the proxy ends it."""
        up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        ways = [
            asyncio.create_task(self._forward(reader, up_writer, watched=False)),
            asyncio.create_task(self._forward(up_reader, writer, watched=True)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, up_writer):
            end.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, watched: bool) -> None:
        while data := await reader.read(65536):
            if watched and _ANSWER in data:
                self._seen += 1
                if self._seen % self._every == 0:
                    self.lost += 1
                    return
            writer.write(data)
            await writer.drain()


@contextlib.asynccontextmanager
async def cutting_proxy(target_port: int, every: int) -> AsyncIterator[tuple[int, CuttingProxy]]:
    """The proxy's port and itself while the body runs."""
    proxy = CuttingProxy(target_port, every)
    server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1], proxy
    finally:
        server.close()
