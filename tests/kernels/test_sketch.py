"""The quantile sketch: within 1 % of the exact order statistic, exactly mergeable, with one stored form."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.contract.binary_column import BinaryColumn
from processors.kernels.sketch import (
    RELATIVE_ERROR,
    Sketches,
    bucket_of,
    merge_runs,
    quantiles,
    rank_runs,
    sketch_runs,
    value_of,
)
from processors.kernels.sketch_bytes import decode, encode
from tests.kernels.hostile import HOSTILE, FloatArray

finite = st.floats(allow_nan=False, allow_infinity=False, allow_subnormal=False)


def one_sketch(values: FloatArray) -> Sketches:
    return sketch_runs(values, np.zeros(1, np.intp))


@settings(max_examples=300, deadline=None)
@given(value=finite)
def test_a_bucket_stands_within_one_percent_of_every_value_in_it(value: float) -> None:
    answer = float(value_of(bucket_of(np.array([value])))[0])
    if abs(value) > 1.797e308:  # the last bucket has no upper edge; windows hold its answer below their maximum
        return
    assert abs(answer - value) <= 0.0078 * abs(value)
    assert RELATIVE_ERROR > 0.0078


@settings(max_examples=200, deadline=None)
@given(one=finite, other=finite)
def test_buckets_stand_in_the_order_of_their_values(one: float, other: float) -> None:
    keys = bucket_of(np.array(sorted([one, other])))
    assert keys[0] <= keys[1]
    assert bucket_of(np.array([-one]))[0] == -bucket_of(np.array([one]))[0]


@settings(max_examples=150, deadline=None)
@given(values=st.lists(finite, min_size=1, max_size=60), percent=st.integers(0, 100))
def test_every_quantile_is_within_one_percent_of_the_lower_order_statistic(values: list[float], percent: int) -> None:
    flat = np.array(values)
    low, high = flat.min(keepdims=True), flat.max(keepdims=True)
    answer = float(quantiles(one_sketch(flat), (percent,), low, high)[0][0])
    exact = sorted(values)[percent * (len(values) - 1) // 100]
    assert abs(answer - exact) <= RELATIVE_ERROR * abs(exact)
    assert min(values) <= answer <= max(values)


@settings(max_examples=150, deadline=None)
@given(runs=st.lists(st.lists(finite, min_size=1, max_size=12), min_size=1, max_size=8), percent=st.integers(0, 100))
def test_quantiles_by_rank_are_those_of_the_sketches(runs: list[list[float]], percent: int) -> None:
    flat, lengths = np.array([value for run in runs for value in run]), np.array([len(run) for run in runs])
    starts = np.cumsum(lengths) - lengths
    low, high = np.array([min(run) for run in runs]), np.array([max(run) for run in runs])
    ranked = rank_runs(flat, starts, lengths)
    (by_rank,), (by_sketch,) = (
        ranked.quantiles((percent,), low, high),
        quantiles(ranked.sketches(), (percent,), low, high),
    )
    assert by_rank.tolist() == by_sketch.tolist()
    assert encode(ranked.sketches()).tolist() == [encode(one_sketch(np.array(run)))[0] for run in runs]


def test_ranks_are_whole_numbers_and_never_round_down_by_accident() -> None:
    for n in range(1, 400):  # 0.95 * (n - 1) as a float is below a whole rank for 12 of these
        values = 1.1 ** np.arange(n, dtype=np.float64)
        low, high = values[:1], values[-1:]
        for percent, answer in zip((50, 95, 99), quantiles(one_sketch(values), (50, 95, 99), low, high), strict=True):
            assert answer[0] == pytest.approx(values[percent * (n - 1) // 100], rel=RELATIVE_ERROR)


@settings(max_examples=100, deadline=None)
@given(
    runs=st.lists(st.lists(st.floats(-1e6, 1e6) | st.just(0.0), min_size=1, max_size=20), min_size=1, max_size=8),
    cut=st.integers(1, 7),
)
def test_merged_parts_are_byte_for_byte_the_sketch_of_all(runs: list[list[float]], cut: int) -> None:
    flat = np.array([value for run in runs for value in run])
    starts = np.cumsum([0] + [len(run) for run in runs[:-1]]).astype(np.intp)
    groups = np.arange(0, len(runs), cut)
    merged = merge_runs(decode(encode(sketch_runs(flat, starts))), groups)
    assert encode(merged).tolist() == encode(sketch_runs(flat, starts[groups])).tolist()


@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_sketches_survive_their_bytes(case: str) -> None:
    sketches = sketch_runs(*HOSTILE[case])
    again = decode(encode(sketches))
    assert again.offset.tolist() == sketches.offset.tolist()
    assert again.key.tolist() == sketches.key.tolist()
    assert again.count.tolist() == sketches.count.tolist()


def test_wide_and_narrow_windows_count_alike() -> None:
    rng = np.random.default_rng(5)
    narrow = rng.normal(20, 2, 3000)
    wide = narrow * 10.0 ** rng.integers(-280, 280, 3000) * rng.choice([-1.0, 0.0, 1.0], 3000)
    starts = np.arange(0, 3000, 10)
    both, every = np.concatenate((narrow, wide)), np.concatenate((starts, starts + 3000))
    together = sketch_runs(both, every)
    assert encode(together).tolist() == [
        *encode(sketch_runs(narrow, starts)).tolist(),
        *encode(sketch_runs(wide, starts)).tolist(),
    ]
    tens = np.arange(0, len(every), 10)
    assert (
        encode(merge_runs(together, tens)).tolist() == encode(sketch_runs(both, every[tens])).tolist()
    )  # sorted, not dense


@pytest.mark.parametrize("count", [1, 255, 16_384, 16_385, 32_768, 1_000_000, 2**31])
def test_counts_of_any_size_keep_their_value(count: int) -> None:
    sketches = Sketches(np.array([0, 2, 3]), np.array([-5, 7, 0], np.int32), np.array([count, 1, 3]))
    again = decode(encode(sketches))
    assert again.count.tolist() == [count, 1, 3]
    assert again.key.tolist() == [-5, 7, 0]
    assert merge_runs(again, np.array([0])).count.tolist() == [count, 3, 1]


def test_a_window_of_six_values_takes_24_bytes_and_one_takes_4() -> None:
    blobs = encode(sketch_runs(np.array([1.0, 10, 100, 1e3, 1e4, 1e5, 7]), np.array([0, 6])))
    assert blobs.sizes.tolist() == [24, 4]


def test_no_sketches_have_no_bytes_and_no_quantiles() -> None:
    none = decode(BinaryColumn.of([]))
    assert len(none) == 0
    assert len(encode(none)) == 0
    assert [len(answer) for answer in quantiles(none, (50, 95), np.empty(0), np.empty(0))] == [0, 0]


@pytest.mark.parametrize("blob", [b"", b"\x11", b"abcdef", b"\x02\x00\x00\x00\x01\x00\x00\x00"])
def test_bytes_that_are_no_sketch_are_refused_by_row(blob: bytes) -> None:
    good = encode(one_sketch(np.array([1.0])))[0]
    blobs = BinaryColumn.of([good, good, blob])
    with pytest.raises(ValueError, match=r"sketch of row 2 .* recompute its window from readings"):
        decode(blobs)


def test_stored_bytes_are_read_by_every_later_version() -> None:
    """Bytes as the first version wrote them: changing them would orphan every stored window."""
    values = np.array([-3.5, 0.0, 0.0, 21.4, 21.5, 1013.25])
    assert encode(one_sketch(values))[0].hex() == "d0ff000000000600d5000300d60003003e020300"
