"""Messages received and not yet worked on: gathered as they come, taken in slices bounded by number and bytes. Pure."""

from __future__ import annotations

import bisect
import itertools
from operator import add

from ingest.messages import Messages


class Inbox:
    """Messages in the order of receipt. `size`: bytes of their payloads and topics."""

    def __init__(self, slice_messages: int, slice_bytes: int) -> None:
        self._slice_messages, self._slice_bytes = slice_messages, slice_bytes
        self._messages = Messages()
        self.size = 0

    def __len__(self) -> int:
        return len(self._messages)

    @property
    def full(self) -> bool:
        """Whether what is there makes a slice by its bytes."""
        return self.size >= self._slice_bytes

    def add(self, messages: Messages) -> None:
        """Take messages in."""
        self._messages.extend(messages)
        self.size += messages.size_bytes()

    def clear(self) -> None:
        """Forget all."""
        self._messages, self.size = Messages(), 0

    def slice(self) -> Messages:
        """The first messages, at most `slice_messages`, and none behind the one that brings them to `slice_bytes`."""
        messages = self._messages
        most = min(len(messages), self._slice_messages)
        if self.size > self._slice_bytes:
            ends = list(itertools.accumulate(map(add, map(len, messages.payloads[:most]), map(len, messages.topics))))
            most = min(most, bisect.bisect_left(ends, self._slice_bytes) + 1)
        if most == len(messages):
            self.clear()
            return messages
        taken = messages.take(most)
        self.size -= taken.size_bytes()
        return taken
