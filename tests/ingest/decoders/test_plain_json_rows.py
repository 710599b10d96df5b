"""Many plain JSON messages at once: the same readings as one by one, whatever the others in the batch are."""

from __future__ import annotations

import json
from functools import partial
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.decoders import plain_json
from ingest.decoders.columns import Arrival, Columns
from ingest.decoders.plain_json import JsonMapping
from ingest.decoders.plain_json_rows import PlainJsonRows
from ingest.reading_slice import _last, decode_message

RECEIVED_US = 1_700_000_000_000_000
MAPPINGS = (
    JsonMapping(),
    JsonMapping(device_must_match_topic=True),
    JsonMapping(
        only=("air_temperature", "pm10"), time_unit="ms", device_topic_level=0, zone=ZoneInfo("Asia/Ho_Chi_Minh")
    ),
)


def one(payload: bytes, arrival: Arrival, mapping: JsonMapping, out: Columns) -> None:
    decode_message(partial(_last, plain_json.decode, mapping), payload, arrival, out)


def readings(out: Columns) -> list[tuple[Any, ...]]:
    columns = (out.messages, out.devices, out.metrics, out.units, out.times, map(repr, out.values), out.flags)
    odd = set(out.odd)
    rows = [(*row, at in odd) for at, row in enumerate(zip(*columns, strict=True))]
    return sorted(rows, key=lambda row: row[0])  # stable: the order within a message counts


def rejects(out: Columns) -> list[tuple[int, str, str, int]]:
    return sorted((at, reject.reason, reject.detail, reject.readings) for at, reject in out.rejects)


def together(payloads: list[bytes], mapping: JsonMapping) -> tuple[Columns, list[int]]:
    out = Columns()
    topics = [f"city/json/dev-{at % 3}" for at in range(len(payloads))]
    received = [RECEIVED_US + at for at in range(len(payloads))]
    left = PlainJsonRows(mapping).decode(range(len(payloads)), topics, payloads, received, out)
    for at in left:
        out.message = at
        one(payloads[at], Arrival(topics[at], received[at]), mapping, out)
    return out, left


def assert_as_one_by_one(payloads: list[bytes], mapping: JsonMapping) -> list[int]:
    alone = Columns()
    for at, payload in enumerate(payloads):
        alone.message = at
        one(payload, Arrival(f"city/json/dev-{at % 3}", RECEIVED_US + at), mapping, alone)
    out, left = together(payloads, mapping)
    assert readings(out) == readings(alone)
    assert rejects(out) == rejects(alone)
    return left


FLAT = [json.dumps({"time": RECEIVED_US - at, "air_temperature": 20 + at / 2}).encode() for at in range(8)]

BATCHES = {
    "flat": FLAT,
    "several members": [b'{"ts":%d,"pm10":%d,"open":true,"state":"on"}' % (1_600_000_000 + at, at) for at in range(5)],
    "members in another order": [b'{"pm10":1,"time":1600000000}', b'{"time":1600000001,"pm10":2}'] * 4,
    "readings in another order": [b'{"pm10":1,"x":2}', b'{"x":2,"pm10":1}'] * 4,
    "entries": [b'{"id":"d%d","metric":"pm10","value":%d,"unit":"ug/m3","time":1.6e9}' % (at, at) for at in range(5)],
    "an entry's name is a number": [b'{"type":1,"value":%d}' % at for at in range(5)],
    "device is a number": [b'{"id":%d,"pm10":3}' % at for at in range(5)],
    "device is a truth value": [b'{"id":true,"pm10":3}'] * 5,
    "times as text": [b'{"time":"2026-07-01T12:00:%02dZ","pm10":3}' % at for at in range(5)],
    "times as text without a zone": [b'{"time":"2026-07-01 12:00:00","pm10":3}'] * 5,
    "times of all sizes": [
        b'{"time":%s,"pm10":3}' % b for b in (b"0", b"-5", b"1e300", b"1600000000", b"1600000000123", b"9" * 30)
    ],
    "null among them": [*FLAT, b'{"time":null,"air_temperature":1}', b'{"time":1,"air_temperature":null}'],
    "lists and objects inside": [*FLAT, b'{"time":1,"air_temperature":[{"value":3}]}', b'{"wind":{"speed":3}}'] * 3,
    "empty ones": [*FLAT, b"", b"{}", b"[]", b" "],
    "broken ones": [*FLAT, b'{"time":', b"{", b"}", b'{"a":1}}', b"\xff", b'{"a":"\xff"}', b'{"a":1e999}'],
    "braces in text": [b'{"state":"{","pm10":1}', b'{"state":"}{","pm10":1}'] * 3,
    "a name twice": [b'{"pm10":1,"pm10":2}'] * 5,
    "a byte order mark": [b'\xef\xbb\xbf{"pm10":1}'] * 5,
    "values beyond 64 bits": [b'{"pm10":%d}' % 10**400, b'{"pm10":18446744073709551616}'] * 3,
}


