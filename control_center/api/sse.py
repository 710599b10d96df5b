"""The response of a live stream. Own ASGI code because every send needs a deadline: a browser that stops reading must not be waited for."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from control_center.stream import Client, Hub

_HEARTBEAT_S: Final = 15.0
_HEADERS: Final = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
]


class EventStream(Response):
    """Sends what the hub holds for one client until either side ends it."""

    def __init__(self, hub: Hub, client: Client, *, send_timeout_s: float) -> None:
        super().__init__(media_type="text/event-stream")
        self._hub = hub
        self._client = client
        self._send_timeout_s = send_timeout_s

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the stream; returns when the client has gone, was too slow, or the service stops."""
        dropped: str | None = None
        sending = asyncio.create_task(self._send_all(send), name="live stream")
        gone = asyncio.create_task(_disconnected(receive), name="live stream disconnect")
        try:
            await asyncio.wait({sending, gone}, return_when=asyncio.FIRST_COMPLETED)
            if sending.done() and isinstance(sending.exception(), TimeoutError):
                dropped = "slow"
        finally:
            for task in (sending, gone):
                task.cancel()
            # a send to a vanished client raises OSError; that it has gone is all there is to know
            await asyncio.gather(sending, gone, return_exceptions=True)
            self._hub.leave(self._client, dropped=dropped)

    async def _send_all(self, send: Send) -> None:
        await self._send(send, {"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await self._send(send, {"type": "http.response.body", "body": b"retry: 2000\n\n", "more_body": True})
        while not self._hub.closed:
            body = self._hub.pending(self._client) or b": still here\n\n"
            await self._send(send, {"type": "http.response.body", "body": body, "more_body": True})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_HEARTBEAT_S):
                    await self._client.wake.wait()
        await self._send(send, {"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send, message: dict[str, object]) -> None:
        async with asyncio.timeout(self._send_timeout_s):
            await send(message)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
