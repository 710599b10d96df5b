"""What judging a board gives: changes for the control center with the values that caused them, and state rows to store. Pure."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from processors.condition_pairs import ABSENCE, Board, CompiledRules, ConditionRow, Panel, rows_of, subject_of

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True, slots=True)
class Change:
    """A condition became active or ceased to be: a row of city.condition_changes.

    `value`: what was judged; for absence the seconds of silence. `detail` holds JSON values only: source, column, threshold,
    for_s, held_s (seconds in the state before the change), window_start or reading_time (RFC 3339); for absence last_reading,
    expected_interval_s, missed_intervals.
    """

    rule_id: str
    subject: str
    active: bool
    at_us: int
    value: float | None
    detail: Mapping[str, float | str | None]


@dataclass(frozen=True, slots=True)
class Step:
    """What one call did: the board after it, the changes in order of time, the city.conditions rows to write."""

    board: Board
    changes: tuple[Change, ...] = ()
    rows: tuple[ConditionRow, ...] = ()


@dataclass(frozen=True, slots=True)
class Flip:
    """The pair at position `pair` changed at `at_us` because of `value` of time `value_us`.

    `held_us`: how long it was active before it ended; before it began, how long the cause had held.
    """

    pair: int
    at_us: int
    value: float
    value_us: int
    held_us: int
    active: bool = True


def step_of(board: Board, source: str, panel: Panel, flips: Iterable[Flip], touched: npt.NDArray[np.intp]) -> Step:
    """The step that puts `panel` in the place of `source`, with the changes of `flips` and the rows of the pairs `touched`."""
    after = board.with_panel(source, panel)
    ordered = sorted(flips, key=lambda flip: (flip.at_us, flip.pair))  # stable: a pair's own flips keep their order
    changes = tuple(_change(board.rules, source, panel, flip) for flip in ordered)
    return Step(after, changes, tuple(rows_of(after, source, touched)))


def joined(first: Step, second: Step) -> Step:
    """Two steps in a row as one; of a pair that both touched, the later row counts."""
    rows = {(row.rule_id, row.subject): row for row in (*first.rows, *second.rows)}
    return Step(second.board, first.changes + second.changes, tuple(rows.values()))


def retired(old: Board, lost: Mapping[str, npt.NDArray[np.intp]], at_us: int) -> tuple[Change, ...]:
    """Ends of the conditions that were active among the `lost` pairs of `old` (see `condition_board.lost_pairs`)."""
    detail = {"reason": "the rule was removed or disabled, or no longer matches"}
    return tuple(
        Change(row.rule_id, row.subject, active=False, at_us=at_us, value=None, detail=detail)
        for source, pairs in lost.items()
        for row in rows_of(old, source, pairs[old.panels[source].active[pairs]])
    )


def rfc3339(time_us: int) -> str:
    """A moment as RFC 3339 UTC with Z, microseconds only where there are any."""
    return (_EPOCH + dt.timedelta(microseconds=time_us)).isoformat().replace("+00:00", "Z")


def _change(rules: CompiledRules, source: str, panel: Panel, flip: Flip) -> Change:
    rule = rules.rules[panel.rule[flip.pair]]
    held_s = flip.held_us / 1e6
    detail: dict[str, float | str | None]
    if source == ABSENCE:
        detail = {
            "last_reading": rfc3339(flip.value_us),
            "expected_interval_s": float(panel.patience_us[flip.pair]) / 1e6 / rule.missed_intervals,
            "missed_intervals": rule.missed_intervals,
            "held_s": held_s,
        }
    else:
        clear_at = rule.raise_at if rule.clear_at is None else rule.clear_at
        detail = {
            "source": source,
            "column": rule.column,
            "threshold": rule.raise_at if flip.active else clear_at,
            "for_s": rule.for_s,
            "held_s": held_s,
            "reading_time" if source == "reading" else "window_start": rfc3339(flip.value_us),
        }
    subject = subject_of(source, int(panel.subject[flip.pair]))
    return Change(rule.rule_id, subject, active=flip.active, at_us=flip.at_us, value=flip.value, detail=detail)
