"""Which MQTT messages may be acknowledged: in the order received, on the connection they came from, and only when all of them is safe.

Pure: no socket, no clock. Messages are tracked in groups (one flush each), so a message costs a list entry and no object.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(slots=True)
class Ticket:
    """A group of messages received one after the other on one connection. `mids` are their packet ids in that order (0: QoS 0)."""

    generation: int
    mids: list[int] = field(default_factory=list)
    done: bool = False


class AckTracker:
    """Tickets in order of receipt; `complete` answers with the packet ids that may now be acknowledged.

    A connection is a generation. An id means something only on its own connection: after a reconnect the broker uses the same ids for
    other messages, and a late acknowledgement would lose those (3 of 3 lost in a trial). So tickets of an older generation are
    finished silently: the broker delivers their messages again.
    """

    def __init__(self) -> None:
        self._generation = 0
        self._connected = False
        self._tickets: deque[Ticket] = deque()
        self.unfinished = 0
        """Messages received and not yet acknowledged or given up, of any generation."""
        self.dropped_acks = 0
        """Acknowledgements that came too late for their connection."""

    @property
    def generation(self) -> int:
        """The current connection; grows with every one."""
        return self._generation

    def connect(self) -> int:
        """A new connection is established."""
        self._generation += 1
        self._connected = True
        return self._generation

    def disconnect(self) -> None:
        """The connection is gone, or another is about to be tried."""
        self._connected = False

    def open(self, mids: Sequence[int], generation: int) -> Ticket:
        """Track a group of messages just taken from a connection."""
        ticket = Ticket(generation, list(mids))
        self._tickets.append(ticket)
        self.unfinished += len(ticket.mids)
        return ticket

    def complete(self, ticket: Ticket) -> list[int]:
        """All of a ticket is safe; the ids to acknowledge now, in order of receipt: those of every finished ticket at the front."""
        ticket.done = True
        ready: list[int] = []
        while self._tickets and self._tickets[0].done:
            first = self._tickets.popleft()
            self.unfinished -= len(first.mids)
            if self._connected and first.generation == self._generation:
                ready += [mid for mid in first.mids if mid] if 0 in first.mids else first.mids
            else:
                self.dropped_acks += len(first.mids)
        return ready