@pytest.mark.parametrize("mapping", MAPPINGS)
@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_is_read_as_its_messages_one_by_one(name: str, mapping: JsonMapping) -> None:
    assert_as_one_by_one(BATCHES[name], mapping)


@pytest.mark.parametrize(
    "name", ["flat", "several members", "members in another order", "entries", "device is a number", "times as text"]
)
def test_what_devices_send_is_read_together(name: str) -> None:
    _, left = together(BATCHES[name], JsonMapping())
    assert left == []


HOSTILE = (
    [b'{"a":1},{"b":2}', b"[1", b"2]"],
    [b'{"a":1} {"b":2}', b'{"x":1', b',"y":2}'],
    [b'{"a":1}\n{"b":2}', b""],
    [b'{"a":1} 5', b'{"x":', b'{"y":2}}'],
    [b'{"a":1}{"b":2}', b'{"x":', b'{"y":2}}'],
    [b'{"a":1}\n', b'{"b":2}', b"\n"],
    [b'{"a":"', b'{"}', b'{"b":1}'],
)


@pytest.mark.parametrize("hostile", HOSTILE)
@pytest.mark.parametrize("neighbours", [0, 8])
def test_payloads_that_only_make_sense_together_stay_apart(hostile: list[bytes], neighbours: int) -> None:
    left = assert_as_one_by_one([*FLAT[:neighbours], *hostile], JsonMapping())
    assert set(left) >= {neighbours + at for at, payload in enumerate(hostile) if not _is_json(payload)}


def _is_json(payload: bytes) -> bool:
    try:
        json.loads(payload)
    except ValueError:
        return False
    return True


PIECES = st.sampled_from(
    [*(bytes([char]) for char in b'{}[],:\n 1"'), b'"a"', b'"time"', b'"value"', b'"id"', b"null", b'{"a":1}']
)


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(st.lists(PIECES, max_size=7).map(b"".join), st.sampled_from(FLAT)), max_size=14))
def test_whatever_comes_is_read_as_one_by_one(payloads: list[bytes]) -> None:
    assert_as_one_by_one(payloads, JsonMapping())


SCALARS = st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.booleans(), st.none(), st.text("a1:-", max_size=4))
OBJECTS = st.dictionaries(
    st.sampled_from(["time", "ts", "id", "value", "unit", "name", "type", "data", "pm10", "x"]), SCALARS
)


@settings(max_examples=400, deadline=None)
@given(st.lists(OBJECTS, max_size=3), st.integers(1, 6), st.sampled_from(MAPPINGS))
def test_flat_objects_of_any_members_are_read_as_one_by_one(
    objects: list[dict[str, Any]], times: int, mapping: JsonMapping
) -> None:
    others = [dict(reversed(found.items())) for found in objects]
    assert_as_one_by_one([json.dumps(found).encode() for found in (objects + others) * times], mapping)
