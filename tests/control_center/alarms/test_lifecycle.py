"""The alarm's transition table, and what a batch of condition changes does to the open alarms."""

from datetime import UTC, datetime, timedelta
from itertools import count, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_center.alarms.lifecycle import (
    REFUSALS,
    TRANSITIONS,
    Alarm,
    Book,
    Change,
    RuleTexts,
    State,
    Subject,
    Trigger,
    acknowledged,
    advance,
)

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
RULES = {"r": RuleTexts("warning", {"title_en": "Too high", "title_vi": "Quá cao"})}
SUBJECTS = {"series:1": Subject("air-1", "pm2_5"), "series:2": Subject("air-2", "pm2_5")}


def book(**open_alarms: Alarm) -> Book:
    return Book({("r", alarm.subject): alarm for alarm in open_alarms.values()}, RULES, SUBJECTS, count(1))


def change(
    *, active: bool, subject: str = "series:1", minute: int = 0, value: float = 1.0, rule_id: str = "r"
) -> Change:
    return Change(rule_id, subject, active, NOW + timedelta(minutes=minute), value, {"threshold": 5})


def test_every_state_and_trigger_is_either_a_transition_or_a_named_refusal() -> None:
    for pair in product(State, Trigger):
        assert (pair in TRANSITIONS) != (pair in REFUSALS), pair


@pytest.mark.parametrize(
    ("state", "trigger", "after"),
    [
        (State.NONE, Trigger.RAISE, State.RAISED),
        (State.RAISED, Trigger.ACKNOWLEDGE, State.ACKNOWLEDGED),
        (State.RAISED, Trigger.CLEAR, State.CLEARED),
        (State.ACKNOWLEDGED, Trigger.CLEAR, State.CLEARED),
        (State.RAISED, Trigger.RAISE, "already_open"),
        (State.ACKNOWLEDGED, Trigger.RAISE, "already_open"),
        (State.ACKNOWLEDGED, Trigger.ACKNOWLEDGE, "already_acknowledged"),
        (State.NONE, Trigger.CLEAR, "not_open"),
        (State.CLEARED, Trigger.ACKNOWLEDGE, "already_cleared"),
        (State.CLEARED, Trigger.RAISE, "already_cleared"),
    ],
)
def test_the_table_says(state: State, trigger: Trigger, after: State | str) -> None:
    assert advance(state, trigger) == after


def test_a_raised_alarm_keeps_the_values_and_the_texts_of_its_moment() -> None:
    batch = book()
    batch.apply([change(active=True, value=61.5)], NOW)
    (alarm,) = batch.changed.values()
    assert (alarm.device, alarm.metric, alarm.severity, alarm.state) == ("air-1", "pm2_5", "warning", State.RAISED)
    assert (alarm.raised_at, alarm.raised_value) == (NOW, 61.5)
    assert alarm.raised_detail == {"threshold": 5, "rule": {"title_en": "Too high", "title_vi": "Quá cao"}}
    assert [(event.event, event.at) for event in batch.events] == [("raised", NOW)]


def test_a_cleared_alarm_keeps_the_values_that_cleared_it_beside_those_that_raised_it() -> None:
    batch = book()
    batch.apply([change(active=True, value=61.5), change(active=False, minute=9, value=4.0)], NOW)
    (alarm,) = batch.changed.values()
    assert (alarm.state, alarm.raised_value, alarm.cleared_value) == (State.CLEARED, 61.5, 4.0)
    assert alarm.cleared_at == NOW + timedelta(minutes=9)
    assert alarm.cleared_detail == {"threshold": 5}


def test_an_alarm_that_comes_again_is_a_new_alarm() -> None:
    batch = book()
    batch.apply([change(active=active, minute=n) for n, active in enumerate([True, False, True])], NOW)
    assert [(alarm.alarm_id, alarm.state) for alarm in batch.changed.values()] == [
        (1, State.CLEARED),
        (2, State.RAISED),
    ]


def test_what_changes_nothing_is_counted_with_its_reason() -> None:
    batch = book()
    batch.apply(
        [
            change(active=False),
            change(active=True),
            change(active=True),
            change(active=True, rule_id="gone"),
            change(active=True, subject="series:9"),
            change(active=True, subject="rubbish"),
        ],
        NOW,
    )
    assert batch.ignored == ["not_open", "already_open", "unknown_rule", "unknown_subject", "unknown_subject"]
    assert len(batch.events) == 1


def test_acknowledging_says_who_and_when_and_happens_once() -> None:
    batch = book()
    batch.apply([change(active=True)], NOW)
    outcome = acknowledged(batch.changed[1], by="Lan", comment="on my way", now=NOW + timedelta(minutes=1))
    assert not isinstance(outcome, str)
    alarm, event = outcome
    assert (alarm.state, alarm.acknowledged_by, alarm.acknowledged_at) == (
        State.ACKNOWLEDGED,
        "Lan",
        NOW + timedelta(minutes=1),
    )
    assert (event.event, event.by_whom, event.detail) == ("acknowledged", "Lan", {"comment": "on my way"})
    assert acknowledged(alarm, by="Minh", comment="", now=NOW) == "already_acknowledged"


def test_an_acknowledged_alarm_still_clears() -> None:
    first = book()
    first.apply([change(active=True)], NOW)
    outcome = acknowledged(first.changed[1], by="Lan", comment="", now=NOW)
    assert not isinstance(outcome, str)
    batch = book(open=outcome[0])
    batch.apply([change(active=False)], NOW)
    assert batch.changed[1].state is State.CLEARED
    assert batch.changed[1].acknowledged_by == "Lan"


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["series:1", "series:2"])), max_size=40), st.data())
def test_cutting_a_run_of_changes_into_batches_changes_nothing(
    steps: list[tuple[bool, str]], data: st.DataObject
) -> None:
    changes = [change(active=active, subject=subject, minute=n) for n, (active, subject) in enumerate(steps)]
    whole = book()
    whole.apply(changes, NOW)
    alarms: dict[int, Alarm] = {}
    events, ignored, ids = 0, 0, count(1)
    while changes:
        size = data.draw(st.integers(1, len(changes)))
        still_open = {(a.rule_id, a.subject): a for a in alarms.values() if a.state is not State.CLEARED}
        batch = Book(still_open, RULES, SUBJECTS, ids)
        batch.apply(changes[:size], NOW)
        alarms |= batch.changed
        events, ignored, changes = events + len(batch.events), ignored + len(batch.ignored), changes[size:]
    assert alarms == whole.changed
    assert (events, ignored) == (len(whole.events), len(whole.ignored))
    assert len([a for a in alarms.values() if a.state is not State.CLEARED]) <= 2
