"""Absence: a device is silent for longer than its rule allows. A function of the gaps between its readings in event time. Pure."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from processors.condition_changes import Flip, Step, step_of
from processors.condition_pairs import ABSENCE, NONE_US, Board
from processors.kernels.ordering import run_lengths, run_starts

Int64Array = npt.NDArray[np.int64]
IndexArray = npt.NDArray[np.intp]


def hear(board: Board, pair: IndexArray, time_us: Int64Array, watermark_us: int) -> Step:
    """Readings of the devices of absence pairs `pair` at `time_us`, any order.

    Every gap longer than the pair's patience was an absence, also where both its ends come in one call: raised at its deadline,
    ended by the reading after it. One already raised ends when the newest reading is fresh by the watermark.
    """
    old = board.panels[ABSENCE]
    fresh = time_us > old.value_time_us[pair]
    pair, time_us = pair[fresh], time_us[fresh]
    if len(pair) == 0:
        return Step(board)
    order = np.lexsort((time_us, pair))
    pair, time_us = pair[order], time_us[order]
    first = run_starts(pair)
    lasts = first + run_lengths(first, len(pair)) - 1
    heard = pair[first]
    panel = old.copied()
    panel.value_time_us[heard] = time_us[lasts]
    back = time_us[lasts] + old.patience_us[heard] >= watermark_us
    ended = np.flatnonzero(old.active[heard] & back)
    flips = []
    for run in ended.tolist():
        at = max(int(time_us[first[run]]), int(old.since_us[heard[run]]))
        flips.append(_end(int(heard[run]), at, int(old.value_time_us[heard[run]]), int(old.since_us[heard[run]])))
    panel.active[heard[ended]] = False
    panel.since_us[heard[ended]] = [flip.at_us for flip in flips]
    before = np.concatenate(([NONE_US], time_us[:-1]))
    before[first] = np.where(old.active[heard], NONE_US, old.value_time_us[heard])
    still = np.repeat(old.active[heard] & ~back, run_lengths(first, len(pair)))
    deadline = before + old.patience_us[pair]
    for item in np.flatnonzero((before != NONE_US) & (deadline < time_us) & ~still).tolist():
        at, until, last = int(deadline[item]), int(time_us[item]), int(before[item])
        flips.append(Flip(int(pair[item]), at, (at - last) / 1e6, last, at - last))
        flips.append(_end(int(pair[item]), until, last, at))
        panel.since_us[pair[item]] = until
    for flip in flips:
        panel.value[flip.pair] = flip.value
    touched = np.unique(np.array([flip.pair for flip in flips], np.intp))
    return step_of(board, ABSENCE, panel, flips, touched)


def fall_silent(board: Board, due: IndexArray) -> Step:
    """The pairs at positions `due` have passed their deadline: newest reading plus patience."""
    panel = board.panels[ABSENCE].copied()
    last, patience = panel.value_time_us[due], panel.patience_us[due]
    panel.active[due] = True
    panel.since_us[due] = last + patience
    panel.value[due] = patience / 1e6
    flips = [
        Flip(at, heard + wait, wait / 1e6, heard, wait)
        for at, heard, wait in zip(due.tolist(), last.tolist(), patience.tolist(), strict=True)
    ]
    return step_of(board, ABSENCE, panel, flips, due)


def _end(pair: int, at_us: int, last_us: int, since_us: int) -> Flip:
    return Flip(pair, at_us, (at_us - last_us) / 1e6, last_us, at_us - since_us, active=False)
