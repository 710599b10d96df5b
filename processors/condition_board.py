"""Makes boards: which rule watches which series or device, all series of a partition at once. Pure.

Series come as columns and boards carry their states over as columns: a million series as objects took longer than a batch may, at
each new series, and more memory than all else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from processors.condition_pairs import (
    ABSENCE,
    NONE_US,
    Board,
    CompiledRules,
    ConditionRow,
    IndexArray,
    Int64Array,
    Panel,
    subject_of,
)
from processors.kernels.ordering import run_starts

_STATE: Final = ("active", "pending_us", "since_us", "value", "value_time_us")


@dataclass(frozen=True, slots=True)
class WatchedSeries:
    """n series as rules see them. `device` indexes `device_names`, `metric` indexes `metric_names`.

    `interval_s`: expected seconds between readings; `last_time_us`: the newest reading, NONE_US where none is known.
    """

    series_id: npt.NDArray[np.int32]
    device_id: npt.NDArray[np.int32]
    device: npt.NDArray[np.int32]
    metric: npt.NDArray[np.int16]
    interval_s: npt.NDArray[np.int32]
    last_time_us: Int64Array
    device_names: Sequence[str]
    metric_names: Sequence[str]

    def __len__(self) -> int:
        return len(self.series_id)


def board_of(
    rules: CompiledRules, series: WatchedSeries, rows: Iterable[ConditionRow] = (), before: Board | None = None
) -> Board:
    """A board over all `series` of a partition; rows and pairs that it has no place for are left out.

    Args:
        rules: what watches.
        series: all of the partition.
        rows: states of city.conditions (at take-over).
        before: the board whose states go on (new series, changed rules).
    """
    thresholds: dict[str, list[tuple[npt.NDArray[np.int32], int]]] = {}
    absences: list[tuple[IndexArray, int]] = []
    for position, rule in enumerate(rules.rules):
        watched = _watched_by(rules, position, series)
        if len(watched) == 0:
            continue
        if rule.kind == "absence":
            absences.append((watched, position))
        else:
            thresholds.setdefault(rule.source, []).append((series.series_id[watched], position))
    panels = {source: _threshold_panel(rules, pairs) for source, pairs in sorted(thresholds.items())}
    if absences:
        panels[ABSENCE] = _absence_panel(rules, series, absences)
    board = Board(rules, panels)
    if before is not None:
        _carry_over(board, before)
    _restore(board, rows)
    if absences:  # a reading may be newer than the state says
        panel = panels[ABSENCE]
        np.maximum(panel.value_time_us, _newest(panel, series), out=panel.value_time_us)
    return board


def lost_pairs(old: Board, new: Board) -> dict[str, IndexArray]:
    """Positions of pairs that ever had a state, by panel of `old`, that `new` no longer has: rule gone, disabled or no longer matching."""
    lost = {}
    for source, panel in old.panels.items():
        had = np.flatnonzero(panel.active | (panel.pending_us != NONE_US) | (panel.value_time_us != NONE_US))
        keys = _keys(old.rules, panel, new.rules)[had]
        there = [
            _keys(new.rules, other, new.rules)
            for name, other in new.panels.items()
            if (name == ABSENCE) == (source == ABSENCE)
        ]
        lost[source] = had[(keys < 0) | ~np.isin(keys, np.concatenate([np.empty(0, np.int64), *there]))]
    return lost


def _watched_by(rules: CompiledRules, position: int, series: WatchedSeries) -> IndexArray:
    """Positions of the series that a rule watches."""
    rule = rules.rules[position]
    if rule.metric is None:
        watched = np.arange(len(series))
    elif rule.metric in series.metric_names:
        watched = np.flatnonzero(series.metric == series.metric_names.index(rule.metric))
    else:
        watched = np.empty(0, np.intp)
    if rule.device_glob == "*":
        return watched
    devices, inverse = np.unique(series.device[watched], return_inverse=True)
    pattern = rules.patterns[position]
    fits = np.fromiter(
        (pattern.match(series.device_names[device]) is not None for device in devices.tolist()), np.bool_, len(devices)
    )
    return watched[fits[inverse]]


def _threshold_panel(rules: CompiledRules, pairs: Sequence[tuple[npt.NDArray[np.int32], int]]) -> Panel:
    subject = np.concatenate([ids for ids, _ in pairs])
    rule = np.repeat([position for _, position in pairs], [len(ids) for ids, _ in pairs])
    order = np.lexsort((rule, subject))
    subject, rule = subject[order], rule[order]
    for_us = np.array([one.for_s * 1_000_000 for one in rules.rules], np.int64)
    return _fresh(subject, np.arange(len(subject)), rule, subject, for_us[rule])


def _absence_panel(rules: CompiledRules, series: WatchedSeries, absences: Sequence[tuple[IndexArray, int]]) -> Panel:
    at = np.concatenate([watched for watched, _ in absences])
    rule_of_key = np.repeat([position for _, position in absences], [len(watched) for watched, _ in absences])
    order = np.lexsort((rule_of_key, series.device_id[at]))
    at, rule_of_key = at[order], rule_of_key[order]
    device = series.device_id[at]
    first = run_starts(device, rule_of_key)
    pair = np.cumsum(np.bincount(first, minlength=len(at))) - 1
    # a device's expected interval is that of its most frequent metric
    interval = np.minimum.reduceat(series.interval_s[at], first).astype(np.float64)
    missed = np.array([one.missed_intervals for one in rules.rules], np.float64)[rule_of_key[first]]
    keys = series.series_id[at]
    by_key = np.lexsort((pair, keys))
    patience = np.round(interval * missed * 1e6).astype(np.int64)
    return _fresh(keys[by_key], pair[by_key], rule_of_key[first], device[first], patience)


def _newest(panel: Panel, series: WatchedSeries) -> Int64Array:
    """Per pair of absence the newest reading of its device's series."""
    order = np.argsort(series.series_id)
    last_us = series.last_time_us[order][np.searchsorted(series.series_id[order], panel.key)]
    newest = np.full(len(panel), NONE_US, np.int64)
    np.maximum.at(newest, panel.pair, last_us)
    return newest


