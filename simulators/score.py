"""The comparison: a ledger file against the rows of a database, both as columns. Set operations only; a million readings take a second.

A key is (series, time). What the broker acknowledged must be in the database once and with the value that was sent, or be a dead letter
of the very message; what was sent and never answered may be there. Numbers are readings unless they say otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from simulators.batch import Expect
from simulators.ledger import Ledger
from simulators.noise import Floats, Ints

_TOLERANCE = 1e-9
"""Relative: unit conversion may round differently on the way."""
LATE_FLAG = 4
"""Bit of `flags` that processors set on a reading that came after its window had closed."""
_EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Stored:
    """n rows of the database: `series` indexes the ledger's series (see `Sent.series`), `time_us`, `value`, `flags`."""

    series: Ints
    time_us: Ints
    value: Floats
    flags: Ints


@dataclass(frozen=True, slots=True)
class WindowCounts:
    """The `count` of each closed window of one size that overlaps the ledger's time, and how many rows of readings lie in it."""

    size: str
    windows: int
    too_high: int
    too_low: int


@dataclass
class Sent:
    """The ledger as columns of rows; `series` indexes `keys`, which are (device, metric).

    `acked`: the broker took the message (reason below 128); `refused`: it said no; neither: it never answered. `digest` names the
    row's message. `behind_us`: how far the reading's time lies behind the newest one sent before it.
    """

    keys: list[tuple[str, str]]
    series: Ints
    time_us: Ints
    value: Floats
    expect: npt.NDArray[np.uint8]
    acked: npt.NDArray[np.bool_]
    refused: npt.NDArray[np.bool_]
    acked_us: Ints
    digest: npt.NDArray[np.uint64]
    behind_us: Ints


@dataclass(frozen=True, slots=True)
class _Keys:
    """Each (series, time) as a number below `count`: of every sent row and of every stored one."""

    count: int
    sent: Ints
    stored: Ints


@dataclass
class Score:
    """What `simulate score` found, in readings. `examples` names a few of each kind of trouble."""

    sent: int = 0
    acked: int = 0
    refused_by_broker: int = 0
    unanswered: int = 0
    distinct: int = 0
    repeated: int = 0
    broken_on_purpose: int = 0
    stored: int = 0
    dead_letters: int = 0
    dead_letters_by_reason: dict[str, int] = field(default_factory=dict)
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    extra: int = 0
    late: int = 0
    late_p50_s: float | None = None
    late_p99_s: float | None = None
    windows: list[WindowCounts] = field(default_factory=list)
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Nothing lost, doubled or wrong."""
        return not (self.lost or self.doubled or self.wrong)


def sent_of(ledger: Ledger) -> Sent:
    """The ledger's rows joined with its acknowledgements."""
    acks, messages, rows = ledger.acks, ledger.messages, ledger.rows
    order = np.argsort(messages["number"], kind="stable")
    messages = messages[order]
    of_row = np.searchsorted(messages["number"], rows["number"])
    reason = np.full(len(messages), -1, np.int64)
    acked_us = np.zeros(len(messages), np.int64)
    at = np.searchsorted(messages["number"], acks["number"])
    reason[at], acked_us[at] = acks["reason"], acks["acked_us"]
    pair = rows["device"].astype(np.int64) << 32 | rows["metric"].astype(np.int64)
    codes, series = np.unique(pair, return_inverse=True)
    sound_us = np.where(rows["expect"] == Expect.STORED, rows["time_us"], -(2**62))  # a broken clock makes nobody late
    newest_us = np.maximum(np.maximum.accumulate(sound_us), rows["time_us"])
    return Sent(
        keys=[(ledger.names[int(code >> 32)], ledger.names[int(code & 0xFFFF_FFFF)]) for code in codes],
        series=series.astype(np.int64),
        time_us=rows["time_us"].astype(np.int64),
        value=rows["value"].astype(np.float64),
        expect=rows["expect"].astype(np.uint8),
        acked=(reason[of_row] >= 0) & (reason[of_row] < 128),
        refused=reason[of_row] >= 128,
        acked_us=acked_us[of_row],
        digest=messages["digest"][of_row],
        behind_us=newest_us - rows["time_us"],
    )


