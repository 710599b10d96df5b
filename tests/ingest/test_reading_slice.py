"""A slice of messages: routed, decoded, judged; our own mistakes become dead letters and stop nobody."""

from __future__ import annotations

import logging

import pytest
from prometheus_client import CollectorRegistry

from ingest.admission import TimeWindow, admit
from ingest.catalogue import Catalogue
from ingest.contract.rejects import RejectReason
from ingest.device_profile import load_profiles
from ingest.messages import Message
from ingest.metrics import IngestMetrics
from ingest.reading_slice import SliceReader
from ingest.settings import Route

NOW_US = 1_700_000_000_000_000
ROUTES = (
    Route(topic="j/+", format="plain-json", profile="canonical"),
    Route(topic="s/+", format="senml-json", profile="canonical"),
)


def reader(registry: CollectorRegistry | None = None) -> SliceReader:
    return SliceReader(
        routes=ROUTES,
        profiles=load_profiles(["canonical"]),
        catalogue=Catalogue(4),
        window=TimeWindow(10**12, 10**9),
        max_payload_bytes=1000,
        metrics=IngestMetrics(registry or CollectorRegistry()),
    )


def message(topic: str, payload: bytes, cut: int = 0) -> Message:
    return Message(topic, payload, 1, dup=False, received_us=NOW_US, cut=cut)


def test_every_message_of_a_slice_is_accounted_for() -> None:
    registry = CollectorRegistry()
    taken = reader(registry).read(
        [
            message("j/d1", b'{"air_temperature":20,"x":1,"y":2,"pm10":-1}'),
            message("nowhere", b"1"),
            message("j/d2", b"{"),
            message("s/g", b'[{"bn":"urn:dev:city:d3:","n":"pm10","v":3},{"n":"pm1","v":4}]'),
            message("j/d4", b""),
            message("j/d5", b"x" * 900, cut=200),
        ]
    )
    assert sum(len(part) for part in taken.admitted) == 3
    letters = [(letter.reason, letter.readings, letter.mqtt_topic) for letter in taken.letters]
    assert sorted(letters) == [
        ("malformed", 1, "j/d2"),
        ("out_of_range", 1, "j/d1"),
        ("too_large", 1, "j/d5"),
        ("unknown_metric", 2, "j/d1"),
        ("unknown_topic", 1, "nowhere"),
    ]
    assert taken.readings == 9
    assert registry.get_sample_value("citynerve_ingest_rejects_total", {"reason": "unknown_metric"}) == 2
    assert registry.get_sample_value("citynerve_ingest_readings_total") == 3


def test_every_reject_reason_is_counted_from_0() -> None:
    registry = CollectorRegistry()
    reader(registry)
    for reason in RejectReason:
        assert registry.get_sample_value("citynerve_ingest_rejects_total", {"reason": reason.value}) == 0


def test_a_decoder_that_fails_makes_one_dead_letter(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise KeyError("a mistake of ours")

    monkeypatch.setattr("ingest.decoders.senml_json.decode", broken)
    with caplog.at_level(logging.CRITICAL):
        taken = reader().read([message("s/g", b"[]"), message("j/d", b'{"pm10":1}')])
    assert [letter.reason for letter in taken.letters] == [RejectReason.INTERNAL]
    assert taken.readings == 2


def test_an_admission_that_fails_makes_dead_letters_of_its_slice(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    calls = []

    def broken(*arguments: object, **keywords: object) -> object:
        calls.append(1)
        if len(calls) == 1:
            raise ZeroDivisionError
        return admit(*arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr("ingest.reading_slice.admit", broken)
    with caplog.at_level(logging.CRITICAL):
        taken = reader().read([message("j/d", b'{"pm10":1,"pm1":2}'), message("j/e", b'{"pm10":1}')])
    assert [(letter.reason, letter.readings) for letter in taken.letters] == [("internal", 2), ("internal", 1)]
    assert taken.readings == 3


def test_letters_hold_text_that_databases_take() -> None:
    taken = reader().read([message("no\x00where", b"\x00\xff")])
    assert taken.letters[0].mqtt_topic == "no\\x00where"
    assert taken.letters[0].payload == b"\x00\xff"


def test_readings_of_both_formats_keep_the_order_in_which_they_came() -> None:
    taken = reader().read(
        [
            message("j/d1", b'{"pm10":1}'),
            message("s/g", b'[{"bn":"urn:dev:city:d1:","n":"pm10","v":2}]'),
            *(message("j/d1", b'{"pm10":%d,"pm1":%d}' % (value, value)) for value in (3, 4, 5, 6)),
        ]
    )
    assert taken.admitted[0].values.tolist() == [1, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    assert taken.admitted[0].messages.tolist() == [0, 1, 2, 2, 3, 3, 4, 4, 5, 5]


def test_where_a_clock_is_unset_each_message_has_the_time_of_its_own_receipt() -> None:
    """With one time for all of a slice, the second of two readings of a device would be a duplicate."""
    unset = [
        Message("j/d1", payload, 1, dup=False, received_us=NOW_US + at)
        for at, payload in enumerate(
            [b'{"time":5,"pm10":1}', b"{", b'{"time":6,"pm10":2}', b'{"pm10":3}', b'{"time":7,"pm10":4}'] * 3
        )
    ]
    (admitted,) = reader().read(unset).admitted
    assert admitted.time_us.tolist() == [NOW_US + at for at in range(15) if at % 5 != 1]
