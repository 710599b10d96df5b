"""How far behind, and how long until it is not."""

from __future__ import annotations

import pytest

from control_center.catching_up import BacklogWatch, CatchingUp, Slope


def look(watch: BacklogWatch, at_s: float, **known: float | None) -> CatchingUp | None:
    values: dict[str, float | None] = {"lag_s": 0.3, "event_age_s": 32.0, "draining_bytes": None}
    return watch.observe(**(values | known), at_s=at_s)


def test_a_live_city_is_not_catching_up() -> None:
    watch = BacklogWatch()
    assert [look(watch, second) for second in range(30)] == [None] * 30


def test_a_lag_that_shrinks_says_when_it_will_be_gone() -> None:
    watch = BacklogWatch()
    found = [look(watch, second, lag_s=720.0 - 4 * second) for second in range(11)]
    assert found[0] == CatchingUp(720, None)  # not seen long enough
    last = found[-1]
    assert last is not None
    assert last.behind_s == 680
    assert last.left_s == pytest.approx(170)


def test_a_lag_that_grows_has_no_end() -> None:
    watch = BacklogWatch()
    assert [look(watch, second, lag_s=60.0 + second) for second in range(9)][-1] == CatchingUp(68, None)


def test_a_replay_runs_faster_than_the_clock_and_is_catching_up() -> None:
    watch = BacklogWatch()
    found = [look(watch, second, event_age_s=36_000.0 - 100 * second) for second in range(6)]
    assert found[-1] is not None
    assert found[-1].behind_s == 35_500
    assert found[-1].left_s == pytest.approx(355)


def test_an_idle_partition_that_walks_beside_the_clock_is_no_backlog() -> None:
    watch = BacklogWatch()
    assert [look(watch, second, event_age_s=3600.0) for second in range(30)] == [None] * 30


def test_a_spool_that_drains_is_a_backlog_although_kafka_has_none() -> None:
    watch = BacklogWatch()
    found = [look(watch, second, draining_bytes=8e6 - 1e6 * second, event_age_s=300.0) for second in range(5)]
    last = found[-1]
    assert last is not None
    assert last.behind_s == 300
    assert last.left_s == pytest.approx(4)


def test_nothing_known_is_nothing_claimed() -> None:
    assert look(BacklogWatch(), 0, lag_s=None, event_age_s=None) is None


def test_a_slope_forgets_what_was_before_a_pause() -> None:
    slope = Slope()
    slope.observe(100, 0)
    assert slope.observe(50, 10) == pytest.approx(10)
    assert slope.observe(None, 11) is None
    assert slope.observe(40, 12) is None
