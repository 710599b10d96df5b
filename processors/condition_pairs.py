"""Which rule watches which series or device, and the state of each such pair, as arrays. Pure; `conditions` judges them.

A board has one panel per source of values ("reading", "1m", ... and "absence"). Boards and panels are never changed in place:
a step gives a new board, so a transaction that fails leaves the old one standing.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from processors.contract.rules import Rule

NONE_US: Final = int(np.iinfo(np.int64).min)
"""Stands for "no time" in int64 columns."""
ABSENCE: Final = "absence"

Int64Array = npt.NDArray[np.int64]
IndexArray = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class WatchedSeries:
    """One series as rules see it. `interval_s`: expected seconds between its readings; `last_time_us`: its newest reading."""

    series_id: int
    device_id: int
    device: str
    metric: str
    interval_s: int
    last_time_us: int = NONE_US


@dataclass(frozen=True, slots=True)
class ConditionRow:
    """A row of city.conditions without its partition; times in microseconds, None where SQL has NULL."""

    rule_id: str
    subject: str
    active: bool
    pending_since_us: int | None
    since_us: int | None
    value: float | None
    value_time_us: int | None


@dataclass(frozen=True, slots=True)
class CompiledRules:
    """Enabled rules in order of rule_id, their device patterns compiled, found by metric (None: any).

    Thresholds as columns of one value a rule: `sign` is 1 for above, -1 for below, so that `sign * value > sign * raise_at`
    is a hit of either; `raise_at`, `clear_at` are NaN for rules of absence.
    """

    rules: tuple[Rule, ...]
    patterns: tuple[re.Pattern[str], ...]
    by_metric: Mapping[str | None, tuple[int, ...]]
    sign: npt.NDArray[np.float64]
    raise_at: npt.NDArray[np.float64]
    clear_at: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Panel:
    """p pairs in order of (subject, rule). `subject` is a series id, in the panel of absence a device id.

    `key` is what readings and windows are found by: the series id; a device of k series has k keys in absence panels, so
    `key`, `pair` are of length q >= p and `pair` points into the other columns.
    `patience_us`: for thresholds the for-duration, for absence the longest silence allowed. `value_time_us` is the time of the
    last value judged: start of the window or time of the reading; for absence the newest reading. Unknown times are NONE_US.
    """

    key: npt.NDArray[np.int32]
    pair: IndexArray
    rule: IndexArray
    subject: npt.NDArray[np.int32]
    patience_us: Int64Array
    active: npt.NDArray[np.bool_]
    pending_us: Int64Array
    since_us: Int64Array
    value: npt.NDArray[np.float64]
    value_time_us: Int64Array

    def __len__(self) -> int:
        return len(self.rule)

    def copied(self) -> Panel:
        """The same with state columns of its own."""
        return replace(
            self,
            active=self.active.copy(),
            pending_us=self.pending_us.copy(),
            since_us=self.since_us.copy(),
            value=self.value.copy(),
            value_time_us=self.value_time_us.copy(),
        )


@dataclass(frozen=True, slots=True)
class Board:
    """Everything the rules of a partition watch: the rules and a panel per source that has pairs."""

    rules: CompiledRules
    panels: Mapping[str, Panel]

    def with_panel(self, source: str, panel: Panel) -> Board:
        """The board with one panel replaced."""
        return Board(self.rules, {**self.panels, source: panel})


def compile_rules(rules: Iterable[Rule]) -> CompiledRules:
    """Enabled rules, ready to match. Patterns are case sensitive shell patterns over the device id."""
    enabled = tuple(sorted((rule for rule in rules if rule.enabled), key=lambda rule: rule.rule_id))
    patterns = tuple(re.compile(fnmatch.translate(rule.device_glob)) for rule in enabled)
    by_metric: dict[str | None, list[int]] = {}
    for position, rule in enumerate(enabled):
        by_metric.setdefault(rule.metric, []).append(position)
    raise_at = np.array([np.nan if rule.raise_at is None else rule.raise_at for rule in enabled], np.float64)
    given = np.array([np.nan if rule.clear_at is None else rule.clear_at for rule in enabled], np.float64)
    return CompiledRules(
        rules=enabled,
        patterns=patterns,
        by_metric={metric: tuple(found) for metric, found in by_metric.items()},
        sign=np.array([1.0 if rule.above else -1.0 for rule in enabled], np.float64),
        raise_at=raise_at,
        clear_at=np.where(np.isnan(given), raise_at, given),
    )


def board_of(rules: CompiledRules, series: Iterable[WatchedSeries], rows: Iterable[ConditionRow] = ()) -> Board:
    """A board over all `series` of a partition, its state taken from `rows` of city.conditions; rows of other pairs are left out.

    Used at take-over, when series appear (with `rows_of(board)` of the old one) and when rules change.
    """
    thresholds: dict[str, list[tuple[int, int]]] = {}
    absences: dict[tuple[int, int], list[WatchedSeries]] = {}
    for one in series:
        for position in (*rules.by_metric.get(one.metric, ()), *rules.by_metric.get(None, ())):
            if not rules.patterns[position].match(one.device):
                continue
            rule = rules.rules[position]
            if rule.kind == "absence":
                absences.setdefault((one.device_id, position), []).append(one)
            else:
                thresholds.setdefault(rule.source, []).append((one.series_id, position))
    state = {(row.rule_id, row.subject): row for row in rows}
    panels = {source: _threshold_panel(rules, sorted(pairs), state) for source, pairs in sorted(thresholds.items())}
    if absences:
        panels[ABSENCE] = _absence_panel(rules, dict(sorted(absences.items())), state)
    return Board(rules, panels)


def subject_of(source: str, subject: int) -> str:
    """The `subject` column: 'series:<series_id>', for absence 'device:<device_id>'."""
    return f"device:{subject}" if source == ABSENCE else f"series:{subject}"


def rows_of(board: Board, source: str | None = None, pairs: IndexArray | None = None) -> list[ConditionRow]:
    """City.conditions rows of the pairs at positions `pairs` of one panel; of all panels' pairs that ever had a state by default."""
    if source is None:
        return [row for name in board.panels for row in rows_of(board, name)]
    panel = board.panels[source]
    if pairs is None:
        pairs = np.flatnonzero(panel.active | (panel.pending_us != NONE_US) | (panel.value_time_us != NONE_US))
    return [
        ConditionRow(
            rule_id=board.rules.rules[panel.rule[at]].rule_id,
            subject=subject_of(source, int(panel.subject[at])),
            active=bool(panel.active[at]),
            pending_since_us=_time(panel.pending_us[at]),
            since_us=_time(panel.since_us[at]),
            value=None if np.isnan(panel.value[at]) else float(panel.value[at]),
            value_time_us=_time(panel.value_time_us[at]),
        )
        for at in pairs.tolist()
    ]


