"""Conditions: thresholds with hysteresis and for-duration, judged in event time and independent of how the input is cut."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.contract.sensor_kinds import Mean
from processors.condition_board import board_of, lost_pairs
from processors.condition_changes import Change, Step, joined, retired
from processors.condition_pairs import Board, compile_rules, rows_of
from processors.conditions import advance, judge_readings, judge_windows
from processors.contract.rules import Rule
from tests.kernels.window_cases import Readings, meta_of
from tests.processors.watched import One, columns_of

S = 1_000_000


def rule(rule_id: str = "hot", **given_values: object) -> Rule:
    values: dict[str, object] = {
        "kind": "threshold", "metric": "air_temperature", "source": "reading", "column": "value", "raise_at": 30.0,
        "title_en": "hot", "title_vi": "nóng",
    }  # fmt: skip
    return Rule.model_validate({"rule_id": rule_id, **values, **given_values})


def watched(series_id: int, device: str = "", metric: str = "air_temperature") -> One:
    return One(series_id, 10 + series_id, device or f"d{series_id}", metric, 60)


def board(*rules: Rule, series: tuple[One, ...] = (watched(1),)) -> Board:
    return board_of(compile_rules(rules), columns_of(series))


def readings(on: Board, values: list[float], *, from_s: int = 0, step_s: int = 60, series_id: int = 1) -> Step:
    n = len(values)
    time_us = (from_s + np.arange(n, dtype=np.int64) * step_s) * S
    return judge_readings(on, np.full(n, series_id, np.int32), time_us, np.array(values, np.float64), 0)


def minutes(on: Board, values: list[float], *, from_s: int = 0) -> Step:
    n = len(values)
    time_us = (from_s + np.arange(n, dtype=np.int64) * 60) * S
    zeros = np.zeros(n, np.int32)
    rows = Readings(meta_of([Mean.ARITHMETIC]), zeros, time_us, np.array(values, np.float64), zeros).windows(60)
    rows = replace(rows, series_id=np.ones(n, np.int32))
    return judge_windows(on, "1m", rows, rows.start_us + 60 * S)


def story(changes: tuple[Change, ...]) -> list[tuple[bool, int, float | None]]:
    return [(change.active, change.at_us // S, change.value) for change in changes]


def test_it_is_raised_above_the_threshold_and_cleared_at_it() -> None:
    step = readings(board(rule()), [29.0, 30.0, 30.1, 31.0, 30.0])
    assert story(step.changes) == [(True, 120, 30.1), (False, 240, 30.0)]


def test_a_rule_below_is_the_mirror() -> None:
    step = readings(board(rule(above=False, raise_at=5.0, clear_at=7.0)), [6.0, 4.9, 6.0, 7.0, 8.0])
    assert story(step.changes) == [(True, 60, 4.9), (False, 180, 7.0)]


def test_hysteresis_keeps_it_raised_until_the_value_is_back_past_clear_at() -> None:
    step = readings(board(rule(clear_at=28.0)), [31.0, 29.0, 28.1, 31.0, 28.0])
    assert story(step.changes) == [(True, 0, 31.0), (False, 240, 28.0)]


def test_it_must_hold_without_a_break_for_its_duration() -> None:
    step = readings(board(rule(for_s=120)), [31.0, 32.0, 30.0, 33.0, 34.0, 35.0, 36.0])
    assert story(step.changes) == [(True, 300, 35.0)]
    assert step.changes[0].detail == {
        "source": "reading", "column": "value", "threshold": 30.0, "for_s": 120, "held_s": 120.0,
        "reading_time": "1970-01-01T00:05:00Z",
    }  # fmt: skip


def test_a_pending_condition_is_raised_when_the_watermark_passes_its_duration() -> None:
    step = readings(board(rule(for_s=90)), [31.0, 32.0])
    assert step.changes == ()
    assert advance(step.board, 90 * S).changes == ()  # the reading of second 90 may still come and break it
    raised = advance(step.board, 90 * S + 1)
    assert story(raised.changes) == [(True, 90, 32.0)]
    assert advance(raised.board, 10**6 * S) == Step(raised.board)


def test_the_next_value_tells_the_same_story_as_the_watermark_would() -> None:
    step = readings(board(rule(for_s=90)), [31.0, 32.0])
    by_watermark = advance(step.board, 100 * S)
    assert story(readings(step.board, [20.0], from_s=120).changes) == [(True, 90, 32.0), (False, 120, 20.0)]
    assert story(readings(by_watermark.board, [20.0], from_s=120).changes) == [(False, 120, 20.0)]
    assert readings(step.board, [20.0], from_s=90).changes == ()


def test_a_window_vouches_for_its_whole_length_and_is_known_at_its_end() -> None:
    on = board(rule(source="1m", column="mean", for_s=180))
    step = minutes(on, [31.0, 31.5, 32.0])
    assert story(step.changes) == [(True, 180, 32.0)]
    assert step.changes[0].detail["window_start"] == "1970-01-01T00:02:00Z"
    assert story(minutes(board(rule(source="1m", column="max")), [20.0, 31.0]).changes) == [(True, 120, 31.0)]


def test_several_windows_of_a_series_in_one_call_are_judged_in_order() -> None:
    step = minutes(board(rule(source="1m", column="mean", clear_at=25.0)), [31.0, 26.0, 24.0, 32.0, 20.0])
    assert story(step.changes) == [(True, 60, 31.0), (False, 180, 24.0), (True, 240, 32.0), (False, 300, 20.0)]
    assert len(step.rows) == 1


def test_what_comes_late_is_not_judged() -> None:
    step = readings(board(rule()), [20.0, 20.0])
    late = readings(step.board, [99.0], from_s=30)
    assert (late.changes, late.rows) == ((), ())
    again = readings(step.board, [99.0, 31.0], from_s=60)
    assert story(again.changes) == [(True, 120, 31.0)]


def test_a_value_that_is_not_there_is_not_judged() -> None:
    step = readings(board(rule(for_s=100)), [31.0, np.nan, 31.0])
    assert story(step.changes) == [(True, 100, 31.0)]
    assert minutes(board(rule(source="1m", column="special")), [99.0]).changes == ()


def test_every_pair_has_its_own_state() -> None:
    series = (watched(1, "park/a"), watched(2, "park/b"), watched(3, "Park/c"), watched(4, "park/d", "pm10"))
    on = board(rule("hot", device_glob="park/*"), rule("hotter", raise_at=35.0), series=series)
    ids = np.array([3, 2, 1, 4, 1], np.int32)
    step = judge_readings(on, ids, np.array([5, 5, 5, 5, 6]) * S, np.array([31.0, 36.0, 31.0, 99.0, 36.0]), 0)
    assert [(change.rule_id, change.subject, change.at_us // S) for change in step.changes] == [
        ("hot", "series:1", 5), ("hot", "series:2", 5), ("hotter", "series:2", 5), ("hotter", "series:1", 6),
    ]  # fmt: skip


def test_disabled_rules_and_unwatched_series_cost_nothing_and_say_nothing() -> None:
    on = board(rule(enabled=False))
    assert on.panels == {}
    assert readings(on, [99.0]) == Step(on)
    assert readings(board(rule()), [99.0], series_id=77).changes == ()
    assert minutes(board(rule()), [99.0]).changes == ()


@pytest.mark.parametrize("after", [1, 2, 3, 4, 5, 6])
def test_a_new_owner_goes_on_from_the_stored_rows(after: int) -> None:
    values = [31.0, 32.0, 29.5, 27.0, 31.0, 32.0, 33.0, 27.5]
    on = board(rule(clear_at=28.0, for_s=60))
    whole = readings(on, values)
    first = readings(on, values[:after])
    taken_over = board_of(on.rules, columns_of([watched(1)]), first.rows)
    second = readings(taken_over, values[after:], from_s=60 * after)
    assert first.changes + second.changes == whole.changes
    assert len(whole.changes) == 4


def test_state_survives_new_series_and_new_rules() -> None:
    first = readings(board(rule(for_s=120)), [31.0, 32.0])
    rules = compile_rules([rule(for_s=120), rule("other", metric="pm10")])
    wider = board_of(rules, columns_of([watched(2), watched(1)]), before=first.board)
    assert story(readings(wider, [33.0], from_s=120).changes) == [(True, 120, 33.0)]


def test_a_condition_whose_rule_goes_away_ends() -> None:
    raised = readings(board(rule(), rule("kept")), [31.0]).board
    left = board_of(compile_rules([rule("kept")]), columns_of([watched(1)]), before=raised)
    ended = retired(raised, lost_pairs(raised, left), 99)
    assert [(change.rule_id, change.active, change.at_us) for change in ended] == [("hot", False, 99)]
    assert retired(raised, lost_pairs(raised, raised), 99) == ()
    assert [(row.rule_id, row.active) for row in rows_of(left)] == [("kept", True)]


def test_a_series_that_no_pattern_fits_any_more_loses_its_state_and_the_others_keep_theirs() -> None:
    both = (watched(1, "lamp-1"), watched(2, "park-1"))
    raised = readings(readings(board(rule(), series=both), [31.0]).board, [32.0], series_id=2).board
    lamps = board_of(compile_rules([rule(device_glob="lamp-*")]), columns_of(both), before=raised)
    assert [row.subject for row in rows_of(lamps)] == ["series:1"]
    lost = lost_pairs(raised, lamps)
    assert [row.subject for source, pairs in lost.items() for row in rows_of(raised, source, pairs)] == ["series:2"]


def test_a_rule_that_looks_at_windows_from_now_on_keeps_its_state() -> None:
    raised = readings(board(rule()), [31.0]).board
    moved = board_of(compile_rules([rule(source="1m", column="mean")]), columns_of([watched(1)]), before=raised)
    assert [(row.subject, row.active) for row in rows_of(moved, "1m", np.arange(1))] == [("series:1", True)]
    assert minutes(moved, [10.0], from_s=60).changes[0].active is False


def test_stored_rows_of_other_subjects_and_rules_are_left_out() -> None:
    stored = readings(board(rule(), rule("gone"), series=(watched(1), watched(2))), [31.0]).rows
    odd = [replace(row, subject=subject) for row in stored for subject in ("device:1", "series:x", "series:999")]
    taken_over = board_of(compile_rules([rule()]), columns_of([watched(1)]), [*odd, *stored])
    assert [(row.rule_id, row.subject) for row in rows_of(taken_over)] == [("hot", "series:1")]
    assert rows_of(board_of(compile_rules([rule()]), columns_of([watched(1)]), odd)) == []


def test_a_failed_call_leaves_the_board_as_it_was() -> None:
    on = board(rule())
    before = rows_of(on)
    assert readings(on, [31.0]).changes == readings(on, [31.0]).changes != ()
    assert rows_of(on) == before == []


values_of_two = st.lists(
    st.tuples(st.sampled_from([1, 2]), st.sampled_from([27.0, 29.0, 31.0])), min_size=1, max_size=40
)


def slow_story(items: list[tuple[int, int, float]], for_s: int, until_s: int) -> list[tuple[int, bool, int]]:
    """(series, active, at) by a loop over values in order: raised above 30 held for `for_s`, cleared at 28."""
    story_of: list[tuple[int, bool, int]] = []
    pending: dict[int, int] = {}
    active: set[int] = set()
    for series, at, value in items:
        if series in pending and pending[series] + for_s < at:
            story_of.append((series, True, pending.pop(series) + for_s))
            active.add(series)
        if series in active and value <= 28:
            active.discard(series)
            story_of.append((series, False, at))
        if value <= 30:
            pending.pop(series, None)
        elif series not in active:
            since = pending.setdefault(series, at)
            if since + for_s <= at:
                story_of.append((series, True, pending.pop(series) + for_s))
                active.add(series)
    ends = [(series, True, since + for_s) for series, since in pending.items() if since + for_s < until_s]
    return sorted(story_of + ends, key=lambda one: (one[2], one[0]))


@settings(max_examples=200, deadline=None)
@given(items=values_of_two, for_s=st.sampled_from([0, 60, 90, 150]), cuts=st.lists(st.integers(0, 40), max_size=4))
def test_changes_are_those_of_a_loop_however_the_input_is_cut(
    items: list[tuple[int, float]], for_s: int, cuts: list[int]
) -> None:
    timed = [(series, 60 * at, value) for at, (series, value) in enumerate(items)]
    step = Step(board(rule(clear_at=28.0, for_s=for_s), series=(watched(1), watched(2))))
    edges = sorted({0, len(timed), *(min(cut, len(timed)) for cut in cuts)})
    for begin, end in pairwise(edges):
        part = timed[begin:end]
        step = joined(
            step,
            judge_readings(
                step.board,
                np.array([series for series, _, _ in part], np.int32),
                np.array([at * S for _, at, _ in part]),
                np.array([value for _, _, value in part]),
                0,
            ),
        )
        step = joined(step, advance(step.board, part[-1][1] * S))
    until = 60 * len(timed) + 1000
    step = joined(step, advance(step.board, until * S))
    told = sorted((change.at_us // S, int(change.subject[-1]), change.active) for change in step.changes)
    wanted = sorted((at, series, active) for series, active, at in slow_story(timed, for_s, until))
    assert told == wanted
