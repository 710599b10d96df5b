"""Window rows: every column by its definition, whatever the order of the readings, and the same from parts as from the whole."""

from __future__ import annotations

import datetime as dt
from concurrent.futures import ThreadPoolExecutor
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.contract.sensor_kinds import Mean
from processors.contract.rows import WindowRows
from processors.kernels.starts import FixedWindows, LocalDays, starts_fixed
from processors.kernels.windows_of import PreviousReading, aggregate, empty_rows, merge
from tests.kernels.hostile import NOT_FINITE
from tests.kernels.window_cases import (
    EXACT,
    TO_1E_9,
    Readings,
    assert_same_windows,
    identical,
    meta_of,
    slow_windows,
    some_readings,
)

HOUR_US = 3_600_000_000


def merged(readings: Readings, rows: WindowRows, size_s: int) -> WindowRows:
    ids = readings.meta.series_id.tolist()
    series = np.array([ids.index(one) for one in rows.series_id.tolist()], np.int32)
    return merge(readings.meta, rows, series, starts_fixed(rows.start_us, size_s), size_s * 1_000_000)


@pytest.mark.parametrize("size_s", [60, 900, 3600])
def test_every_column_is_what_its_definition_says(size_s: int) -> None:
    readings = some_readings(3000)
    rows = readings.windows(size_s)
    slow = slow_windows(readings, size_s)
    assert len(rows) == len(slow)
    for name in EXACT:
        wanted = np.array([row[name] for row in slow])
        tolerance = 0.01 if name in {"p50", "p95", "p99"} else 0.0
        np.testing.assert_allclose(getattr(rows, name), wanted, rtol=tolerance, atol=0, err_msg=name)
    for name in TO_1E_9:
        wanted = np.array([row[name] for row in slow])
        np.testing.assert_allclose(getattr(rows, name), wanted, rtol=1e-9, atol=1e-9, err_msg=name)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), shuffle=st.integers(0, 10**6), n=st.integers(1, 400))
def test_any_order_of_the_readings_gives_identical_rows(seed: int, shuffle: int, n: int) -> None:
    readings = some_readings(n, seed)
    order = np.random.default_rng(shuffle).permutation(n)
    assert identical(readings.take(order).windows(60), readings.windows(60))


def test_two_values_of_one_moment_do_not_depend_on_who_came_first() -> None:
    meta = meta_of([Mean.COUNTER])
    readings = Readings(
        meta, np.zeros(4, np.int32), np.array([0, 5, 5, 9]), np.array([1.0, 7.0, 3.0, 8.0]), np.zeros(4, np.int32)
    )
    swapped = readings.take(np.array([3, 2, 1, 0]))
    assert identical(readings.windows(60), swapped.windows(60))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(1, 600))
def test_merged_minutes_are_the_windows_of_the_readings(seed: int, n: int) -> None:
    readings = some_readings(n, seed)
    minutes = readings.windows(60)
    assert_same_windows(merged(readings, minutes, 900), readings.windows(900))
    assert_same_windows(merged(readings, merged(readings, minutes, 900), 3600), readings.windows(3600))


def test_merging_in_any_order_gives_identical_rows() -> None:
    readings = some_readings(2000)
    minutes = readings.windows(60)
    wanted = merged(readings, minutes, 3600)
    for seed in range(5):
        assert identical(
            merged(readings, minutes.take(np.random.default_rng(seed).permutation(len(minutes))), 3600), wanted
        )


def test_overlapping_parts_of_one_window_merge_into_the_window_of_all() -> None:
    readings = some_readings(2000)
    plain = readings.take(readings.meta.mean_kind[readings.series] != Mean.COUNTER)
    odd = np.arange(len(plain.series)) % 2 == 1
    parts = WindowRows.concatenate([plain.take(odd).windows(900), plain.take(~odd).windows(900)])
    assert_same_windows(merged(plain, parts, 900), plain.windows(900))


