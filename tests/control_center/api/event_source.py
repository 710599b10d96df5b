"""Reads server-sent events as a browser does (WHATWG HTML 9.2.6): id, event and data of each block."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True)
class Event:
    name: str
    data: Any
    id: str | None


class EventSource:
    """One open stream; `until` reads on until an event fits."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()
        self.seen: list[Event] = []
        self.last_id: str | None = None

    async def next(self) -> Event:
        fields: dict[str, str] = {}
        async for line in self._lines:
            if not line:
                if "event" in fields:
                    break
                fields = {}
                continue
            name, _, value = line.partition(":")
            if name:
                fields[name] = value.removeprefix(" ")
        self.last_id = fields.get("id", self.last_id)
        event = Event(fields["event"], json.loads(fields["data"]), fields.get("id"))
        self.seen.append(event)
        return event

    async def until(self, fits: Callable[[Event], bool], timeout_s: float = 10) -> Event:
        async with asyncio.timeout(timeout_s):
            while not fits(event := await self.next()):
                pass
            return event


@contextlib.asynccontextmanager
async def open_stream(base_url: str, *, last_id: str | None = None, lang: str = "en") -> AsyncIterator[EventSource]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    async with (
        httpx.AsyncClient(trust_env=False, timeout=httpx.Timeout(20)) as client,
        client.stream("GET", f"{base_url}/api/v1/stream", params={"lang": lang}, headers=headers) as response,
    ):
        response.raise_for_status()
        yield EventSource(response)
