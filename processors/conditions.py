"""Judge rules over windows and readings, all (rule, subject) pairs at once, in event time. Pure.

A value holds until the next one of its series (a step function): readings from their time on, a window over [start, end), known
at its end. A condition is raised when it has held for the rule's for-duration, at the moment it had, whether data or only the
watermark (`advance`) passes that moment; so how the input is cut into calls does not change what is raised, as long as the values
of a series come in order. A value older than one of its series already judged is not judged: late data revises windows, not alarms.
Raised above means value > raise_at (below: <), cleared means value <= clear_at (below: >=). NaN (no such aggregate) is not judged.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from processors.condition_absence import fall_silent, hear
from processors.condition_changes import Flip, Step, joined, step_of
from processors.condition_pairs import ABSENCE, NONE_US, Board, CompiledRules, Panel
from processors.contract.rows import WindowRows
from processors.kernels.ordering import newer_only, run_lengths, run_starts

Int64Array = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]

_HIT, _BETWEEN, _REST = 1, 0, -1


@dataclass(frozen=True, slots=True)
class _Items:
    """Values to judge, one per (pair, value). `end_us`: when the value is known."""

    pair: IndexArray
    start_us: Int64Array
    end_us: Int64Array
    value: FloatArray

    def take(self, at: IndexArray) -> _Items:
        return _Items(self.pair[at], self.start_us[at], self.end_us[at], self.value[at])


@dataclass(frozen=True, slots=True)
class _Runs:
    """Consecutive values of one pair on the same side of its thresholds: positions of the first and last of each in the items."""

    first: IndexArray
    last: IndexArray
    side: npt.NDArray[np.int8]
    ordinal: IndexArray


def judge_windows(board: Board, source: str, rows: WindowRows, end_us: Int64Array) -> Step:
    """Judge closed windows of one size (`source`: "1m", "15m", "1h", "1d"; `end_us` int64[n]), several of a series in order."""
    panel = board.panels.get(source)
    if panel is None or len(rows) == 0:
        return Step(board)
    row, pair = _matches(panel, rows.series_id)
    rule = panel.rule[pair]
    value = np.full(len(pair), np.nan)
    for position in np.unique(rule).tolist():
        of_rule = np.flatnonzero(rule == position)
        value[of_rule] = getattr(rows, board.rules.rules[position].column)[row[of_rule]]
    return _judge(board, source, _Items(pair, rows.start_us[row], end_us[row], value))


def judge_readings(
    board: Board, series_id: npt.NDArray[np.int32], time_us: Int64Array, values: FloatArray, watermark_us: int
) -> Step:
    """Judge stored readings (in order of arrival): rules on readings, and signs of life for rules of absence.

    A device that was absent is back once its newest reading is as fresh as the watermark demands: one that only delivers
    the backlog of its outage is not.
    """
    step = Step(board)
    panel = board.panels.get("reading")
    if panel is not None:
        at, pair = _matches(panel, series_id)
        step = _judge(board, "reading", _Items(pair, time_us[at], time_us[at], values[at]))
    panel = board.panels.get(ABSENCE)
    if panel is None:
        return step
    at, pair = _matches(panel, series_id)
    return joined(step, hear(step.board, pair, time_us[at], watermark_us))


def advance(board: Board, watermark_us: int) -> Step:
    """Raise what came due before the watermark: pending conditions whose for-duration ended, devices silent for too long.

    Call it after the readings and windows up to the watermark have been judged.
    """
    step = Step(board)
    for source, panel in board.panels.items():
        is_absence = source == ABSENCE
        from_us = panel.value_time_us if is_absence else panel.pending_us
        waiting = ~panel.active & (from_us != NONE_US)
        due = np.flatnonzero(waiting & (from_us + panel.patience_us < watermark_us))
        if len(due) == 0:
            continue
        step = joined(step, fall_silent(step.board, due) if is_absence else _raise_due(step.board, source, due))
    return step


def _matches(panel: Panel, key: npt.NDArray[np.int32]) -> tuple[IndexArray, IndexArray]:
    """All (position in `key`, pair) of the panel that belong together, by position."""
    begin, end = np.searchsorted(panel.key, key, "left"), np.searchsorted(panel.key, key, "right")
    times = end - begin
    position = np.repeat(np.arange(len(key)), times)
    within = np.arange(len(position)) - np.repeat(np.cumsum(times) - times, times)
    return position, panel.pair[np.repeat(begin, times) + within].astype(np.intp)


def _judge(board: Board, source: str, items: _Items) -> Step:
    old = board.panels[source]
    items = items.take(np.flatnonzero(~np.isnan(items.value)))
    items = items.take(newer_only(items.pair, items.start_us, old.value_time_us[items.pair]))
    if len(items.pair) == 0:
        return Step(board)
    runs = _runs_of(board.rules, old, items)
    panel = old.copied()
    flips: list[Flip] = []
    for ordinal in range(int(runs.ordinal.max()) + 1):
        flips += _judge_round(panel, items, runs, np.flatnonzero(runs.ordinal == ordinal))
    judged = np.unique(items.pair)
    moved = (panel.since_us[judged] != old.since_us[judged]) | (panel.pending_us[judged] != old.pending_us[judged])
    return step_of(board, source, panel, flips, judged[moved | (panel.pending_us[judged] != NONE_US)])


def _runs_of(rules: CompiledRules, panel: Panel, items: _Items) -> _Runs:
    rule = panel.rule[items.pair]
    signed = rules.sign[rule] * items.value
    side = np.full(len(signed), _BETWEEN, np.int8)
    side[signed <= rules.sign[rule] * rules.clear_at[rule]] = _REST
    side[signed > rules.sign[rule] * rules.raise_at[rule]] = _HIT
    first = run_starts(items.pair, side)
    pair = items.pair[first]
    of_pair = run_starts(pair)
    ordinal = np.arange(len(first)) - np.repeat(of_pair, run_lengths(of_pair, len(first)))
    return _Runs(first, first + run_lengths(first, len(side)) - 1, side[first], ordinal)


def _judge_round(panel: Panel, items: _Items, runs: _Runs, which: IndexArray) -> list[Flip]:
    """One run of each of several pairs; changes `panel` in place."""
    first, last, side = runs.first[which], runs.last[which], runs.side[which]
    pair, known_us = items.pair[first], items.end_us[first]
    pending = panel.pending_us[pair]
    overdue = pair[(pending != NONE_US) & (pending + panel.patience_us[pair] < known_us)]
    flips = _raise(panel, overdue)
    idle = ~panel.active[pair]
    begins = idle & (side == _HIT) & (panel.pending_us[pair] == NONE_US)
    panel.pending_us[pair[begins]] = items.start_us[first[begins]]
    panel.pending_us[pair[idle & (side != _HIT)]] = NONE_US
    ends = np.flatnonzero(~idle & (side == _REST))
    flips += [_clear(panel, items, int(first[at])) for at in ends.tolist()]
    full = panel.pending_us[pair] + panel.patience_us[pair] <= items.end_us[last]
    for at in np.flatnonzero(idle & (side == _HIT) & full).tolist():
        flips.append(_raise_within(panel, items, int(first[at]), int(last[at])))
    panel.value[pair], panel.value_time_us[pair] = items.value[last], items.start_us[last]
    return flips


def _raise(panel: Panel, due: IndexArray) -> list[Flip]:
    """Pairs whose for-duration ended before anything new of them was known: raised on the value that held."""
    flips = []
    for pair in due.tolist():
        held, at = int(panel.patience_us[pair]), int(panel.pending_us[pair] + panel.patience_us[pair])
        flips.append(Flip(pair, at, float(panel.value[pair]), int(panel.value_time_us[pair]), held))
        panel.since_us[pair] = at
    panel.active[due] = True
    panel.pending_us[due] = NONE_US
    return flips


def _raise_within(panel: Panel, items: _Items, first: int, last: int) -> Flip:
    """Raised by the run first..last, on the last of its values known by then."""
    pair = int(items.pair[first])
    pending = int(panel.pending_us[pair])
    at = max(pending + int(panel.patience_us[pair]), int(items.end_us[first]))
    cause = first + int(np.searchsorted(items.end_us[first : last + 1], at, "right")) - 1
    panel.active[pair], panel.since_us[pair], panel.pending_us[pair] = True, at, NONE_US
    return Flip(pair, at, float(items.value[cause]), int(items.start_us[cause]), at - pending)


def _clear(panel: Panel, items: _Items, first: int) -> Flip:
    pair, at = int(items.pair[first]), int(items.end_us[first])
    held = at - int(panel.since_us[pair])
    panel.active[pair], panel.since_us[pair], panel.pending_us[pair] = False, at, NONE_US
    return Flip(pair, at, float(items.value[first]), int(items.start_us[first]), held, active=False)


def _raise_due(board: Board, source: str, due: IndexArray) -> Step:
    panel = board.panels[source].copied()
    return step_of(board, source, panel, _raise(panel, due), due)
