"""Columns of messages behave as the list of messages they stand for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.messages import Message, Messages

MANY = st.lists(
    st.builds(
        Message,
        st.sampled_from(["a", "b"]),
        st.binary(max_size=3),
        st.integers(0, 9),
        st.booleans(),
        st.integers(0, 5),
        st.integers(0, 2),
    ),
    max_size=12,
)


@given(MANY, MANY, st.integers(0, 30))
def test_taking_the_first_of_joined_messages_leaves_the_others(
    one: list[Message], two: list[Message], most: int
) -> None:
    messages, every = Messages.of(one), [*one, *two]
    messages.extend(Messages.of(two))
    assert list(messages) == every
    taken = messages.take(most)
    assert list(taken) == every[:most]
    assert list(messages) == every[most:]
    sizes = [len(message.topic) + len(message.payload) for message in every]
    assert taken.size_bytes() + messages.size_bytes() == sum(sizes)


@given(MANY)
def test_a_part_or_one_of_them_is_found_by_its_place(every: list[Message]) -> None:
    messages = Messages.of(every)
    assert list(messages[1:4]) == every[1:4]
    assert [messages[at] for at in range(-len(every), 0)] == every
    messages.clear()
    assert len(messages) == 0


def three() -> Messages:
    return Messages.of([Message("a", b"", mid, dup=False) for mid in (1, 2, 3)])


def test_messages_of_one_read_have_moments_of_their_own() -> None:
    first, second = three(), three()
    last_us = first.came(5_000, 0)
    second.came(5_001, last_us)
    assert [*first.received_us, *second.received_us] == [5_000, 5_001, 5_002, 5_003, 5_004, 5_005]


def test_a_clock_set_back_is_followed() -> None:
    messages = three()
    assert messages.came(5_000, 7_000_000_000) == 5_002
    assert messages.received_us[0] == 5_000
