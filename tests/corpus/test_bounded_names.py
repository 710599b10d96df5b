"""Giant names: what once filled memory. Each case is small on the wire and was gigabytes or unbounded in the gateway."""

from __future__ import annotations

import json
import tracemalloc

import pytest

from ingest.admission import admit
from ingest.catalogue import Catalogue
from ingest.decoders.columns import Arrival, Columns
from ingest.mqtt_packets import MalformedStreamError, PacketReader
from ingest.reading_slice import decode_message, decoder_for
from ingest.settings import DEFAULT_ROUTES, Format
from ingest.topic_routes import TopicRoutes
from tests.fuzz.targets import NOW_US, PROFILES, UPLINK_TOPIC, WINDOW, judged

LIMIT_BYTES = 262_144
"""The gateway's payload limit."""
GIANT = "k" * 130_000


def peak_mb(work: object, *arguments: object) -> float:
    """The most memory a call held at once, in MB."""
    assert callable(work)
    tracemalloc.start()
    try:
        work(*arguments)
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def plain_bomb() -> bytes:
    """An object of 10,000 members under one key of 130 kB."""
    return json.dumps({GIANT: {f"{number}": number for number in range(10_000)}}, separators=(",", ":")).encode()


def uplink_bomb() -> bytes:
    """A list of 20,000 numbers under one key of 130 kB."""
    event = {"deviceInfo": {"devEui": "0102030405060708"}, "object": {GIANT: [1] * 20_000}}
    return json.dumps(event, separators=(",", ":")).encode()


def senml_bomb() -> bytes:
    """A base name of 130 kB over 5,000 records."""
    pack = [{"bn": GIANT + ":", "n": "0", "v": 1}, *({"n": str(number), "v": 1} for number in range(5000))]
    return json.dumps(pack, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("message_format", "profile", "payload"),
    [
        ("plain-json", "canonical", plain_bomb()),
        ("chirpstack-v4", "lorawan", uplink_bomb()),
        ("senml-json", "canonical", senml_bomb()),
    ],
    ids=["plain-json", "chirpstack-v4", "senml-json"],
)
def test_a_giant_name_over_thousands_of_members_is_refused_within_50_mb(
    message_format: Format, profile: str, payload: bytes
) -> None:
    assert len(payload) <= LIMIT_BYTES
    assert peak_mb(judged, message_format, profile, UPLINK_TOPIC, payload) < 50
    _, verdict = judged(message_format, profile, UPLINK_TOPIC, payload)
    assert verdict.startswith("0 readings, ")


def test_the_catalogue_does_not_keep_invented_names_whole() -> None:
    catalogue = Catalogue(4)

    def learn() -> None:
        for number in range(300):
            columns = Columns()
            payload = json.dumps({f"{number}{GIANT}": 1, "device": f"{number}{GIANT}"}).encode()
            decode_message(
                decoder_for("plain-json", PROFILES["canonical"]), payload, Arrival("city/json/d", NOW_US), columns
            )
            admit(columns, PROFILES["canonical"], catalogue, WINDOW, NOW_US)

    assert peak_mb(learn) < 10
    assert len(catalogue) == 600  # as many devices as names


def test_a_name_one_character_too_long_is_unknown_and_one_at_the_limit_is_looked_up() -> None:
    columns = Columns()
    columns.add("d", "x" * 201, None, NOW_US, 1.0, 0)
    columns.add("d", "x" * 200, None, NOW_US, 1.0, 0)
    admitted = admit(columns, PROFILES["canonical"], Catalogue(4), WINDOW, NOW_US)
    ((_, reject),) = admitted.rejects
    assert (reject.reason.value, reject.readings) == ("unknown_metric", 2)
    assert "longer than 200 characters" in reject.detail


def test_giant_topics_are_routed_and_not_remembered() -> None:
    routes, reader = TopicRoutes(DEFAULT_ROUTES), PacketReader(100)
    topics = [f"city/json/{number}{'t' * 60_000}" for number in range(200)]
    for topic in topics:
        assert routes.find(topic) is DEFAULT_ROUTES[1]
        body = len(topic).to_bytes(2, "big") + topic.encode() + b"\x00\x01\x00{}"
        assert len(body) < 1 << 16
        length = bytes([len(body) & 127 | 128, len(body) >> 7 & 127 | 128, len(body) >> 14])
        (message,), _ = reader.feed(b"\x32" + length + body)
        assert message.topic == topic
    assert (routes._known, reader.topics) == ({}, {})


@pytest.mark.parametrize("command", [0x20, 0x90, 0xD0, 0xE0, 0xF0, 0x62])
def test_a_control_packet_that_announces_256_mb_ends_the_connection_at_its_head(command: int) -> None:
    with pytest.raises(MalformedStreamError, match="announces 268435455 bytes"):
        PacketReader(100).feed(bytes([command]) + b"\xff\xff\xff\x7f")
