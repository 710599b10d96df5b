"""MQTT messages on their way through a gateway: columns of many, because an object for each costs more than all that is done with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

_MOST_AHEAD_US = 1_000_000
"""More than messages of one read can number; a last time of receipt that is further ahead is from before the clock was set back."""


@dataclass(slots=True)
class Message:
    """One PUBLISH. `mid` is 0 for QoS 0, which wants no acknowledgement. `cut` is how many payload bytes over the limit were not kept."""

    topic: str
    payload: bytes
    mid: int
    dup: bool
    received_us: int = 0
    cut: int = 0


@dataclass(slots=True)
class Messages(Sequence[Message]):
    """Messages in the order of receipt, as lists of equal length; `dups` and `cuts` by index, for the few that have them."""

    topics: list[str] = field(default_factory=list)
    payloads: list[bytes] = field(default_factory=list)
    mids: list[int] = field(default_factory=list)
    received_us: list[int] = field(default_factory=list)
    dups: set[int] = field(default_factory=set)
    cuts: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, messages: Sequence[Message]) -> Messages:
        """The columns of messages that came as objects."""
        if isinstance(messages, Messages):
            return messages
        found = cls()
        for message in messages:
            found.append(message)
        return found

    def __len__(self) -> int:
        return len(self.mids)

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> Messages: ...
    def __getitem__(self, index: int | slice) -> Message | Messages:
        if isinstance(index, slice):
            return Messages.of([self[at] for at in range(*index.indices(len(self)))])
        at = range(len(self))[index]
        return Message(
            self.topics[at],
            self.payloads[at],
            self.mids[at],
            at in self.dups,
            self.received_us[at],
            self.cuts.get(at, 0),
        )

    def __iter__(self) -> Iterator[Message]:
        return (self[at] for at in range(len(self)))

    def append(self, message: Message) -> None:
        """Take one more in."""
        at = len(self)
        self.topics.append(message.topic)
        self.payloads.append(message.payload)
        self.mids.append(message.mid)
        self.received_us.append(message.received_us)
        if message.dup:
            self.dups.add(at)
        if message.cut:
            self.cuts[at] = message.cut

    def extend(self, others: Messages) -> None:
        """Take others in, behind these."""
        base = len(self)
        self.topics += others.topics
        self.payloads += others.payloads
        self.mids += others.mids
        self.received_us += others.received_us
        self.dups |= {base + at for at in others.dups}
        self.cuts |= {base + at: cut for at, cut in others.cuts.items()}

    def take(self, most: int) -> Messages:
        """The first `most`, which are gone from these."""
        taken = Messages(
            self.topics[:most],
            self.payloads[:most],
            self.mids[:most],
            self.received_us[:most],
            {at for at in self.dups if at < most},
            {at: cut for at, cut in self.cuts.items() if at < most},
        )
        for column in (self.topics, self.payloads, self.mids, self.received_us):
            del column[:most]
        self.dups = {at - most for at in self.dups if at >= most}
        self.cuts = {at - most: cut for at, cut in self.cuts.items() if at >= most}
        return taken

    def clear(self) -> None:
        """Forget all."""
        self.take(len(self))

    def came(self, now_us: int, before_us: int) -> int:
        """Set the times of receipt: `now_us`, or from `before_us`, the last one of those before them, and a microsecond apart.

        One time for all would be the time of every reading that has none itself: of two of a device, the second would be a duplicate.

        Returns:
            The last one.
        """
        stepped_back = before_us - now_us > _MOST_AHEAD_US
        first = now_us if stepped_back else max(now_us, before_us + 1)
        self.received_us = list(range(first, first + len(self)))
        return first + len(self) - 1

    def size_bytes(self) -> int:
        """Of all payloads and topics: 8000 topics of 65,000 characters are 500 MB without a byte of payload."""
        return sum(map(len, self.payloads)) + sum(map(len, self.topics))