def compare(sent: Sent, stored: Stored, dead_digests: npt.NDArray[np.uint64]) -> Score:
    """Hold the rows against the ledger. `dead_digests` names the message of each reading that is a dead letter."""
    score = Score(
        sent=len(sent.series), acked=int(sent.acked.sum()), refused_by_broker=int(sent.refused.sum()),
        unanswered=int((~sent.acked & ~sent.refused).sum()), stored=len(stored.series),
    )  # fmt: skip
    good = sent.expect == Expect.STORED
    score.broken_on_purpose = int((sent.acked & ~good).sum())
    dead = np.isin(sent.digest, dead_digests)
    must = _first_of_each_key(sent, np.flatnonzero(sent.acked & good))
    score.distinct, score.repeated = len(must), int((sent.acked & good).sum()) - len(must)
    keys = _key_ids(sent, stored)
    ids, wanted, have = keys.count, keys.sent, keys.stored
    rows_of_key = np.bincount(have, minlength=ids)
    score.doubled = int(np.clip(rows_of_key - 1, 0, None).sum())
    _note(score, "doubled", sent.keys, stored, np.flatnonzero(rows_of_key[have] > 1))
    absent = must[rows_of_key[wanted[must]] == 0]
    absent = absent[~_is_dead(sent, absent, dead_digests)]
    broken_unseen = np.flatnonzero(sent.acked & ~good & ~dead)
    broken_unseen = broken_unseen[sent.expect[broken_unseen] == Expect.DEAD_LETTER]
    missing = np.concatenate([absent, broken_unseen])
    score.lost = len(missing)
    _note(score, "lost", sent.keys, sent, missing)
    known = np.zeros(ids, np.bool_)
    known[wanted] = True
    strangers = np.flatnonzero(~known[have])
    score.extra = len(strangers)
    _note(score, "extra", sent.keys, stored, strangers)
    _values(score, sent, stored, keys)
    _late(score, sent, stored, keys)
    return score


def _is_dead(sent: Sent, rows: Ints, dead_digests: npt.NDArray[np.uint64]) -> npt.NDArray[np.bool_]:
    """Whether sound rows without a stored reading are dead letters instead.

    A message of sound and broken rows has a letter for its broken ones, which says nothing of the sound ones beside them: only so many
    of them are dead as its letters hold readings beyond the broken. A letter of a wholly sound message may hold all of it.
    """
    messages, message = np.unique(sent.digest, return_inverse=True)
    broken = np.bincount(message[sent.acked & (sent.expect == Expect.DEAD_LETTER)], minlength=len(messages))
    ours = dead_digests[np.isin(dead_digests, messages)]
    letters = np.bincount(np.searchsorted(messages, ours), minlength=len(messages))
    spare = np.where(broken > 0, np.maximum(letters - broken, 0), np.where(letters > 0, len(sent.digest), 0))
    of = message[rows]
    order = np.argsort(of, kind="stable")
    place = np.empty(len(of), np.int64)
    place[order] = np.arange(len(of)) - np.searchsorted(of[order], of[order])  # the how many-th of its message
    dead: npt.NDArray[np.bool_] = place < spare[of]
    return dead


def _key_ids(sent: Sent, stored: Stored) -> _Keys:
    series = np.concatenate([sent.series, stored.series])
    time_us = np.concatenate([sent.time_us, stored.time_us])
    order = np.lexsort((time_us, series))
    fresh = np.ones(len(order), np.int64)
    fresh[1:] = (np.diff(series[order]) != 0) | (np.diff(time_us[order]) != 0)
    ids = np.empty(len(order), np.int64)
    ids[order] = np.cumsum(fresh) - 1
    return _Keys(int(fresh.sum()), ids[: len(sent.series)], ids[len(sent.series) :])


