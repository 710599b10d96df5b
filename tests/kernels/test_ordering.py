"""Sorting by (series, time), runs of equal keys, and what comes too late."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.kernels.ordering import is_ordered, newer_only, run_lengths, run_starts, sort_by_series_and_time

pairs = st.lists(st.tuples(st.integers(0, 5), st.integers(-50, 50)), max_size=60)


def columns(
    of: list[tuple[int, int]],
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int32]], np.ndarray[tuple[int], np.dtype[np.int64]]]:
    return np.array([series for series, _ in of], np.int32), np.array([time for _, time in of], np.int64)


@settings(max_examples=200, deadline=None)
@given(readings=pairs)
def test_sorting_puts_readings_by_series_and_time(readings: list[tuple[int, int]]) -> None:
    series, time_us = columns(readings)
    order = sort_by_series_and_time(series, time_us)
    assert sorted(order.tolist()) == list(range(len(readings)))
    assert [readings[at] for at in order] == sorted(readings)
    assert is_ordered(series[order], time_us[order])
    assert is_ordered(series, time_us) == (readings == sorted(readings))


@pytest.mark.parametrize("spread", [1, 10**6, 2**61])
@pytest.mark.parametrize("largest_series", [3, 70_000, 2**31 - 1])
def test_sorting_holds_for_any_number_of_series_and_any_span(spread: int, largest_series: int) -> None:
    rng = np.random.default_rng(4)
    series = rng.integers(0, largest_series, 500, endpoint=True).astype(np.int32)
    time_us = rng.integers(-spread, spread, 500, endpoint=True)
    order = sort_by_series_and_time(series, time_us)
    assert is_ordered(series[order], time_us[order])


def test_runs_of_equal_tuples() -> None:
    starts = run_starts(np.array([1, 1, 1, 2, 2]), np.array([5, 5, 6, 6, 6]))
    assert starts.tolist() == [0, 2, 3]
    assert run_lengths(starts, 5).tolist() == [2, 1, 2]
    assert run_starts(np.empty(0, np.int64)).tolist() == []


@settings(max_examples=200, deadline=None)
@given(readings=pairs, judged=st.integers(-20, 20), cut=st.integers(0, 60))
def test_newer_only_keeps_what_a_loop_over_the_arrivals_keeps_however_they_are_cut(
    readings: list[tuple[int, int]], judged: int, cut: int
) -> None:
    latest = dict.fromkeys(range(6), judged)
    kept: dict[int, list[int]] = {series: [] for series in range(6)}
    for series_of, time in readings:
        if time > latest[series_of]:
            latest[series_of] = time
            kept[series_of].append(time)
    reached = np.full(6, judged)
    got: dict[int, list[int]] = {series: [] for series in range(6)}
    for part in (readings[:cut], readings[cut:]):
        series, time_us = columns(part)
        at = newer_only(series, time_us, reached[series])
        assert is_ordered(series[at], time_us[at])
        for position in at.tolist():
            got[int(series[position])].append(int(time_us[position]))
            reached[series[position]] = time_us[position]
    assert got == kept
