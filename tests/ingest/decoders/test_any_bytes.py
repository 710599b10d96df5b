"""No bytes at all may make a decoder raise, add half a message, or touch its neighbours' readings."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.admission import TimeWindow, admit
from ingest.catalogue import Catalogue
from ingest.contract.rejects import RejectReason
from ingest.decoders.columns import Arrival, Columns
from ingest.device_profile import DeviceProfile, load_profiles
from ingest.reading_slice import decode_message, decoder_for
from ingest.settings import Format

FORMATS: tuple[tuple[Format, str], ...] = (
    ("plain-json", "canonical"),
    ("senml-json", "canonical"),
    ("chirpstack-v4", "lorawan"),
)
PROFILES = load_profiles(["canonical", "lorawan"])
TOPIC = "application/a/device/0102030405060708/event/up"
NOW_US = 1_700_000_000_000_000

_KEYS = """n bn u v vs vb t bt bv s bver time ts value name unit object deviceInfo devEui rxInfo rssi values measurements
    air_temperature x_ location batteryLevel device"""
KEYS = st.sampled_from(_KEYS.split())
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=5),
    max_leaves=25,
)


def decode(payload: bytes, message_format: Format, profile: DeviceProfile) -> Columns:
    columns = Columns()
    decode_message(decoder_for(message_format, profile), payload, Arrival(TOPIC, NOW_US), columns)
    return columns


def check(columns: Columns, profile: DeviceProfile) -> None:
    """Parallel, never INTERNAL, and every reading is admitted, ignored or refused."""
    assert all(reject.reason is not RejectReason.INTERNAL for _, reject in columns.rejects)
    lengths = {
        len(column) for column in (columns.devices, columns.metrics, columns.units, columns.times, columns.values)
    }
    assert lengths == {len(columns)}
    admitted = admit(columns, profile, Catalogue(4), TimeWindow(10**15, 10**9), NOW_US)
    assert all(reject.readings >= 1 and reject.detail for _, reject in admitted.rejects)
    assert len(admitted) <= len(columns)


@pytest.mark.parametrize(("message_format", "profile"), FORMATS)
@settings(max_examples=300, deadline=None)
@given(payload=st.binary(max_size=300))
def test_any_bytes_are_answered(message_format: Format, profile: str, payload: bytes) -> None:
    check(decode(payload, message_format, PROFILES[profile]), PROFILES[profile])


@pytest.mark.parametrize(("message_format", "profile"), FORMATS)
@settings(max_examples=500, deadline=None)
@given(value=VALUES)
def test_any_json_is_answered(message_format: Format, profile: str, value: object) -> None:
    check(decode(json.dumps(value).encode(), message_format, PROFILES[profile]), PROFILES[profile])


@pytest.mark.parametrize(("message_format", "profile"), FORMATS)
@settings(max_examples=200, deadline=None)
@given(value=VALUES, cut=st.integers(0, 400))
def test_a_payload_cut_anywhere_is_answered(message_format: Format, profile: str, value: object, cut: int) -> None:
    check(decode(json.dumps(value).encode()[:cut], message_format, PROFILES[profile]), PROFILES[profile])


HOSTILE = {
    "100,000 deep": b"[" * 100_000,
    "1,000 deep and closed": b"[" * 1000 + b"]" * 1000,
    "object 200 deep": b'{"a":' * 200 + b"1" + b"}" * 200,
    "a key of 1 MB": b'{"' + b"k" * 1_000_000 + b'":1}',
    "100,000 keys": b"{" + b",".join(b'"k%d":1' % number for number in range(100_000)) + b"}",
    "5,000 digits": b'{"air_temperature":' + b"9" * 5000 + b"}",
    "a lone surrogate": b'{"air_temperature":"\\ud800"}',
    "NUL in a name": b'{"air\\u0000temperature":1}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "two documents": b"{}{}",
    "a comment": b'{/* c */"a":1}',
    "single quotes": b"{'a':1}",
    "hexadecimal": b'{"air_temperature":0x1F}',
    "underscores": b'{"air_temperature":"1_000"}',
    "other digits": '{"air_temperature":"٣"}'.encode(),
    "infinity as text": b'{"air_temperature":"Infinity"}',
}


@pytest.mark.parametrize("payload", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize(("message_format", "profile"), FORMATS)
def test_a_hostile_payload_is_refused_or_ignored_and_admits_nothing(
    message_format: Format, profile: str, payload: bytes
) -> None:
    columns = decode(payload, message_format, PROFILES[profile])
    check(columns, PROFILES[profile])
    assert len(admit(columns, PROFILES[profile], Catalogue(4), TimeWindow(10**15, 10**9), NOW_US)) == 0


def test_a_bad_message_leaves_its_neighbours_readings_alone() -> None:
    columns = Columns()
    for index, payload in enumerate(
        [b'{"air_temperature":1}', b'[{"air_temperature":2},{"air', b'{"air_temperature":3}']
    ):
        columns.message = index
        decode_message(
            decoder_for("plain-json", PROFILES["canonical"]), payload, Arrival("city/json/d", NOW_US), columns
        )
    assert columns.values == [1, 3]
    assert columns.messages == [0, 2]
    assert [(message, reject.reason) for message, reject in columns.rejects] == [(1, RejectReason.MALFORMED)]
