"""Page cursors: what goes in comes out, and nothing else is taken for one."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_center.cursors import BadCursorError, decode_cursor, encode_cursor

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=200)


@given(names, st.integers(-(2**63) + 1, 2**63 - 1), st.integers(0, 2**52))
def test_what_goes_in_comes_out(name: str, number: int, time_us: int) -> None:
    time = EPOCH + timedelta(microseconds=time_us)
    assert decode_cursor(encode_cursor("list", name, number, time), "list", str, int, datetime) == (name, number, time)


@given(st.text(max_size=300))
def test_what_was_made_up_is_refused_not_a_crash(text: str) -> None:
    with pytest.raises(BadCursorError):
        decode_cursor(text, "list", str)


@given(st.integers(0, 60))
def test_a_cursor_cut_short_is_refused(length: int) -> None:
    cursor = encode_cursor("list", "a device with a long name", 12345)
    with pytest.raises(BadCursorError):
        decode_cursor(cursor[: min(length, len(cursor) - 1)], "list", str, int)


@pytest.mark.parametrize(
    "cursor",
    [
        encode_cursor("other", "a"),
        encode_cursor("list", 5),
        encode_cursor("list", "a", "b"),
        encode_cursor("list", "a\x00b"),
        encode_cursor("list", ""),
        encode_cursor("list", "x" * 251),
    ],
)
def test_a_cursor_of_another_list_or_with_wrong_parts_is_refused(cursor: str) -> None:
    with pytest.raises(BadCursorError):
        decode_cursor(cursor, "list", str)


def test_true_is_no_number_and_a_huge_number_is_none_either() -> None:
    for part in (encode_cursor("list", True), encode_cursor("list", 2**63)):  # noqa: FBT003 - the point of the test
        with pytest.raises(BadCursorError):
            decode_cursor(part, "list", int)
