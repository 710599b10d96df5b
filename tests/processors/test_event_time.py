"""The watermark: it follows the data, never goes back, cannot be poisoned, and follows the clock where nothing comes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from processors.event_time import Watermark, WatermarkPolicy

S = 1_000_000
NOON = 1_662_033_600 * S
POLICY = WatermarkPolicy(lateness_us=60 * S, idle_after_us=30 * S)


def times(*offsets_s: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([NOON + offset * S for offset in offsets_s], np.int64)


def started() -> Watermark:
    return Watermark(POLICY, heard_us=NOON)


def test_it_stands_one_lateness_behind_the_newest_reading() -> None:
    assert started().observe(times(-10, -200, -5), NOON).value_us == NOON - 65 * S


def test_it_never_goes_back() -> None:
    mark = started().observe(times(-10), NOON)
    assert mark.observe(times(-3600), NOON + S).value_us == mark.value_us


def test_one_device_from_2099_does_not_move_it() -> None:
    poisoned = np.append(times(-10), np.int64(4_070_908_800 * S))
    assert started().observe(poisoned, NOON).value_us == NOON - 70 * S
    assert started().observe(poisoned[1:], NOON) == started()


def test_a_device_five_minutes_ahead_still_counts_and_one_second_more_does_not() -> None:
    assert started().observe(times(300), NOON).value_us == NOON + 240 * S
    assert started().observe(times(301), NOON).value_us is None


def test_a_quiet_partition_follows_the_clock_once_it_has_been_idle() -> None:
    mark = started().observe(times(-10), NOON)
    assert mark.tick(NOON + 29 * S) == mark
    assert mark.tick(NOON + 300 * S).value_us == NOON + 240 * S


def test_the_clock_going_back_does_not_move_it_back() -> None:
    mark = started().observe(times(-10), NOON).tick(NOON + 300 * S)
    assert mark.tick(NOON + 200 * S) == mark
    assert mark.observe(times(-5), NOON - 3600 * S).value_us == mark.value_us


def test_data_after_idleness_starts_the_idle_time_anew() -> None:
    mark = started().tick(NOON + 100 * S).observe(times(100), NOON + 101 * S)
    assert mark.tick(NOON + 130 * S) == mark


def test_a_partition_that_never_had_data_is_known_complete_once_idle() -> None:
    assert started().value_us is None
    assert started().tick(NOON + 30 * S).value_us == NOON - 30 * S


def test_no_readings_change_nothing() -> None:
    assert started().observe(times(), NOON + 10 * S) == started()


@given(st.lists(st.tuples(st.booleans(), st.integers(-4000, 4000)), max_size=30))
def test_no_sequence_of_events_moves_it_back(events: list[tuple[bool, int]]) -> None:
    mark, clock, reached = started(), NOON, -1
    for is_data, offset in events:
        clock += abs(offset) * S // 10
        mark = mark.observe(times(offset), clock) if is_data else mark.tick(clock)
        if mark.value_us is not None:
            assert mark.value_us >= reached
            assert mark.value_us <= clock + (POLICY.ahead_us - POLICY.lateness_us)
            reached = mark.value_us


@pytest.mark.parametrize("wrong", [(-1, 1, 0), (0, 0, 0), (0, 1, -1)])
def test_a_policy_that_makes_no_sense_is_refused(wrong: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="must be 0 or more"):
        WatermarkPolicy(*wrong)
