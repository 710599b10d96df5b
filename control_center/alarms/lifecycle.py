"""What may happen to an alarm: a transition table, and the bookkeeping of a batch of changes over it. Pure; time is an argument.

An alarm is raised, may be acknowledged, and is cleared once; cleared is the end, and the next raise is a new alarm.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final


class State(StrEnum):
    """Where an alarm is. NONE: there is no open alarm of this rule and subject."""

    NONE = "none"
    RAISED = "raised"
    ACKNOWLEDGED = "acknowledged"
    CLEARED = "cleared"


class Trigger(StrEnum):
    """What happens to it."""

    RAISE = "raise"
    ACKNOWLEDGE = "acknowledge"
    CLEAR = "clear"


TRANSITIONS: Final[Mapping[tuple[State, Trigger], State]] = MappingProxyType(
    {
        (State.NONE, Trigger.RAISE): State.RAISED,
        (State.RAISED, Trigger.ACKNOWLEDGE): State.ACKNOWLEDGED,
        (State.RAISED, Trigger.CLEAR): State.CLEARED,
        (State.ACKNOWLEDGED, Trigger.CLEAR): State.CLEARED,
    }
)

REFUSALS: Final[Mapping[tuple[State, Trigger], str]] = MappingProxyType(
    {
        (State.NONE, Trigger.ACKNOWLEDGE): "not_open",
        (State.NONE, Trigger.CLEAR): "not_open",
        (State.RAISED, Trigger.RAISE): "already_open",
        (State.ACKNOWLEDGED, Trigger.RAISE): "already_open",
        (State.ACKNOWLEDGED, Trigger.ACKNOWLEDGE): "already_acknowledged",
        (State.CLEARED, Trigger.RAISE): "already_cleared",
        (State.CLEARED, Trigger.ACKNOWLEDGE): "already_cleared",
        (State.CLEARED, Trigger.CLEAR): "already_cleared",
    }
)
"""Every pair that is no transition, with the reason it is counted under."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One alarm as stored in city.alarms. Times in `*_at` are event time, except `acknowledged_at` (a person's clock)."""

    alarm_id: int
    rule_id: str
    subject: str
    device: str
    metric: str | None
    severity: str
    state: State
    raised_at: datetime
    raised_value: float | None
    raised_detail: Mapping[str, Any]
    acknowledged_at: datetime | None = None
    acknowledged_by: str | None = None
    cleared_at: datetime | None = None
    cleared_value: float | None = None
    cleared_detail: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of an alarm's history. `at`: when it was recorded."""

    alarm_id: int
    at: datetime
    event: str
    by_whom: str
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """A condition became active or inactive at event time `at`; `value` and `detail` are what made it so."""

    rule_id: str
    subject: str
    active: bool
    at: datetime
    value: float | None
    detail: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a condition is about."""

    device: str
    metric: str | None


@dataclass(frozen=True, slots=True)
class RuleTexts:
    """What an alarm keeps of its rule, so that it can be explained after the rules file has changed."""

    severity: str
    texts: Mapping[str, str]


def advance(state: State, trigger: Trigger) -> State | str:
    """The new state, or the reason (plain text) why nothing happens."""
    return TRANSITIONS.get((state, trigger)) or REFUSALS[state, trigger]


def acknowledged(alarm: Alarm, *, by: str, comment: str, now: datetime) -> tuple[Alarm, Event] | str:
    """The alarm taken care of and its history entry, or the reason why not."""
    after = advance(alarm.state, Trigger.ACKNOWLEDGE)
    if not isinstance(after, State):
        return after
    changed = replace(alarm, state=after, acknowledged_at=now, acknowledged_by=by)
    return changed, Event(alarm.alarm_id, now, "acknowledged", by, {"comment": comment} if comment else {})


@dataclass(slots=True)
class Book:
    """The open alarms a batch of changes touches, and what the batch did to them.

    `open_alarms` are those of the batch's (rule, subject) pairs, `rules` and `subjects` what the changes name, `ids` fresh alarm ids.
    """

    open_alarms: dict[tuple[str, str], Alarm]
    rules: Mapping[str, RuleTexts]
    subjects: Mapping[str, Subject]
    ids: Iterator[int]
    changed: dict[int, Alarm] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    def apply(self, changes: Iterable[Change], now: datetime) -> None:
        """Take the changes in order; one that changes nothing is put down in `ignored` with its reason."""
        for change in changes:
            refusal = self._raise(change, now) if change.active else self._clear(change, now)
            if refusal:
                self.ignored.append(refusal)

    def _raise(self, change: Change, now: datetime) -> str | None:
        rule, subject = self.rules.get(change.rule_id), self.subjects.get(change.subject)
        if rule is None or subject is None:
            return "unknown_rule" if rule is None else "unknown_subject"
        key = (change.rule_id, change.subject)
        before = self.open_alarms[key].state if key in self.open_alarms else State.NONE
        after = advance(before, Trigger.RAISE)
        if not isinstance(after, State):
            return after
        alarm = Alarm(
            next(self.ids), change.rule_id, change.subject, subject.device, subject.metric, rule.severity, after,
            change.at, change.value, {**change.detail, "rule": dict(rule.texts)},
        )  # fmt: skip
        self.open_alarms[key] = self.changed[alarm.alarm_id] = alarm
        self.events.append(_event(alarm, "raised", change, now))
        return None

    def _clear(self, change: Change, now: datetime) -> str | None:
        alarm = self.open_alarms.get((change.rule_id, change.subject))
        after = advance(alarm.state if alarm else State.NONE, Trigger.CLEAR)
        if alarm is None or not isinstance(after, State):
            return str(after)
        cleared = replace(
            alarm, state=after, cleared_at=change.at, cleared_value=change.value, cleared_detail=dict(change.detail)
        )
        del self.open_alarms[change.rule_id, change.subject]
        self.changed[alarm.alarm_id] = cleared
        self.events.append(_event(cleared, "cleared", change, now))
        return None


def _event(alarm: Alarm, name: str, change: Change, now: datetime) -> Event:
    detail = {**change.detail, "event_time": change.at.isoformat(), "value": change.value}
    return Event(alarm.alarm_id, now, name, "citynerve", detail)
