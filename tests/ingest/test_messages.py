"""Columns of messages: cut and joined without a loss, and each with a moment of its own."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ingest.messages import Message, Messages

MESSAGES = st.lists(
    st.builds(
        Message,
        st.sampled_from(["a", "b/c"]),
        st.binary(max_size=3),
        st.integers(0, 65_535),
        st.booleans(),
        st.integers(0, 9),
        st.integers(0, 2),
    ),
    max_size=8,
)


@given(MESSAGES, MESSAGES, st.lists(st.integers(0, 9), max_size=5))
def test_what_is_put_in_comes_out_in_order_however_it_is_cut(
    first: list[Message], second: list[Message], cuts: list[int]
) -> None:
    held = Messages.of(first)
    held.extend(Messages.of(second))
    assert list(held) == first + second
    taken: list[Message] = []
    for most in cuts:
        taken += held.take(most)
        assert [*taken, *held] == first + second


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
