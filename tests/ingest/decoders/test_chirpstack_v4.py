"""ChirpStack events beyond the vectors: what proto3 leaves out, history, mismatches."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ingest.contract.rejects import RejectReason
from ingest.decoders.chirpstack_v4 import decode
from ingest.decoders.columns import Arrival, Columns, RefusedError

EUI = "0102030405060708"
RECEIVED_US = 1_700_000_000_000_000


def columns_of(event: str, body: dict[str, Any], eui: str = EUI) -> Columns:
    columns = Columns()
    payload = json.dumps({"deviceInfo": {"devEui": EUI}, "time": "2024-05-04T12:00:00Z", **body}).encode()
    decode(payload, Arrival(f"application/a/device/{eui}/event/{event}", RECEIVED_US), columns)
    return columns


def readings(event: str, body: dict[str, Any]) -> dict[str | None, Any]:
    columns = columns_of(event, body)
    return dict(zip(columns.metrics, columns.values, strict=True))


def test_the_best_heard_gateway_gives_the_link_metrics() -> None:
    heard = [{"rssi": -80, "snr": 9}, {"rssi": -60}, {"snr": 12}]
    assert readings("up", {"rxInfo": heard}) == {"rssi": -60, "snr": 0.0}


@pytest.mark.parametrize("hidden", ["externalPowerSource", "batteryLevelUnavailable"])
def test_no_battery_level_from_mains_or_where_it_is_unknown(hidden: str) -> None:
    assert readings("status", {hidden: True, "batteryLevel": 0, "margin": 3}) == {"margin": 3}


def test_fields_left_out_of_a_status_are_zero() -> None:
    assert readings("status", {}) == {"batteryLevel": 0.0, "margin": 0.0}


def test_history_entries_keep_their_own_time() -> None:
    columns = columns_of("up", {"object": {"t": 1, "history": [{"timestamp": 1_600_000_000, "t": 2}]}})
    assert dict(zip(columns.metrics, columns.times, strict=True)) == {
        "t": 1_714_824_000_000_000,
        "history.0.t": 1_600_000_000_000_000,
    }


def test_lists_are_numbered_and_nulls_absent() -> None:
    assert readings("up", {"object": {"a": [1, None, 3], "b": None}}) == {"a.0": 1, "a.2": 3}


@pytest.mark.parametrize("event", ["join", "ack", "txack", "log", "integration"])
def test_lifecycle_events_hold_nothing_even_when_broken(event: str) -> None:
    assert readings(event, {"object": {"x": 1}}) == {}


def test_another_devices_topic_is_refused() -> None:
    with pytest.raises(RefusedError) as refused:
        columns_of("up", {"object": {"x": 1}}, eui="ffffffffffffffff")
    assert refused.value.reason is RejectReason.DEVICE_MISMATCH


def test_the_topic_names_the_device_where_the_body_does_not() -> None:
    columns = columns_of("up", {"deviceInfo": {}, "object": {"x": 1}})
    assert columns.devices == [EUI]


def test_a_renamed_topic_is_told_by_its_body() -> None:
    columns = Columns()
    body = {"deviceInfo": {"devEui": EUI}, "object": {"x": 1}}
    decode(json.dumps(body).encode(), Arrival("bridge/lora", RECEIVED_US), columns)
    assert columns.metrics == ["x"]


def test_an_unknown_event_is_refused() -> None:
    with pytest.raises(RefusedError) as refused:
        columns_of("novel", {})
    assert refused.value.reason is RejectReason.BAD_SCHEMA