def test_increases_add_up_over_windows_batches_and_resets() -> None:
    meta = meta_of([Mean.COUNTER])
    time_us = np.arange(10, dtype=np.int64) * 20_000_000
    value = np.array([100.0, 101, 105, 110, 2, 4, 4, 9, 1, 3])
    readings = Readings(meta, np.zeros(10, np.int32), time_us, value, np.zeros(10, np.int32))
    whole = readings.windows(60)
    assert whole.special.tolist() == [5.0, 9.0, 6.0, 2.0]
    tail = readings.take(slice(3, None)).windows(60, PreviousReading(np.array([105.0])))
    assert tail.special.tolist() == whole.special[1:].tolist()
    unknown = readings.take(slice(3, None)).windows(60, PreviousReading(np.array([np.nan])))
    assert unknown.special.tolist() == [4.0, 6.0, 2.0]


def test_directions_that_cancel_out_have_no_mean_but_keep_their_sums() -> None:
    meta = meta_of([Mean.CIRCULAR])
    readings = Readings(meta, np.zeros(2, np.int32), np.array([0, 1]), np.array([90.0, 270.0]), np.zeros(2, np.int32))
    rows = readings.windows(60)
    assert np.isnan(rows.special[0])
    assert rows.sum_cos[0] == pytest.approx(0, abs=1e-12)


def test_a_window_shorter_than_the_interval_expects_one_reading_and_lengths_may_differ() -> None:
    readings = Readings(
        meta_of([Mean.ARITHMETIC], interval_s=300), np.zeros(1, np.int32), np.zeros(1, np.int64), np.ones(1), np.zeros(1, np.int32)
    )  # fmt: skip
    assert readings.windows(60).expected.tolist() == [1]
    change = int(dt.datetime(2022, 10, 30, tzinfo=ZoneInfo("Europe/Brussels")).timestamp()) * 1_000_000
    times = np.array([change, change + 25 * HOUR_US])  # the second begins the day after
    zeros = np.zeros(2, np.int32)
    rows = aggregate(readings.meta, zeros, times, np.ones(2), zeros, LocalDays("Europe/Brussels"))
    assert rows.start_us.tolist() == times.tolist()
    assert rows.expected.tolist() == [25 * 12, 24 * 12]


def test_more_readings_than_one_block_give_the_same_as_in_pieces() -> None:
    readings = some_readings(200_000, span_s=40_000)
    early = readings.time_us < int(np.median(readings.time_us)) // HOUR_US * HOUR_US
    rows = readings.take(early).windows(60), readings.take(~early).windows(60)
    whole = readings.windows(60)
    both = WindowRows.concatenate(rows)
    both = both.take(np.lexsort((both.start_us, both.series_id)))
    assert whole.sketch.tolist() == both.sketch.tolist()
    for name in ("count", "mean", "std", "p95", "first", "last"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(both, name), err_msg=name)


def test_large_unordered_batches_are_cut_into_blocks_that_change_nothing() -> None:
    readings = some_readings(200_000, span_s=40_000)
    order = np.random.default_rng(9).permutation(len(readings.series))
    assert identical(readings.take(order).windows(60), readings.windows(60))
    in_order = np.lexsort((readings.time_us, readings.series))
    assert identical(readings.take(in_order).windows(60), readings.windows(60))


def test_threads_share_a_large_batch_and_change_nothing() -> None:
    readings = some_readings(200_000, span_s=40_000)
    columns = (readings.meta, readings.series, readings.time_us, readings.value, readings.flags, FixedWindows(60))
    with ThreadPoolExecutor(3) as workers:
        assert identical(aggregate(*columns, workers=workers), aggregate(*columns))


