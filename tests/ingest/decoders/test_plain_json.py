"""The shapes of plain JSON, one by one."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from ingest.contract.rejects import RejectReason
from ingest.decoders.columns import Arrival, Columns, RefusedError
from ingest.decoders.plain_json import JsonMapping, decode

RECEIVED_US = 1_700_000_000_000_000
MAPPING = JsonMapping()


def columns_of(value: Any, mapping: JsonMapping = MAPPING, topic: str = "city/json/dev1") -> Columns:
    columns = Columns()
    payload = value if isinstance(value, bytes) else json.dumps(value).encode()
    decode(payload, Arrival(topic, RECEIVED_US), mapping, columns)
    return columns


def readings(value: Any, mapping: JsonMapping = MAPPING, topic: str = "city/json/dev1") -> list[tuple[Any, ...]]:
    columns = columns_of(value, mapping, topic)
    return list(zip(columns.devices, columns.metrics, columns.units, columns.values, strict=True))


def test_a_flat_object_is_one_reading_a_member() -> None:
    assert readings({"temperature": 1.5, "open": True}) == [
        ("dev1", "temperature", None, 1.5),
        ("dev1", "open", None, True),
    ]


def test_an_entry_names_its_metric_and_unit() -> None:
    entry = {"device": "d9", "metric": "co2", "value": 410, "unit": "ppm", "time": 1.6e9}
    assert readings(entry) == [("d9", "co2", "ppm", 410)]


def test_a_list_may_mix_devices_and_times() -> None:
    columns = columns_of([{"device": "a", "ts": 1_600_000_000, "x": 1}, {"device": "b", "ts": 1_600_000_001, "x": 2}])
    assert columns.devices == ["a", "b"]
    assert columns.times == [1_600_000_000_000_000, 1_600_000_001_000_000]


def test_entries_inherit_the_time_above_unless_they_have_their_own() -> None:
    body = {
        "time": 1_600_000_000,
        "readings": [{"name": "a", "value": 1}, {"name": "b", "value": 2, "time": 1_600_000_009}],
    }
    assert columns_of(body).times == [1_600_000_000_000_000, 1_600_000_009_000_000]


def test_nested_numbers_get_dotted_names_and_nested_text_is_no_reading() -> None:
    body = {"wind": {"speed": 3, "gust": {"max": 9}, "source": "mast"}}
    assert readings(body) == [("dev1", "wind.speed", None, 3), ("dev1", "wind.gust.max", None, 9)]


def test_a_member_with_value_and_unit_is_one_reading() -> None:
    assert readings({"temperature": {"value": 3, "unit": "Cel"}}) == [("dev1", "temperature", "Cel", 3)]


def test_nulls_are_absent_but_a_null_value_of_an_entry_is_refused() -> None:
    assert readings({"temperature": None, "co2": 1}) == [("dev1", "co2", None, 1)]
    (refusal,) = columns_of({"name": "co2", "value": None}).rejects
    assert refusal[1].reason is RejectReason.NOT_A_NUMBER


def test_one_zoneless_time_refuses_its_reading_and_keeps_the_neighbour() -> None:
    columns = columns_of([{"time": "2024-07-01 12:00:00", "x": 1}, {"time": "2024-07-01T12:00:00Z", "x": 2}])
    assert columns.values == [2]
    assert [reject.reason for _, reject in columns.rejects] == [RejectReason.BAD_TIME]


def test_the_profile_zone_reads_zoneless_times() -> None:
    mapping = replace(MAPPING, zone=ZoneInfo("Asia/Ho_Chi_Minh"))
    assert columns_of({"time": "2024-07-01 12:00:00", "x": 1}, mapping).times == [1_719_810_000_000_000]


def test_a_mapping_names_device_time_and_columns() -> None:
    mapping = JsonMapping(device=("meta.station",), time=("meta.at",), time_unit="s", only=("t",))
    columns = columns_of({"meta": {"station": "s1", "at": 1_600_000_000}, "t": 1, "rest": 2}, mapping)
    assert (columns.devices, columns.metrics, columns.times) == (["s1"], ["t"], [1_600_000_000_000_000])


def test_another_device_than_the_topic_is_refused_where_the_profile_says_so() -> None:
    mapping = JsonMapping(device_must_match_topic=True)
    assert readings({"device": "dev1", "x": 1}, mapping) == [("dev1", "x", None, 1)]
    with pytest.raises(RefusedError) as refused:
        readings({"device": "dev2", "x": 1}, mapping)
    assert refused.value.reason is RejectReason.DEVICE_MISMATCH


def test_bare_values_have_the_name_value() -> None:
    assert readings(b"21.5") == [("dev1", "value", None, 21.5)]
    assert readings(b"true") == [("dev1", "value", None, True)]


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}"])
def test_empty_things_hold_nothing(payload: bytes) -> None:
    columns = columns_of(payload)
    assert len(columns) == 0
    assert not columns.rejects


def test_numbers_in_a_list_have_no_name() -> None:
    (refusal,) = columns_of([1, 2, {"x": 3}]).rejects
    assert (refusal[1].reason, refusal[1].readings) == (RejectReason.BAD_SCHEMA, 2)


def test_of_duplicate_keys_the_last_counts() -> None:
    assert readings(b'{"x":1,"x":2}') == [("dev1", "x", None, 2)]


def test_a_64_bit_integer_stays_exact() -> None:
    assert readings({"total": 2**53 + 1})[0][3] == 2**53 + 1
