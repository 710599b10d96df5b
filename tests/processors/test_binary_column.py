"""A binary column behaves as the list of its strings."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from processors.contract.binary_column import BinaryColumn

strings = st.lists(st.binary(max_size=9), max_size=30)


@given(given_strings=strings, data=st.data())
def test_positions_masks_and_ranges_give_what_a_list_gives(given_strings: list[bytes], data: st.DataObject) -> None:
    column = BinaryColumn.of(given_strings)
    at = data.draw(st.lists(st.sampled_from(range(len(given_strings))), max_size=20)) if given_strings else []
    first, last = data.draw(st.integers(0, 31)), data.draw(st.integers(0, 31))
    assert column.tolist() == [column[at] for at in range(len(column))] == given_strings
    assert column.sizes.tolist() == [len(one) for one in given_strings]
    assert column[np.array(at, np.intp)].tolist() == [given_strings[one] for one in at]
    assert column[np.isin(np.arange(len(column)), at)].tolist() == [given_strings[one] for one in sorted(set(at))]
    part = column[first:last]
    assert len(part) == len(given_strings[first:last])
    assert part.tolist() == given_strings[first:last]
    assert part[np.arange(len(part))].tolist() == given_strings[first:last]


@given(parts=st.lists(strings, min_size=1, max_size=5), first=st.integers(0, 10))
def test_columns_and_ranges_of_columns_are_joined(parts: list[list[bytes]], first: int) -> None:
    joined = BinaryColumn.concatenate(BinaryColumn.of(part)[first:] for part in parts)
    assert joined.tolist() == [one for part in parts for one in part[first:]]


def test_many_strings_of_few_sizes_are_cut_as_single_ones_are() -> None:
    rng = np.random.default_rng(1)
    given_strings = [rng.bytes(int(size)) for size in rng.choice([0, 0, 4, 4, 4, 8, 7, 24], 8000)]
    given_strings[5] = bytes(24)  # zeros must not be cut off
    assert BinaryColumn.of(given_strings).tolist() == given_strings
    assert BinaryColumn.of([b""] * 600).tolist() == [b""] * 600
    words = [one for one in given_strings if len(one) % 4 == 0]
    order = rng.permutation(len(words))
    assert BinaryColumn.of(words)[order].tolist() == [words[at] for at in order.tolist()]
