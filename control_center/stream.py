"""What the live streams are fed from: one numbering for all events, a bounded queue per client, and a ring of alarms for those who return.

Numbers grow by one an event and begin at the microsecond this process started, so a number of an earlier life is recognised as such.
Live values need no ring: every series carries the number of its last change, so whoever saw number n gets what changed since.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from control_center.api.payloads import StatusItem, alarm_item, encode
from control_center.live_values import LatestValues
from control_center.metrics import ControlMetrics
from control_center.rows import AlarmRow
from control_center.texts import Language

_MAX_ID_DIGITS: Final = 18


@dataclass(slots=True, eq=False)
class Client:
    """One open stream. `position`: every event up to this number was handed to it."""

    language: Language
    position: int
    alarms: deque[tuple[int, AlarmRow]]
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    status_seen: int = 0
    reset: bool = False


def event_text(name: str, body: bytes, number: int | None = None) -> bytes:
    """One server-sent event; JSON holds no raw line break, so `data` is one line."""
    head = b"" if number is None else b"id: %d\n" % number
    return b"%sevent: %s\ndata: %s\n\n" % (head, name.encode(), body)


class Hub:
    """Joins the live table, the alarms and the status to the streams. One event loop; nothing here waits for a client."""

    def __init__(
        self, values: LatestValues, metrics: ControlMetrics, *, first_number: int, ring: int, max_clients: int
    ) -> None:
        self._values = values
        self._metrics = metrics
        self._number = self._oldest = first_number
        self._ring: deque[tuple[int, AlarmRow]] = deque()
        self._ring_size = ring
        self._max_clients = max_clients
        self._clients: set[Client] = set()
        self._status: tuple[int, bytes] = (0, b"")
        self._live_cache: tuple[int, int, bytes] = (0, 0, b"")
        self.closed = False

    @property
    def number(self) -> int:
        """The number of the newest event."""
        return self._number

    def join(self, last_event_id: str | None, language: Language) -> Client | None:
        """A new stream, resumed after `last_event_id` where that is still possible; None where all places are taken."""
        if len(self._clients) >= self._max_clients or self.closed:
            self._metrics.sse_dropped.labels("too_many_clients").inc()
            return None
        client = Client(language, 0, deque())
        if last_event_id:
            position = int(last_event_id) if _is_number(last_event_id) else -1
            if self._oldest <= position <= self._number:
                client.position = position
                client.alarms.extend(item for item in self._ring if item[0] > position)
            else:
                client.reset = True
        client.wake.set()
        self._clients.add(client)
        self._metrics.sse_clients.set(len(self._clients))
        return client

    def leave(self, client: Client, *, dropped: str | None = None) -> None:
        """The stream has ended; `dropped` says why, where it was us who ended it."""
        self._clients.discard(client)
        self._metrics.sse_clients.set(len(self._clients))
        if dropped:
            self._metrics.sse_dropped.labels(dropped).inc()

    def publish_live(self) -> None:
        """Give everything that changed since the last call one number. Called at most twice a second."""
        if self._values.has_unmarked():
            self._number += 1
            self._values.mark(self._number)
            self._wake_all()

    def publish_alarm(self, alarm: AlarmRow) -> None:
        """An alarm is new or has changed."""
        self._number += 1
        self._ring.append((self._number, alarm))
        if len(self._ring) > self._ring_size:
            self._oldest = self._ring.popleft()[0]
        for client in self._clients:
            if len(client.alarms) >= self._ring_size:
                self._metrics.sse_dropped.labels("overflow").inc()
                self._reset(client)
            else:
                client.alarms.append((self._number, alarm))
        self._wake_all()

    def publish_status(self, status: StatusItem) -> None:
        """The newest status; one that was not yet sent is replaced."""
        self._status = (self._status[0] + 1, event_text("status", encode(status)))
        self._wake_all()

    def reset_all(self) -> None:
        """Changes may have been missed: everyone is told to fetch anew, also those who resume later."""
        self._number += 1
        self._oldest = self._number
        self._ring.clear()
        for client in self._clients:
            self._reset(client)
        self._wake_all()

    def close(self) -> None:
        """End all streams."""
        self.closed = True
        self._wake_all()

    def pending(self, client: Client) -> bytes:
        """All events that wait for a client, in the order of their numbers; marks them as handed over."""
        client.wake.clear()
        parts: list[bytes] = []
        if client.reset:
            client.reset = False
            client.position = 0
            parts.append(event_text("reset", b"{}", self._number))
        while client.alarms:
            number, alarm = client.alarms.popleft()
            parts.append(self._live(client.position, number - 1))
            parts.append(
                event_text(
                    "alarm", encode(alarm_item(alarm, client.language, self._values.gateway_of(alarm.device))), number
                )
            )
            client.position = number
        parts.append(self._live(client.position, self._number))
        client.position = self._number
        if client.status_seen < self._status[0]:
            client.status_seen = self._status[0]
            parts.append(self._status[1])
        return b"".join(parts)

    def _live(self, after: int, up_to: int) -> bytes:
        if after >= up_to:
            return b""
        if self._live_cache[:2] != (after, up_to):
            items = [
                {"device": cell.device, "metric": cell.metric, "value": cell.value, "time": _moment(cell.time_us)}
                for cell in self._values.changed(after, up_to)
            ]
            self._live_cache = (after, up_to, event_text("live", encode({"items": items}), up_to) if items else b"")
        return self._live_cache[2]

    def _reset(self, client: Client) -> None:
        client.alarms.clear()
        client.reset = True

    def _wake_all(self) -> None:
        for client in self._clients:
            client.wake.set()


def _moment(time_us: int) -> datetime:
    return datetime.fromtimestamp(time_us / 1e6, UTC)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _MAX_ID_DIGITS