def _first_of_each_key(sent: Sent, rows: Ints) -> Ints:
    """Of the given rows (in order of sending), the first of each key."""
    order = rows[np.lexsort((rows, sent.time_us[rows], sent.series[rows]))]
    first = np.ones(len(order), np.bool_)
    first[1:] = (np.diff(sent.series[order]) != 0) | (np.diff(sent.time_us[order]) != 0)
    return order[first]


def _values(score: Score, sent: Sent, stored: Stored, keys: _Keys) -> None:
    """Wrong: a stored value that is none of those sent under its key (a device may say two things about one moment)."""
    wanted, have, ids = keys.sent, keys.stored, keys.count
    right = np.zeros(len(have), np.bool_)
    good = np.flatnonzero(sent.expect == Expect.STORED)
    order = good[np.argsort(wanted[good], kind="stable")]
    first = np.searchsorted(wanted[order], np.arange(ids))
    last = np.searchsorted(wanted[order], np.arange(ids), side="right")
    for step in range(int((last - first).max(initial=0))):  # as many rounds as the most often sent key was sent
        at = first[have] + step
        inside = at < last[have]
        value = sent.value[order[np.where(inside, at, 0)]]
        right |= inside & (np.abs(value - stored.value) <= _TOLERANCE * np.maximum(1.0, np.abs(value)))
    sent_once = (last > first)[have]
    bad = np.flatnonzero(sent_once & ~right)
    score.wrong = len(bad)
    _note(score, "wrong", sent.keys, stored, bad)


def _late(score: Score, sent: Sent, stored: Stored, keys: _Keys) -> None:
    """Readings marked late, and how far each was behind the newest reading sent before it."""
    behind = np.full(keys.count, np.iinfo(np.int64).max, np.int64)
    np.minimum.at(behind, keys.sent, sent.behind_us)
    late = behind[keys.stored[(stored.flags & LATE_FLAG) != 0]]
    late = late[late < np.iinfo(np.int64).max]
    score.late = len(late)
    if len(late):
        score.late_p50_s, score.late_p99_s = (float(q) / 1e6 for q in np.percentile(late, [50, 99], method="lower"))


def _note(score: Score, kind: str, names: Sequence[tuple[str, str]], of: Sent | Stored, rows: npt.NDArray[Any]) -> None:
    for row in rows[:_EXAMPLES].tolist():
        device, metric = names[int(of.series[row])]
        moment = np.datetime64(int(of.time_us[row]), "us")
        score.examples.setdefault(kind, []).append(f"{device} {metric} {moment}Z")


def window_counts(size: str, windows: tuple[Ints, Ints, Ints, Ints], stored: Stored) -> WindowCounts:
    """Hold windows (series, start_us, end_us, count) against the readings stored in them."""
    series, start_us, end_us, count = windows
    order = np.lexsort((stored.time_us, stored.series))
    position = {"series": stored.series[order], "time_us": stored.time_us[order]}
    low = _rank(position["series"], position["time_us"], series, start_us)
    high = _rank(position["series"], position["time_us"], series, end_us)
    difference = count - (high - low)
    return WindowCounts(
        size, len(count), int(np.clip(difference, 0, None).sum()), int(np.clip(-difference, 0, None).sum())
    )


def _rank(series: Ints, time_us: Ints, of_series: Ints, of_time_us: Ints) -> Ints:
    """How many of the rows, sorted by (series, time), lie before each (of_series, of_time_us)."""
    joined = np.lexsort(
        (
            np.concatenate(
                [np.ones(len(series)), np.zeros(len(of_series))]
            ),  # a probe stands before a row of its own time
            np.concatenate([time_us, of_time_us]),
            np.concatenate([series, of_series]),
        )
    )
    is_row = joined < len(series)
    before = np.cumsum(is_row)
    rank = np.empty(len(of_series), np.int64)
    rank[joined[~is_row] - len(series)] = before[~is_row]
    return rank
