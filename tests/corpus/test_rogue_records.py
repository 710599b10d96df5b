"""Kafka records of a rogue producer: each is set aside as broken, and none stops its partition (FAILURES group 11)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ingest.contract.frame import DeadLetter, encode_dead_letters
from tests.fuzz.seeds import letters_body, readings_body
from tests.fuzz.targets import frame_reader

STATEMENT: dict[str, Any] = {
    "gateway": "gw", "epoch": 1, "at_us": 2, "received": 3, "refused": 0, "acked_kafka": 3, "spooled": 0, "messages": 3,
    "partitions": [{"topic": "t", "partition": 0, "acked": 3, "offset": 1}],
}  # fmt: skip
PLACE = STATEMENT["partitions"][0]
IMPOSSIBLE_STATEMENTS: dict[str, dict[str, Any]] = {
    "infinite number": {"epoch": float("inf")},
    "not a number": {"received": float("nan")},
    "number of 400 digits": {"messages": 10**400},
    "half a surrogate pair in the name": {"gateway": "\ud800"},
    "NUL in the name": {"gateway": "a\0"},
    "empty name": {"gateway": ""},
    "half a surrogate pair in a topic": {"partitions": [PLACE | {"topic": "\udfff"}]},
    "NUL in a topic": {"partitions": [PLACE | {"topic": "a\0b"}]},
    "giant offset": {"partitions": [PLACE | {"offset": 10**30}]},
    "places that are no list": {"partitions": {"a": 1}},
    "places that are numbers": {"partitions": [1]},
    "no places": {"partitions": None},
}


@pytest.mark.parametrize("change", IMPOSSIBLE_STATEMENTS.values(), ids=IMPOSSIBLE_STATEMENTS.keys())
def test_an_impossible_custody_statement_is_set_aside(change: dict[str, Any]) -> None:
    assert frame_reader(b"\x02" + json.dumps(STATEMENT | change).encode()) == "broken"


def test_a_topic_that_looks_like_an_escape_stays_as_it_is() -> None:
    odd = STATEMENT | {"partitions": [PLACE | {"topic": "a\\u0000"}]}
    assert frame_reader(b"\x02" + json.dumps(odd).encode()) == "statement"


BODIES = {"empty": b"", "null": b"null", "list": b"[1]", "deep": b"[" * 100_000, "not UTF-8": b"\xff"}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES.keys())
@pytest.mark.parametrize("topic", [0, 1, 2])
def test_a_body_that_is_no_frame_is_set_aside(topic: int, body: bytes) -> None:
    assert frame_reader(bytes([topic]) + body) == "broken"


HEADERS = {
    "unknown version": b"2\ngw\n1\n0\n0\n1\n1\n1\n",
    "no gateway": b"1\n\n1\n0\n0\n1\n1\n1\n",
    "NUL in the gateway": b"1\na\0\n1\n0\n0\n1\n1\n1\n",
    "negative": b"1\ngw\n1\n-1\n0\n1\n1\n1\n",
    "beyond bigint": b"1\ngw\n1\n0\n99999999999999999999\n1\n1\n1\n",
    "counts more than it holds": b"1\ngw\n1\n0\n0\n2\n1\n1\n",
    "5,000 digits": b"1\ngw\n1\n0\n0\n" + b"9" * 5000 + b"\n1\n1\n",
}


@pytest.mark.parametrize("headers", HEADERS.values(), ids=HEADERS.keys())
def test_forged_headers_are_set_aside(headers: bytes) -> None:
    assert frame_reader(b"\x04" + headers + readings_body()) == "broken"
    assert frame_reader(b"\x05" + headers + letters_body()) == "broken"


LETTERS = {
    "a time in the year 200,000": DeadLetter("malformed", "d", "t", b"", 1 << 62),
    "stands for nothing": DeadLetter("malformed", "d", "t", b"", 1, 0),
}


@pytest.mark.parametrize("letter", LETTERS.values(), ids=LETTERS.keys())
def test_an_impossible_dead_letter_is_set_aside(letter: DeadLetter) -> None:
    assert frame_reader(b"\x01" + encode_dead_letters([letter])) == "broken"


def test_every_flipped_bit_of_a_frame_is_found_or_harmless() -> None:
    for body, topic in ((readings_body(), 0), (letters_body(), 1)):
        for at in range(len(body)):
            for bit in (1, 128):
                flipped = bytearray(body)
                flipped[at] ^= bit
                assert frame_reader(bytes([topic]) + bytes(flipped))


def test_a_frame_cut_anywhere_is_found_or_whole() -> None:
    for body, topic in ((readings_body(), 0), (letters_body(), 1)):
        verdicts = {frame_reader(bytes([topic]) + body[:length]) for length in range(len(body))}
        assert verdicts <= {"broken", "1 frame readings", "1 letters"}
        assert "broken" in verdicts
