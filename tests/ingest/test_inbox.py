"""The inbox gives everything back once, in order, in slices that keep to their bounds."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.inbox import Inbox
from ingest.messages import Message, Messages


@given(st.lists(st.lists(st.integers(0, 40), max_size=9), max_size=9), st.integers(1, 6), st.integers(1, 60))
def test_slices_are_bounded_and_hold_everything_in_order(sizes: list[list[int]], messages: int, size: int) -> None:
    inbox = Inbox(messages, size)
    sent: list[bytes] = []
    for chunk in sizes:
        payloads = [bytes([at % 256]) * length for at, length in enumerate(chunk)]
        inbox.add(Messages.of([Message("t", payload, 1, dup=False) for payload in payloads]))
        sent += payloads
    taken: list[bytes] = []
    while len(inbox):
        full = inbox.full
        part = inbox.slice()
        assert 1 <= len(part) <= messages
        assert sum(map(len, part.payloads[:-1])) < size
        assert full or len(part) == messages or not len(inbox)
        taken += part.payloads
    assert taken == sent
    assert inbox.size == 0


def test_long_topics_without_payloads_fill_it_too() -> None:
    inbox = Inbox(2000, 500_000)
    inbox.add(Messages.of([Message("t" * 65_000, b"", mid, dup=False) for mid in range(1, 21)]))
    assert inbox.full
    assert [len(inbox.slice()) for _ in range(3)] == [8, 8, 4]
    assert inbox.size == 0
