"""Absence: a device silent for longer than its rule allows, told from the gaps between its readings in event time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.condition_board import board_of
from processors.condition_changes import Change, Step, joined
from processors.condition_pairs import Board, compile_rules
from processors.conditions import advance, judge_readings
from processors.contract.rules import Rule
from tests.processors.watched import One, columns_of

S = 1_000_000
SILENT = Rule(rule_id="silent", kind="absence", missed_intervals=3, title_en="silent", title_vi="im lặng")


def board(rule: Rule = SILENT, *, last_s: int | None = None) -> Board:
    newest = {} if last_s is None else {"last_time_us": last_s * S}
    series = [
        One(1, 7, "a", "air_temperature", 60, **newest),
        One(2, 7, "a", "battery_level", 3600),
        One(3, 8, "b", "air_temperature", 60),
    ]
    return board_of(compile_rules([rule]), columns_of(series))


def hear(on: Board, times_s: list[int], *, watermark_s: int | None = None, series_id: int = 1) -> Step:
    time_us = np.array(times_s, np.int64) * S
    watermark_us = (max(times_s) if watermark_s is None else watermark_s) * S
    return judge_readings(on, np.full(len(time_us), series_id, np.int32), time_us, np.zeros(len(time_us)), watermark_us)


def story(changes: tuple[Change, ...]) -> list[tuple[bool, int, float | None]]:
    return [(change.active, change.at_us // S, change.value) for change in changes]


def test_a_device_is_absent_once_the_watermark_has_passed_three_intervals_of_its_fastest_metric() -> None:
    step = hear(board(), [0, 60])
    assert advance(step.board, 240 * S).changes == ()
    gone = advance(step.board, 241 * S)
    assert story(gone.changes) == [(True, 240, 180.0)]
    assert gone.changes[0].subject == "device:7"
    assert gone.changes[0].detail == {
        "last_reading": "1970-01-01T00:01:00Z", "expected_interval_s": 60.0, "missed_intervals": 3.0, "held_s": 180.0,
    }  # fmt: skip


def test_any_metric_of_the_device_is_a_sign_of_life() -> None:
    step = hear(hear(board(), [0]).board, [100], series_id=2)
    assert advance(step.board, 280 * S).changes == ()
    only = SILENT.model_copy(update={"metric": "air_temperature"})
    step = hear(hear(board(only), [0]).board, [100], series_id=2)
    assert story(advance(step.board, 280 * S).changes) == [(True, 180, 180.0)]


def test_it_ends_with_the_next_reading() -> None:
    gone = advance(hear(board(), [0]).board, 600 * S)
    back = hear(gone.board, [700])
    assert story(back.changes) == [(False, 700, 700.0)]
    assert advance(back.board, 880 * S).changes == ()


def test_delivering_the_backlog_of_an_outage_is_not_being_back() -> None:
    gone = advance(hear(board(), [0]).board, 3600 * S)
    backlog = hear(gone.board, [60, 120, 180], watermark_s=3600)
    assert backlog.changes == ()
    assert advance(backlog.board, 3660 * S).changes == ()
    assert story(hear(backlog.board, [3650], watermark_s=3700).changes) == [(False, 3650, 3470.0)]


def test_a_gap_within_one_call_tells_the_same_story_as_the_watermark_did() -> None:
    at_once = hear(board(), [0, 60, 500, 560])
    assert story(at_once.changes) == [(True, 240, 180.0), (False, 500, 440.0)]
    first = hear(board(), [0, 60])
    gone = advance(first.board, 400 * S)
    assert story(gone.changes + hear(gone.board, [500, 560]).changes) == story(at_once.changes)


def test_a_device_that_never_sent_is_not_absent_and_a_new_owner_knows_when_it_last_did() -> None:
    assert advance(board(), 10**6 * S).changes == ()
    assert story(advance(board(last_s=0), 181 * S).changes) == [(True, 180, 180.0)]


def test_a_new_owner_goes_on_from_the_stored_rows() -> None:
    gone = advance(hear(board(), [0]).board, 600 * S)
    series = [One(1, 7, "a", "air_temperature", 60, last_time_us=0)]
    taken_over = board_of(gone.board.rules, columns_of(series), gone.rows)
    assert advance(taken_over, 700 * S).changes == ()
    assert story(hear(taken_over, [700]).changes) == [(False, 700, 700.0)]


def test_old_readings_and_none_at_all_change_nothing() -> None:
    step = hear(board(), [600])
    assert hear(step.board, [0, 600], watermark_s=600) == Step(step.board)
    nothing = judge_readings(step.board, np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0), 0)
    assert (nothing.changes, nothing.rows) == ((), ())


@settings(max_examples=150, deadline=None)
@given(
    steps=st.lists(st.integers(1, 400), min_size=1, max_size=25),
    cuts=st.lists(st.integers(0, 25), max_size=4),
)
def test_absences_are_the_long_gaps_however_the_input_is_cut(steps: list[int], cuts: list[int]) -> None:
    times = np.cumsum(steps).tolist()
    step = Step(board())
    edges = sorted({0, len(times), *(min(cut, len(times)) for cut in cuts)})
    for begin, end in pairwise(edges):
        step = joined(step, hear(step.board, times[begin:end]))
        step = joined(step, advance(step.board, times[end - 1] * S))
    wanted = []
    for before, after in pairwise(times):
        if after - before > 180:
            wanted += [(True, before + 180, 180.0), (False, after, float(after - before))]
    assert story(step.changes) == wanted
