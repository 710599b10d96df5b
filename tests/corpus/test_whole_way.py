"""1,500 bad payloads three times, a good reading after each, the whole way through real servers into the database."""

from __future__ import annotations

import json
import logging
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.stack import LocalStack
from tests.corpus.cases import Case, all_cases
from tests.corpus.reading_of_cases import message, reader
from tests.ingest.gateway_process import Publisher, eventually
from tests.integration.whole_way import WholeWay

BAD, ROUNDS = 1500, 3
GROWTH_MB = 30.0
"""From the first round to the last: buffers are warm after the first, and what comes then is the same."""
MOST_MB = 400.0
DAY_S = 86_400


def chosen() -> list[Case]:
    """A fixed sample of the corpus, all of its largest payloads included."""
    cases = [case for case in all_cases() if case.publishable]
    large = [case for case in cases if len(case.payload) > 50_000]
    rest = random.Random(4).sample([case for case in cases if len(case.payload) <= 50_000], BAD - len(large))
    mixed = large + rest
    random.Random(5).shuffle(mixed)
    return mixed


def expected(cases: list[Case]) -> tuple[int, int]:
    """(readings, dead letters) the gateway's stages make of them today."""
    stages, now_us = reader(), time.time_ns() // 1000
    logging.disable(logging.CRITICAL)
    taken = [stages.read([message(case.topic, case.payload, now_us)]) for case in cases]
    logging.disable(logging.NOTSET)
    letters = sum(letter.readings for each in taken for letter in each.letters)
    return sum(each.readings for each in taken) - letters, letters


@pytest.fixture
def way(stack: LocalStack, mqtt_root: str, kafka_prefix: str, database: str, tmp_path: Path) -> Iterator[WholeWay]:
    """A gateway and a processor of the test's own."""
    made = WholeWay(stack, mqtt_root, kafka_prefix, database, tmp_path, max_age_s=DAY_S)
    made.start()
    yield made
    made.clean_up()


def messages(root: str, cases: list[Case], start_us: int, first: int) -> Iterator[tuple[int, str, bytes]]:
    """Each bad payload, and a good reading after it, numbered from `first`."""
    for number, case in enumerate(cases, first):
        yield 2 * number, f"{root}/{case.topic}", case.payload
        good = {"time": start_us + number * 1000, "energy_total": number}
        yield 2 * number + 1, f"{root}/json/good-{number % 20}", json.dumps(good).encode()


def published(way: WholeWay, cases: list[Case]) -> tuple[float, float]:
    """The cases sent `ROUNDS` times; MB of the gateway after the first round and after the last."""
    start_us = time.time_ns() // 1000 - 600_000_000
    publisher = Publisher(way.stack.mqtt_port, way.root)
    sizes = []
    for turn in range(ROUNDS):
        publisher.send(messages(way.root, cases, start_us, turn * len(cases)))
        publisher.wait()
        eventually(lambda: way.gateway.metric("unacked_messages") == 0, 60, "everything acknowledged")
        sizes.append(way.gateway.resident_mb())
    publisher.close()
    return sizes[0], sizes[-1]


def test_every_payload_has_its_place_and_every_neighbour_is_stored(way: WholeWay) -> None:
    cases = chosen()
    readings, letters = (ROUNDS * count for count in expected(cases))
    good = ROUNDS * len(cases)
    began = way.gateway.resident_mb()
    first, last = published(way, cases)
    way.received(readings + letters + good)
    way.settled()
    sums = way.ledger()
    print(
        f"{good} bad payloads: {readings} readings, {letters} in dead letters, {good} neighbours; "
        f"gateway {began:.0f} MB at start, {first:.0f} after the first round, {last:.0f} after the last"
    )
    assert (sums["received"], sums["dead_letter"]) == (readings + letters + good, letters), sums
    assert (sums["unaccounted"], sums["in_flight"], sums["refused"]) == (0, 0, 0), sums
    assert sums["received"] == sums["stored"] + sums["duplicate"] + sums["dead_letter"]
    stored = way.fetch(
        "SELECT count(*) AS rows, count(DISTINCT value) AS numbers FROM city_view.readings "
        "WHERE metric = 'energy_total' AND device LIKE 'good-%'"
    )[0]
    assert (stored["rows"], stored["numbers"]) == (good, good)
    (kept,) = way.fetch("SELECT sum(readings)::bigint AS n, bool_and(detail <> '') AS said FROM city.dead_letters")
    assert (kept["n"], kept["said"]) == (letters, True)
    ours = "SELECT detail FROM city.dead_letters WHERE reason IN ('internal', 'bad_frame', 'refused_by_database')"
    assert way.fetch(ours) == []
    assert last - first < GROWTH_MB
    assert last < MOST_MB
    assert [line for line in way.gateway.log_lines() if line["level"] in {"error", "critical"}] == []
    way.stop()