@pytest.mark.parametrize("one_of", [13, 13 * 7])
def test_blocks_are_cut_by_a_sample_that_may_see_but_one_series(one_of: int) -> None:
    series = np.where(np.arange(200_000) % one_of == 0, 0, np.arange(200_000) % 50 + 1).astype(np.int32)
    readings = Readings(
        meta_of([Mean.ARITHMETIC] * 51), series, np.arange(200_000) * 1000, np.arange(200_000) / 8, np.zeros(200_000, np.int32)
    )  # fmt: skip
    order = np.lexsort((readings.time_us, series))
    assert identical(readings.windows(60), readings.take(order).windows(60))


def test_more_series_than_sixteen_bits_number_are_told_apart() -> None:
    rng = np.random.default_rng(9)
    series = rng.integers(0, 140_000, 200_000).astype(np.int32)
    meta = meta_of([Mean.ARITHMETIC] * 140_000)
    rows = Readings(meta, series, rng.integers(0, 10**12, 200_000), series / 4, np.zeros(200_000, np.int32)).windows(
        10**7
    )
    assert len(rows) == len(np.unique(series))
    assert (rows.mean == (1000 - rows.series_id) / 7 / 4).all()
    assert rows.count.sum() == 200_000


def test_one_long_series_among_short_ones_stays_whole() -> None:
    meta = meta_of([Mean.COUNTER] * 3)
    series = np.array([0, 2] + [1] * 150_000, np.int32)
    time_us = np.arange(150_002, dtype=np.int64)[::-1] * 1_000_000
    rows = Readings(meta, series, time_us.copy(), time_us / 1e6, np.zeros(150_002, np.int32)).windows(86_400)
    assert rows.count.tolist() == [1, 86_400, 63_600, 1]
    assert rows.special.sum() == 149_999


def test_no_readings_give_no_rows() -> None:
    none = some_readings(10).take(slice(0, 0))
    assert len(none.windows(60)) == 0
    assert len(merged(none, empty_rows(), 900)) == 0
    assert {name: getattr(empty_rows(), name).dtype for name in EXACT} == {
        name: getattr(some_readings(10).windows(60), name).dtype for name in EXACT
    }


@pytest.mark.parametrize("name", NOT_FINITE)
def test_a_value_that_is_not_finite_is_refused_by_its_position(name: str) -> None:
    readings = some_readings(10)
    readings.value[7] = NOT_FINITE[name]
    with pytest.raises(ValueError, match="reading 7 is not finite"):
        readings.windows(60)


def test_ragged_columns_are_refused() -> None:
    meta = meta_of([Mean.ARITHMETIC])
    two, zeros = np.array([0, 10]), np.zeros(2, np.int32)
    with pytest.raises(ValueError, match="must have one length"):
        aggregate(meta, zeros, two, np.ones(3), zeros, FixedWindows(60))
    with pytest.raises(ValueError, match="must have one length"):
        merge(meta, empty_rows(), zeros, two, 1)


@pytest.mark.parametrize("n", [300, 70_000])
def test_times_and_series_that_do_not_fit_into_one_integer_make_the_same_rows(n: int) -> None:
    """A device without a clock says 1970 or 292,000 years later; with half a million series that leaves no room for microseconds."""
    rng = np.random.default_rng(5)
    near = Readings(
        meta_of([Mean.ARITHMETIC] * 500_000), rng.integers(0, 500, n).astype(np.int32) * 1000, rng.integers(0, 10**9, n),
        rng.normal(0, 9, n), rng.choice(np.array([0, 4, 64], np.int32), n),
    )  # fmt: skip
    odd = rng.random(n) < 0.3
    far = Readings(
        near.meta,
        near.series,
        np.where(odd, near.time_us + 2**62 // 60_000_000 * 60_000_000, near.time_us),
        near.value,
        near.flags,
    )
    wanted = WindowRows.concatenate([near.take(~odd).windows(60), far.take(odd).windows(60)])
    wanted = wanted.take(np.lexsort((wanted.start_us, wanted.series_id)))
    assert identical(far.windows(60), wanted)