def _fresh(
    key: npt.NDArray[np.int32],
    pair: IndexArray,
    rule: npt.NDArray[np.integer[Any]],
    subject: npt.NDArray[np.int32],
    patience: Int64Array,
) -> Panel:
    p = len(rule)
    nowhen = np.full(p, NONE_US, np.int64)
    return Panel(
        key=key,
        pair=pair.astype(np.int32),
        rule=rule.astype(np.int32),
        subject=subject,
        patience_us=patience,
        active=np.zeros(p, np.bool_),
        pending_us=nowhen,
        since_us=nowhen.copy(),
        value=np.full(p, np.nan),
        value_time_us=nowhen.copy(),
    )


def _keys(rules: CompiledRules, panel: Panel, wanted: CompiledRules) -> Int64Array:
    """(subject, rule) of each pair as one number, rules counted as `wanted` has them; -1 where it has no such rule."""
    known = {rule.rule_id: position for position, rule in enumerate(wanted.rules)}
    position = np.array([known.get(rule.rule_id, -1) for rule in rules.rules], np.int64)[panel.rule]
    return np.where(position < 0, -1, panel.subject.astype(np.int64) * len(wanted.rules) + position)


def _carry_over(board: Board, before: Board) -> None:
    """States of pairs that both have; a rule that now looks at another source keeps its state."""
    for source, panel in board.panels.items():
        keys = _keys(board.rules, panel, board.rules)
        for name, old in before.panels.items():
            if (name == ABSENCE) != (source == ABSENCE):
                continue
            old_keys = _keys(before.rules, old, board.rules)
            order = np.argsort(old_keys)
            found = np.minimum(np.searchsorted(old_keys[order], keys), len(order) - 1)
            same = old_keys[order[found]] == keys
            for column in _STATE:
                getattr(panel, column)[same] = getattr(old, column)[order[found[same]]]


def _restore(board: Board, rows: Iterable[ConditionRow]) -> None:
    """States of city.conditions. Few: only pairs that were ever pending or raised are stored."""
    stored = {(row.rule_id, row.subject): row for row in rows}
    if not stored:
        return
    positions: dict[str, list[int]] = {}
    for at, rule in enumerate(board.rules.rules):
        positions.setdefault(rule.rule_id, []).append(at)
    for source, panel in board.panels.items():
        order = np.argsort(keys := _keys(board.rules, panel, board.rules))
        prefix = subject_of(source, 0)[:-1]
        for (rule_id, subject), row in stored.items():
            number = subject.removeprefix(prefix)
            if number == subject or not number.isdecimal() or rule_id not in positions:
                continue
            key = int(number) * len(board.rules.rules) + positions[rule_id][0]
            found = int(np.searchsorted(keys, key, sorter=order))
            if found < len(order) and keys[order[found]] == key:
                _put(panel, int(order[found]), row)


def _put(panel: Panel, at: int, row: ConditionRow) -> None:
    panel.active[at] = row.active
    panel.pending_us[at] = _stored(row.pending_since_us)
    panel.since_us[at] = _stored(row.since_us)
    panel.value[at] = np.nan if row.value is None else row.value
    panel.value_time_us[at] = _stored(row.value_time_us)


def _stored(time_us: int | None) -> int:
    return NONE_US if time_us is None else time_us
