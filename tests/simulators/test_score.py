"""The comparison itself, on columns: each kind of trouble is found and nothing else is."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from simulators.batch import Expect, Names, Rows, batch_of
from simulators.ledger import ACK, Ledger, LedgerWriter, read
from simulators.score import Score, Sent, Stored, compare, sent_of, window_counts

NONE_DEAD = np.zeros(0, np.uint64)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """Eight messages of two readings (metrics a and b at times 0..7, values 0, 1, 2, ...): message 2 repeats message 1, message 5 is
    broken on purpose, message 6 was refused, message 7 never answered.
    """
    names = Names()
    time_us = np.asarray([0, 1, 1, 3, 4, 5, 6, 7], np.int64) * 1_000_000
    value = np.asarray([0, 1, 1, 3, 4, 5, 6, 7], np.float64)
    expect = np.where(np.arange(8) == 5, Expect.DEAD_LETTER, Expect.STORED).astype(np.uint8)
    rows = Rows(
        device=np.full(16, names.code("d1"), np.int32),
        metric=np.tile(names.codes(["a", "b"]), 8),
        time_us=np.repeat(time_us, 2),
        value=np.repeat(value, 2) + np.tile([0.0, 100.0], 8),
        expect=np.repeat(expect, 2),
    )
    payloads = [f"{t}".encode() for t in time_us.tolist()]
    with LedgerWriter(tmp_path / "l", names, {}, fsync_every_s=1) as writer:
        numbers = writer.about_to_send(batch_of(time_us, ["t"] * 8, payloads, np.full(8, 2), rows), 0)
        acks = np.zeros(7, ACK)
        acks["number"], acks["reason"] = numbers[:7], [0, 0, 0, 0, 0, 0, 135]
        writer.answered(acks, 0.0)
    return read(tmp_path / "l")


@pytest.fixture
def sent(ledger: Ledger) -> Sent:
    return sent_of(ledger)


def perfect() -> Stored:
    """What a faultless pipeline stores of that ledger."""
    times = np.asarray([0, 1, 3, 4], np.int64) * 1_000_000
    return Stored(
        series=np.repeat([0, 1], 4).astype(np.int64), time_us=np.tile(times, 2),
        value=np.concatenate([[0.0, 1, 3, 4], [100.0, 101, 103, 104]]), flags=np.zeros(8, np.int64),
    )  # fmt: skip


def dead(ledger: Ledger) -> npt.NDArray[np.uint64]:
    return ledger.messages["digest"][5:6]


def without(stored: Stored, row: int) -> Stored:
    keep = np.arange(len(stored.series)) != row
    return Stored(stored.series[keep], stored.time_us[keep], stored.value[keep], stored.flags[keep])


def score_of(sent: Sent, stored: Stored, ledger: Ledger) -> Score:
    return compare(sent, stored, dead(ledger))


def test_a_faultless_database_is_clean(sent: Sent, ledger: Ledger) -> None:
    score = score_of(sent, perfect(), ledger)
    assert score.clean
    assert (score.lost, score.doubled, score.wrong, score.extra, score.late) == (0, 0, 0, 0, 0)
    assert (score.sent, score.acked, score.refused_by_broker, score.unanswered) == (16, 12, 2, 2)
    assert (score.distinct, score.repeated, score.broken_on_purpose) == (8, 2, 2)


def test_a_missing_row_is_lost_and_named(sent: Sent, ledger: Ledger) -> None:
    score = score_of(sent, without(perfect(), 2), ledger)
    assert (score.lost, score.clean) == (1, False)
    assert score.examples["lost"] == ["d1 a 1970-01-01T00:00:03.000000Z"]


def test_a_missing_row_whose_message_is_a_dead_letter_is_not_lost(sent: Sent, ledger: Ledger) -> None:
    score = compare(sent, without(perfect(), 2), ledger.messages["digest"][[3, 5]])
    assert score.lost == 0


def test_a_sound_reading_beside_a_broken_one_is_lost_although_its_message_has_a_letter(
    sent: Sent, ledger: Ledger
) -> None:
    beside = replace(sent, expect=sent.expect.copy())
    beside.expect[10] = Expect.STORED  # message 5: its first row is sound, its second broken
    one, two = dead(ledger), np.repeat(dead(ledger), 2)
    assert compare(beside, perfect(), one).lost == 1
    assert compare(beside, perfect(), two).lost == 0


def test_a_broken_payload_that_left_no_dead_letter_is_lost(sent: Sent) -> None:
    assert compare(sent, perfect(), NONE_DEAD).lost == 2


def test_a_row_stored_twice_is_doubled(sent: Sent, ledger: Ledger) -> None:
    good = perfect()
    twice = Stored(*(np.append(column, column[3]) for column in (good.series, good.time_us, good.value, good.flags)))
    assert score_of(sent, twice, ledger).doubled == 1


def test_another_value_is_wrong_and_a_rounding_is_not(sent: Sent, ledger: Ledger) -> None:
    good = perfect()
    nudged = replace(good, value=good.value + 1e-12)
    assert score_of(sent, nudged, ledger).wrong == 0
    changed = good.value.copy()
    changed[5] += 1e-6
    score = score_of(sent, replace(good, value=changed), ledger)
    assert score.wrong == 1
    assert score.examples["wrong"] == ["d1 b 1970-01-01T00:00:01.000000Z"]


def test_an_unanswered_message_may_be_stored_and_an_unsent_one_is_extra(sent: Sent, ledger: Ledger) -> None:
    good = perfect()
    columns = (good.series, good.time_us, good.value, good.flags)
    unanswered = Stored(*(np.append(c, x) for c, x in zip(columns, (0, 7_000_000, 7.0, 0), strict=True)))
    assert score_of(sent, unanswered, ledger).extra == 0
    stranger = Stored(*(np.append(c, x) for c, x in zip(columns, (0, 2_500_000, 9.0, 0), strict=True)))
    assert score_of(sent, stranger, ledger).extra == 1


def test_late_readings_are_counted_with_how_far_they_were_behind(sent: Sent, ledger: Ledger) -> None:
    flags = np.zeros(8, np.int64)
    flags[[0, 4]] = 4
    behind = sent.behind_us.copy()
    behind[0] = 90_000_000
    score = score_of(replace(sent, behind_us=behind), replace(perfect(), flags=flags), ledger)
    assert (score.late, score.late_p50_s, score.late_p99_s) == (2, 0.0, 0.0)
    assert score.clean


def test_windows_are_held_against_the_rows_in_them() -> None:
    good = perfect()
    series, start = np.asarray([0, 0, 1]), np.asarray([0, 3_000_000, 0])
    end = start + 3_000_000
    right = window_counts("1m", (series, start, end, np.asarray([2, 2, 2])), good)
    assert (right.windows, right.too_high, right.too_low) == (3, 0, 0)
    wrong = window_counts("1m", (series, start, end, np.asarray([3, 2, 1])), good)
    assert (wrong.too_high, wrong.too_low) == (1, 1)


def test_a_million_rows_are_compared_in_seconds() -> None:
    n = 1_000_000
    series, time_us = np.arange(n) % 1000, np.arange(n) // 1000 * 60_000_000
    value = np.random.default_rng(1).normal(size=n)
    many = Sent(
        keys=[(f"d{i}", "laeq") for i in range(1000)], series=series, time_us=time_us, value=value, expect=np.zeros(n, np.uint8),
        acked=np.ones(n, np.bool_), refused=np.zeros(n, np.bool_), acked_us=np.zeros(n, np.int64),
        digest=np.arange(n, dtype=np.uint64), behind_us=np.zeros(n, np.int64),
    )  # fmt: skip
    shuffled = np.random.default_rng(2).permutation(n)
    stored = Stored(series[shuffled], time_us[shuffled], value[shuffled], np.zeros(n, np.int64))
    assert compare(many, stored, NONE_DEAD).clean
    assert compare(many, without(stored, 17), NONE_DEAD).lost == 1
