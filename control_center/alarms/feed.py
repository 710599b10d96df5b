"""Brings alarm changes of any replica to this one's streams: LISTEN on the channel store.py notifies in its transactions."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final

import asyncpg

from control_center.alarms.store import CHANNEL
from control_center.queries import DATABASE_AWAY, Queries
from control_center.stream import Hub
from processors.contract.database import DatabaseSettings

_log = logging.getLogger(__name__)
_RETRY_S: Final = 2.0
_CHECK_S: Final = 15.0
_WAITING: Final = 10_000


class AlarmFeed:
    """Publishes every changed alarm to the hub; after a lost connection it tells all streams to fetch anew."""

    def __init__(self, database: DatabaseSettings, queries: Queries, hub: Hub) -> None:
        self._database = database
        self._queries = queries
        self._hub = hub
        self._overflow = False
        self._missed = False
        self.problem: str | None = "not listening for alarm changes yet"

    async def run(self) -> None:
        """Listen for ever."""
        while True:
            try:
                await self._listen()
            except (asyncpg.PostgresError, *DATABASE_AWAY) as error:
                if not self._missed:
                    _log.warning("alarm feed interrupted", extra={"fields": {"error": repr(error)}})
                self.problem = f"not listening for alarm changes: {error!r}"
                self._missed = True
            await asyncio.sleep(_RETRY_S)

    async def _listen(self) -> None:
        changed: asyncio.Queue[str] = asyncio.Queue(_WAITING)
        connection = await self._database.connect("citynerve-alarm-feed")

        def on_notify(*arguments: Any) -> None:
            try:
                changed.put_nowait(str(arguments[3]))
            except asyncio.QueueFull:
                self._overflow = True  # this change will not be shown: streams are told to fetch anew

        self._overflow = False
        try:
            await connection.add_listener(CHANNEL, on_notify)
            self.problem = None
            if self._missed:
                self._missed = False
                self._hub.reset_all()
            while True:
                try:
                    async with asyncio.timeout(_CHECK_S):
                        payload = await changed.get()
                except TimeoutError:
                    await connection.execute("SELECT 1")  # a connection that died quietly shows itself here
                    continue
                await self._publish(payload)
                if self._overflow:
                    self._overflow = False
                    self._hub.reset_all()
        finally:
            connection.terminate()

    async def _publish(self, payload: str) -> None:
        ids = [int(part) for part in payload.split(",") if part.isascii() and part.isdigit()]
        for alarm in await self._queries.alarms_by_id(ids):
            self._hub.publish_alarm(alarm)