def _threshold_panel(
    rules: CompiledRules, pairs: Sequence[tuple[int, int]], state: Mapping[tuple[str, str], ConditionRow]
) -> Panel:
    subject = np.array([series_id for series_id, _ in pairs], np.int32)
    rule = np.array([position for _, position in pairs], np.intp)
    patience = np.array([rules.rules[position].for_s * 1_000_000 for position in rule], np.int64)
    fresh = _fresh(subject, np.arange(len(pairs)), rule, subject, patience)
    return _restored(rules, "", fresh, state)


def _absence_panel(
    rules: CompiledRules,
    pairs: Mapping[tuple[int, int], Sequence[WatchedSeries]],
    state: Mapping[tuple[str, str], ConditionRow],
) -> Panel:
    subject = np.array([device_id for device_id, _ in pairs], np.int32)
    rule = np.array([position for _, position in pairs], np.intp)
    # a device's expected interval is that of its most frequent metric
    interval = np.array([min(one.interval_s for one in watched) for watched in pairs.values()], np.float64)
    missed = np.array([rules.rules[position].missed_intervals for position in rule], np.float64)
    keys = np.array([one.series_id for watched in pairs.values() for one in watched], np.int32)
    pair = np.repeat(np.arange(len(pairs)), [len(watched) for watched in pairs.values()])
    by_key = np.lexsort((pair, keys))
    fresh = _fresh(keys[by_key], pair[by_key], rule, subject, np.round(interval * missed * 1e6).astype(np.int64))
    panel = _restored(rules, ABSENCE, fresh, state)
    newest = np.array([max(one.last_time_us for one in watched) for watched in pairs.values()], np.int64)
    return replace(panel, value_time_us=np.maximum(panel.value_time_us, newest))


def _fresh(
    key: npt.NDArray[np.int32], pair: IndexArray, rule: IndexArray, subject: npt.NDArray[np.int32], patience: Int64Array
) -> Panel:
    p = len(rule)
    nowhen = np.full(p, NONE_US, np.int64)
    return Panel(
        key=key,
        pair=pair,
        rule=rule,
        subject=subject,
        patience_us=patience,
        active=np.zeros(p, np.bool_),
        pending_us=nowhen,
        since_us=nowhen.copy(),
        value=np.full(p, np.nan),
        value_time_us=nowhen.copy(),
    )


def _restored(rules: CompiledRules, source: str, panel: Panel, state: Mapping[tuple[str, str], ConditionRow]) -> Panel:
    if not state:
        return panel
    for at, (position, subject) in enumerate(zip(panel.rule.tolist(), panel.subject.tolist(), strict=True)):
        row = state.get((rules.rules[position].rule_id, subject_of(source, subject)))
        if row is None:
            continue
        panel.active[at] = row.active
        panel.pending_us[at] = _stored(row.pending_since_us)
        panel.since_us[at] = _stored(row.since_us)
        panel.value[at] = np.nan if row.value is None else row.value
        panel.value_time_us[at] = _stored(row.value_time_us)
    return panel


def _time(time_us: np.int64) -> int | None:
    return None if time_us == NONE_US else int(time_us)


def _stored(time_us: int | None) -> int:
    return NONE_US if time_us is None else time_us
