"""The city as a stream of messages: who speaks when, valid bytes, faults in the ledger's columns."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from ingest.contract.sensor_kinds import METRICS
from simulators.batch import Batch, Expect, Names
from simulators.city import City
from simulators.faults import Malformed, Shares
from simulators.fleet import KINDS, build, devices_csv
from simulators.weather import Place

GHENT = Place(51.05, 3.73, ZoneInfo("Europe/Brussels"))
START_S = 1_793_577_700  # not on a round minute
NO_FAULTS = Shares().scaled(0)


def stream(city: City, from_s: int, until_s: int) -> Batch:
    return Batch.merge([batch for _, batch in city.batches(from_s, until_s)])


def a_city(shares: Shares = NO_FAULTS, devices: int = 60, names: Names | None = None) -> City:
    return City(devices, 3, GHENT, Names() if names is None else names, shares=shares)


def test_a_city_has_five_kinds_in_named_districts_and_its_csv_names_every_device_once() -> None:
    fleets = build(580, 1, GHENT)
    rows = list(csv.DictReader(io.StringIO(devices_csv(fleets))))
    assert len(rows) == 580 == len({row["device"] for row in rows})
    assert {row["kind"] for row in rows} == {kind.name for kind in KINDS}
    assert len({row["district"] for row in rows}) >= 10
    assert all(abs(float(row["latitude"]) - 51.05) < 0.2 for row in rows)
    assert devices_csv(fleets) == devices_csv(build(580, 1, GHENT))


def test_fewer_devices_than_kinds_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 5 devices"):
        build(4, 1, GHENT)


def test_cutting_the_day_differently_gives_the_same_messages() -> None:
    names = Names()
    city = a_city(Shares().scaled(20), names=names)
    whole = stream(city, START_S, START_S + 3600)
    parts = [stream(city, START_S + start, START_S + start + 450) for start in range(0, 3600, 450)]
    pieces = Batch.merge(parts)
    assert sorted(zip(whole.topics, whole.payloads, strict=True)) == sorted(
        zip(pieces.topics, pieces.payloads, strict=True)
    )


def test_messages_come_in_order_of_time_and_no_later_than_the_horizon_allows() -> None:
    horizon_us, newest_us = 0, 0
    for horizon, batch in a_city(Shares().scaled(20)).batches(START_S, START_S + 3600):
        assert (np.diff(batch.due_us) >= 0).all()
        assert batch.due_us[0] >= horizon_us
        horizon_us, newest_us = horizon, max(newest_us, int(batch.due_us[-1]))
    assert newest_us > START_S * 1_000_000 + 3_500_000_000


def test_every_device_speaks_at_its_interval() -> None:
    names = Names()
    city = a_city(names=names)
    batch = stream(city, START_S, START_S + 7200)
    table = names.since(0)
    readings = Counter(zip(batch.device.tolist(), batch.metric.tolist(), strict=True))
    kind_of = {device: fleet.kind for fleet in city.fleets for device in fleet.devices}
    assert len({device for device, _ in readings}) == 60
    for (device, metric), count in readings.items():
        kind = kind_of[table[device]]
        assert table[metric] in kind.metrics
        assert abs(count - 7200 / kind.interval_s) <= kind.pack


def test_sound_payloads_say_exactly_what_the_ledger_says() -> None:
    names = Names()
    batch = stream(a_city(names=names), START_S, START_S + 1800)
    table = names.since(0)
    for i, (topic, payload) in enumerate(zip(batch.topics, batch.payloads, strict=True)):
        rows = range(int(batch.first[i]), int(batch.first[i + 1]))
        ledger = {
            (table[batch.device[r]], table[batch.metric[r]], int(batch.time_us[r])): float(batch.value[r]) for r in rows
        }
        assert read_payload(topic, payload) == ledger
        assert set(batch.expect[list(rows)].tolist()) == {Expect.STORED}


def read_payload(topic: str, payload: bytes) -> dict[tuple[str, str, int], float]:
    """A reader of the three formats written for this test from the documents."""
    body = json.loads(payload)
    device = topic.split("/")[3 if topic.startswith("application/") else 2]
    if topic.startswith("application/"):
        assert body["deviceInfo"]["devEui"] == device
        names = {"temperature": "air_temperature", "humidity": "relative_humidity"}
        return {(device, names.get(name, name), micros(body["time"])): value for name, value in body["object"].items()}
    if topic.startswith("city/senml/"):
        base = body[0]
        assert base["bn"] == f"urn:dev:city:{device}:"
        assert all(record["u"] == METRICS[record["n"]].unit for record in body)
        return {(device, record["n"], (base["bt"] + record.get("t", 0)) * 1_000_000): record["v"] for record in body}
    at = micros(body.pop("time"))
    return {(device, name, at): float(value) for name, value in body.items()}


def micros(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1e6)


def test_faults_off_means_no_fault() -> None:
    batch = stream(a_city(), START_S, START_S + 3600)
    assert len(set(zip(batch.topics, batch.payloads, strict=True))) == len(batch)
    assert set(batch.expect.tolist()) == {Expect.STORED}


def test_a_repeated_message_is_sent_twice_with_the_same_bytes() -> None:
    batch = stream(a_city(Shares(0, 0, 0, 0, 0, duplicate=0.2, malformed=0)), START_S, START_S + 3600)
    copies = Counter(Counter(zip(batch.topics, batch.payloads, strict=True)).values())
    assert set(copies) == {1, 2}
    assert 0.1 < copies[2] / (copies[1] + copies[2]) < 0.3


def test_a_late_message_leaves_two_to_twenty_minutes_after_its_time() -> None:
    batch = stream(a_city(Shares(0, 0, 0, 0, late=0.2, duplicate=0, malformed=0)), START_S, START_S + 7200)
    newest = np.maximum.reduceat(batch.time_us, batch.first[:-1])
    behind_s = ((batch.due_us - newest) / 1e6)[
        batch.due_us < (START_S + 7200) * 1_000_000
    ]  # the end of the run cuts the rest short
    assert set(np.unique(behind_s[behind_s < 60])) == {0.0}
    late = behind_s[behind_s > 0]
    assert 0.1 < len(late) / len(batch) < 0.3
    assert 120 <= late.min() <= late.max() <= 1200


def test_a_silent_device_leaves_a_gap() -> None:
    sound, gaps = (
        stream(a_city(), START_S, START_S + 7200),
        stream(a_city(Shares(0.2, 0, 0, 0, 0, 0, 0)), START_S, START_S + 7200),
    )
    assert 0.6 < len(gaps) / len(sound) < 0.95
    assert set(gaps.payloads) <= set(sound.payloads)


def test_broken_payloads_are_told_apart_in_the_ledger() -> None:
    batch = stream(a_city(Shares(0, 0, 0, 0, 0, 0, malformed=0.3)), START_S, START_S + 3600)
    kinds: Counter[Malformed] = Counter()
    for i, payload in enumerate(batch.payloads):
        expect = batch.expect[int(batch.first[i]) : int(batch.first[i + 1])].tolist()
        kinds[kind := how_broken(payload)] += 1
        if kind in {Malformed.TRUNCATED, Malformed.NOT_UTF8}:
            assert expect == [Expect.DEAD_LETTER]  # an undecodable payload counts as one reading
        elif kind in {Malformed.TEXT_VALUE, Malformed.OUT_OF_RANGE}:
            assert expect[0] == Expect.DEAD_LETTER
            assert set(expect[1:]) == {Expect.STORED}
    assert set(kinds) >= {
        Malformed.NONE,
        Malformed.TRUNCATED,
        Malformed.NOT_UTF8,
        Malformed.TEXT_VALUE,
        Malformed.OUT_OF_RANGE,
    }
    ahead = batch.time_us[batch.expect == Expect.DEAD_LETTER].max() - batch.due_us.max()
    assert ahead > 365 * 86_400 * 1e6  # the clock that is a year fast


def how_broken(payload: bytes) -> Malformed:
    try:
        text = payload.decode()
        json.loads(text)
    except UnicodeDecodeError:
        return Malformed.NOT_UTF8
    except ValueError:
        return Malformed.TRUNCATED
    if "NoSensor" in text:
        return Malformed.TEXT_VALUE
    return Malformed.OUT_OF_RANGE if "9999999" in text else Malformed.NONE


def test_a_stuck_instrument_repeats_its_value() -> None:
    names = Names()
    shares = Shares(0, stuck=0.4, spike=0, skew=0, late=0, duplicate=0, malformed=0)
    batch = stream(a_city(shares, names=names), 1_793_577_600, 1_793_577_600 + 7200)
    level = names.code("water_level")
    runs = [
        len(np.unique(batch.value[(batch.metric == level) & (batch.device == device)]))
        for device in np.unique(batch.device)
    ]
    assert 1 in runs
    assert max(runs) > 5


def test_a_wrong_clock_shifts_less_than_half_an_interval() -> None:
    sound = stream(a_city(), START_S, START_S + 3600)
    skewed = stream(a_city(Shares(0, 0, 0, skew=0.5, late=0, duplicate=0, malformed=0)), START_S, START_S + 3600)
    shift_s = np.unique((skewed.time_us - sound.time_us) / 1e6)
    assert len(shift_s) > 5
    assert np.abs(shift_s).max() <= 20


def test_a_run_that_ends_sends_its_delayed_messages_at_its_end() -> None:
    batch = stream(a_city(Shares(0, 0, 0, 0, late=0.3, duplicate=0, malformed=0)), START_S, START_S + 900)
    assert batch.due_us.max() == (START_S + 900) * 1_000_000
    assert len(batch) == len(stream(a_city(), START_S, START_S + 900))
