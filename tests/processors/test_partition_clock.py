"""The watermark under silence: it walks at the clock's pace, and never in a leap over a slow replay."""

from __future__ import annotations

import numpy as np

from processors.event_time import WatermarkPolicy
from processors.partition_clock import PartitionClock

S = 1_000_000
POLICY = WatermarkPolicy(lateness_us=30 * S, idle_after_us=60 * S)
NOW = 1_800_000_000 * S
DAY = 86_400 * S


def heard(event_us: int, now_us: int, clock: PartitionClock | None = None) -> PartitionClock:
    clock = clock or PartitionClock(POLICY, None, now_us)
    clock.observe(np.array([event_us]), append_us=now_us, now_us=now_us)
    return clock


def test_a_live_partition_that_falls_silent_stays_one_lateness_behind_the_clock() -> None:
    clock = heard(NOW, NOW)
    clock.tick(NOW + 59 * S)
    assert clock.value_us == NOW - 30 * S
    for second in (60, 61, 600):
        clock.tick(NOW + second * S)
        assert clock.value_us == NOW + second * S - 30 * S


def test_a_past_day_walks_on_and_does_not_leap_to_the_present() -> None:
    clock = heard(NOW - 3 * DAY, NOW)
    clock.tick(NOW + 120 * S)
    assert clock.value_us == NOW - 3 * DAY - 30 * S + 120 * S


def test_a_replay_at_the_days_own_pace_never_finds_its_windows_closed() -> None:
    clock = heard(NOW - 3 * DAY, NOW)
    for minutes in range(0, 600, 5):
        for second in range(0, 300, 10):
            clock.tick(NOW + (minutes * 60 + second) * S)
        event = NOW - 3 * DAY + (minutes + 5) * 60 * S
        assert clock.value_us is not None
        assert event > clock.value_us, minutes
        heard(event, NOW + (minutes + 5) * 60 * S, clock)


def test_a_backlog_of_old_frames_is_not_silence() -> None:
    clock = PartitionClock(POLICY, None, NOW)
    for second in range(300):
        clock.observe(np.array([NOW - DAY + second * S]), append_us=NOW - DAY + second * S, now_us=NOW + second * S)
        clock.tick(NOW + second * S)
    assert clock.value_us == NOW - DAY + 299 * S - 30 * S


def test_a_device_from_2099_does_not_move_it() -> None:
    clock = heard(NOW, NOW)
    clock.observe(np.array([4_070_908_800 * S]), append_us=NOW + S, now_us=NOW + S)
    assert clock.value_us == NOW - 30 * S


def test_without_any_reading_ever_there_is_no_watermark() -> None:
    clock = PartitionClock(POLICY, None, NOW)
    clock.tick(NOW + DAY)
    assert clock.value_us is None


def test_a_clock_that_steps_is_no_silence() -> None:
    clock = heard(NOW, NOW)
    clock.clock_stepped(3600 * S)
    clock.tick(NOW + 3605 * S)
    assert clock.value_us == NOW - 30 * S
    clock.tick(NOW + 3600 * S + 70 * S)
    assert clock.value_us == NOW + 40 * S
