"""More than 10,000 bad and odd payloads: each is a reading or a dead letter with its reason, and its neighbours never notice."""

from __future__ import annotations

import gc
import logging
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.corpus.cases import Case, all_cases
from tests.corpus.reading_of_cases import Became, read_case, reader

SLOWEST_S = 5.0
"""Bound for one payload on a busy machine; alone the slowest (20,000 invented names in 209 kB) takes about 0.3 s."""
GROWTH_MB = 50.0


@pytest.fixture(scope="module")
def read() -> Iterator[tuple[list[tuple[Case, Became]], float]]:
    """Every case through the gateway's stages between two good messages, and by how many MB the process grew."""
    logging.disable(logging.CRITICAL)
    stages, cases = reader(), all_cases()
    for case in cases[:200]:
        read_case(stages, case)
    before = resident_mb()
    became = [(case, read_case(stages, case)) for case in cases]
    gc.collect()
    yield became, resident_mb() - before
    logging.disable(logging.NOTSET)


Read = tuple[list[tuple[Case, Became]], float]


def resident_mb() -> float:
    """This process's memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE") / 1e6


def test_there_are_enough_different_payloads_of_every_group(read: Read) -> None:
    groups = Counter(case.group for case, _ in read[0])
    assert sum(groups.values()) >= 10_000
    assert len({case.payload for case, _ in read[0]}) >= 10_000
    assert min(groups.values()) >= 1000
    assert set(groups) == {"json", "numbers", "time", "topics", "identity", "values"}


def test_every_payload_becomes_what_it_must(read: Read) -> None:
    wrong = [
        (case.group, case.topic[:80], case.payload[:120], case.expect, became.readings, dict(became.letters))
        for case, became in read[0]
        if case.expect not in {"any", became.outcome}
    ]
    assert wrong == []


def test_no_payload_is_a_mistake_of_ours(read: Read) -> None:
    assert [case for case, became in read[0] if became.letters["internal"]] == []


def test_every_payload_counts_exactly_what_it_became(read: Read) -> None:
    assert [case for case, became in read[0] if became.counted != became.readings + became.letters.total()] == []


def test_both_neighbours_of_every_payload_are_stored(read: Read) -> None:
    assert [case for case, became in read[0] if became.neighbours != 2] == []


def test_nearly_every_reason_is_met(read: Read) -> None:
    met: Counter[str] = Counter()
    for _, became in read[0]:
        met.update(became.letters)
    assert set(met) == {
        "unknown_topic", "too_large", "not_utf8", "malformed", "too_deep", "bad_schema", "no_device", "bad_device", "device_mismatch",
        "unknown_metric", "unknown_unit", "not_a_number", "not_finite", "out_of_range", "bad_time", "too_old", "in_future",
    }  # fmt: skip


def test_no_payload_takes_long_and_all_together_fill_no_memory(read: Read) -> None:
    slowest = max(read[0], key=lambda pair: pair[1].seconds)
    print(f"{len(read[0])} payloads, slowest {slowest[1].seconds:.3f} s, grown by {read[1]:.1f} MB")
    assert slowest[1].seconds < SLOWEST_S, slowest[0].payload[:200]
    assert read[1] < GROWTH_MB
