"""The corpus in slices, each case six times among others, is read as message by message: what is decoded together changes nothing."""

from __future__ import annotations

import logging
import random
from collections import Counter
from collections.abc import Iterator

import pytest

from ingest.messages import Message
from ingest.reading_slice import SliceReader, Taken
from tests.corpus.cases import NOW_US, Case, all_cases
from tests.corpus.reading_of_cases import reader

LARGEST_BYTES = 3000
TIMES, TOGETHER = 6, 60
"""Of one case in a slice, enough to be decoded together; and different cases in it."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def read(stages: SliceReader, cases: list[Case]) -> tuple[Counter[str], Counter[tuple[object, ...]]]:
    """(what was admitted of each case, its letters), with the number of times."""
    taken = stages.read([Message(case.topic, case.payload, 1, dup=False, received_us=NOW_US) for case in cases])
    admitted = Counter(
        f"{cases[message].topic} {cases[message].payload!r} {found}" for message, found in readings(stages, taken)
    )
    letters: Counter[tuple[object, ...]] = Counter(
        (letter.mqtt_topic, letter.payload, letter.reason, letter.detail, letter.readings) for letter in taken.letters
    )
    return admitted, letters


def readings(stages: SliceReader, taken: Taken) -> Iterator[tuple[int, list[str]]]:
    """(message, its readings in order)."""
    found: dict[int, list[str]] = {}
    catalogue = stages._catalogue
    for part in taken.admitted:
        columns = (part.messages, part.devices, part.metrics, part.time_us, part.values, part.flags)
        for message, device, metric, *rest in zip(*(column.tolist() for column in columns), strict=True):
            found.setdefault(message, []).append(f"{catalogue.devices[device]!r} {catalogue.metrics[metric]} {rest}")
    return iter(found.items())


@pytest.mark.parametrize("seed", [1, 2])
def test_plain_json_in_slices_is_read_as_message_by_message(seed: int) -> None:
    shuffle = random.Random(seed)
    cases = [case for case in all_cases() if case.topic.startswith("json/") and len(case.payload) < LARGEST_BYTES]
    cases = shuffle.sample(cases, 4000)
    alone, together = reader(), reader()
    for begin in range(0, len(cases), TOGETHER):
        part = cases[begin : begin + TOGETHER] * TIMES
        shuffle.shuffle(part)
        admitted, letters = read(together, part)
        wanted: Counter[str] = Counter()
        wanted_letters: Counter[tuple[object, ...]] = Counter()
        for case in cases[begin : begin + TOGETHER]:
            one, of_one = read(alone, [case])
            wanted.update({reading: count * TIMES for reading, count in one.items()})
            wanted_letters.update({letter: count * TIMES for letter, count in of_one.items()})
        assert admitted == wanted
        assert letters == wanted_letters
