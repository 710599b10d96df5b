"""RFC 8428 rule by rule."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ingest.contract.reading import Flag
from ingest.contract.rejects import RejectReason
from ingest.decoders.columns import Arrival, Columns, RefusedError
from ingest.decoders.senml_json import decode, split_name
from ingest.device_profile import load_profiles

RECEIVED_US = 1_700_000_000_000_000
KNOWS = load_profiles(["canonical"])["canonical"].knows


def resolved(pack: Any) -> list[tuple[str, str | None, str | None, int, Any]]:
    columns = Columns()
    payload = pack if isinstance(pack, bytes) else json.dumps(pack).encode()
    decode(payload, Arrival("city/senml/gw1", RECEIVED_US), KNOWS, columns)
    return list(zip(columns.devices, columns.metrics, columns.units, columns.times, columns.values, strict=True))


def refused(pack: Any) -> RejectReason:
    with pytest.raises(RefusedError) as error:
        resolved(pack)
    return error.value.reason


def test_base_fields_stay_until_changed() -> None:
    pack = [
        {"bn": "urn:dev:ow:1:", "bt": 1.6e9, "bu": "Cel", "bv": 20, "n": "a", "v": 1},
        {"n": "b", "v": 2, "t": 5},
        {"bn": "urn:dev:ow:2:", "bu": "V", "bv": 0, "n": "c", "u": "A", "v": 3},
        {"n": "d", "v": 4},
    ]
    assert resolved(pack) == [
        ("urn:dev:ow:1", "a", "Cel", 1_600_000_000_000_000, 21),
        ("urn:dev:ow:1", "b", "Cel", 1_600_000_005_000_000, 22),
        ("urn:dev:ow:2", "c", "A", 1_600_000_000_000_000, 3),
        ("urn:dev:ow:2", "d", "V", 1_600_000_000_000_000, 4),
    ]


def test_a_base_value_alone_is_the_value() -> None:
    assert resolved([{"bn": "urn:dev:ow:1:", "bv": 7, "n": "a"}])[0][4] == 7


def test_a_sum_without_a_value_is_a_reading_of_its_own() -> None:
    assert resolved([{"bn": "urn:dev:ow:1:", "n": "energy", "bs": 10, "s": 2.5}])[0][1::3] == ("energy.sum", 12.5)


def test_times_below_2_to_the_28_are_relative_to_receipt() -> None:
    columns = Columns()
    pack = [{"n": "urn:dev:ow:a:x", "t": 268_435_455, "v": 1}, {"n": "urn:dev:ow:a:x", "t": 268_435_456, "v": 1}]
    decode(json.dumps(pack).encode(), Arrival("t", RECEIVED_US), KNOWS, columns)
    assert columns.times == [RECEIVED_US + 268_435_455_000_000, 268_435_456_000_000]
    assert columns.flags == [Flag.TIME_FROM_RECEIPT, 0]


def test_a_negative_time_without_base_is_before_receipt() -> None:
    assert resolved([{"n": "urn:dev:ow:a:x", "t": -60, "v": 1}])[0][3] == RECEIVED_US - 60_000_000


def test_a_tenth_of_a_second_is_exact() -> None:
    assert resolved([{"bt": 1_320_078_429.0, "n": "urn:dev:ow:a:x", "t": 0.1, "v": 0}])[0][3] == 1_320_078_429_100_000


def test_booleans_text_and_data_keep_their_kind() -> None:
    pack = [{"bn": "urn:dev:ow:a:", "n": "x", "vb": True}, {"n": "y", "vs": "on"}, {"n": "z", "vd": "aGk"}]
    assert [reading[4] for reading in resolved(pack)] == [True, "on", "aGk"]


def test_unknown_labels_are_ignored_but_must_understand_ones_refuse_the_pack() -> None:
    assert len(resolved([{"n": "urn:dev:ow:a:x", "v": 1, "link": {"a": [1]}}])) == 1
    assert (
        refused([{"n": "urn:dev:ow:a:x", "v": 1}, {"n": "urn:dev:ow:a:y", "v": 1, "odd_": 1}])
        is RejectReason.BAD_SCHEMA
    )


@pytest.mark.parametrize(
    "pack",
    [
        {"n": "urn:dev:ow:a", "v": 1},
        [{"n": "urn:dev:ow:a", "v": 1, "vs": "x"}],
        [{"n": "urn:dev:ow:a", "v": "1"}],
        [{"n": "urn:dev:ow:a", "v": True}],
        [{"n": "urn:dev:ow:a", "vb": 1}],
        [{"n": "urn:dev:ow:a"}],
        [{"n": "-bad", "v": 1}],
        [{"n": "sp ace", "v": 1}],
        [{"v": 1}],
        [{"n": "urn:dev:ow:a", "v": 1, "bver": 11}],
        [{"n": "urn:dev:ow:a", "v": 1, "t": "now"}],
        [1, 2],
    ],
)
def test_a_broken_rule_refuses_the_pack(pack: Any) -> None:
    assert refused(pack) is RejectReason.BAD_SCHEMA


def test_an_empty_pack_and_an_empty_payload_hold_nothing() -> None:
    assert resolved([]) == []
    assert resolved(b"") == []
    assert resolved([{"bn": "urn:dev:ow:1:"}]) == []


@pytest.mark.parametrize(
    ("base", "name", "expected"),
    [
        ("urn:dev:ow:10e2:", "voltage", ("urn:dev:ow:10e2", "voltage")),
        ("urn:dev:ow:10e2", "", ("urn:dev:ow:10e2", None)),
        ("urn:dev:city:lamp-7:", "1:voltage", ("urn:dev:city:lamp-7", "1:voltage")),
        ("", "2001:db8::3", ("2001:db8::3", None)),
        ("gw7/", "air_temperature", ("gw7", "air_temperature")),
        ("", "air_temperature", ("topic-device", "air_temperature")),
        ("", "lamp-7/voltage", ("lamp-7", "voltage")),
        ("", "lamp:7:voltage", ("lamp:7", "voltage")),
    ],
)
def test_device_and_metric_come_out_of_the_name(base: str, name: str, expected: tuple[str, str | None]) -> None:
    assert split_name(base, name, "topic-device", KNOWS) == expected
