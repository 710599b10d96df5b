"""Which rule watches which series or device, and the state of each such pair, as arrays. Pure; `condition_board` makes them,
`conditions` judges them.

A board has one panel per source of values ("reading", "1m", ... and "absence"). Boards and panels are never changed in place:
a step gives a new board, so a transaction that fails leaves the old one standing.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping
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
    pair: npt.NDArray[np.int32]
    rule: npt.NDArray[np.int32]
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


def _time(time_us: np.int64) -> int | None:
    return None if time_us == NONE_US else int(time_us)
