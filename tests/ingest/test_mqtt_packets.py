"""MQTT packets out of a stream, however it is cut, and what of a hostile one is refused."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.messages import Message
from ingest.mqtt_packets import MalformedStreamError, PacketReader, pubacks

LIMIT = 1000


def length(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = divmod(value, 128)
        out.append(low | (128 if value else 0))
        if not value:
            return bytes(out)


def publish(
    topic: str, payload: bytes, mid: int = 1, *, qos: int = 1, dup: bool = False, properties: bytes = b""
) -> bytes:
    raw = topic.encode()
    body = len(raw).to_bytes(2, "big") + raw + (mid.to_bytes(2, "big") if qos else b"")
    body += length(len(properties)) + properties + payload
    return bytes([0x30 | qos << 1 | dup << 3]) + length(len(body)) + body


def test_messages_and_control_packets_come_out_in_order() -> None:
    stream = publish("a/b", b"1", 7) + b"\xd0\x00" + publish("a/c", b"", 8, dup=True) + publish("q0", b"x", qos=0)
    messages, others = PacketReader(LIMIT).feed(stream)
    assert [(m.topic, m.payload, m.mid, m.dup) for m in messages] == [
        ("a/b", b"1", 7, False),
        ("a/c", b"", 8, True),
        ("q0", b"x", 0, False),
    ]
    assert [(other.command, other.body) for other in others] == [(0xD0, b"")]


def test_properties_are_skipped_whatever_their_length() -> None:
    user_property = b"\x26\x00\x01k" + (200).to_bytes(2, "big") + b"v" * 200
    (message,), _ = PacketReader(LIMIT).feed(publish("a", b"payload", properties=user_property * 3))
    assert message.payload == b"payload"


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.text("ab/é", min_size=1, max_size=9), st.binary(max_size=300), st.integers(1, 65_535)), max_size=12
    ),
    st.lists(st.integers(1, 200), min_size=1, max_size=30),
)
def test_the_cutting_of_the_stream_does_not_matter(sent: list[tuple[str, bytes, int]], cuts: list[int]) -> None:
    stream = b"".join(publish(topic, payload, mid) for topic, payload, mid in sent)
    reader = PacketReader(LIMIT)
    received: list[Message] = []
    at = index = 0
    while at < len(stream):
        step = cuts[index % len(cuts)]
        received += reader.feed(stream[at : at + step])[0]
        at, index = at + step, index + 1
    assert [(m.topic, m.payload, m.mid) for m in received] == sent


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(stream: bytes) -> None:
    reader = PacketReader(LIMIT)
    try:
        for at in range(0, len(stream), 7):
            reader.feed(stream[at : at + 7])
    except MalformedStreamError:
        pass


@pytest.mark.parametrize(
    "stream",
    [
        publish("a", b"", qos=2),
        publish("a", b"", mid=0),
        b"\x32\x03\x00\x05a",
        b"\x32\x00",
        b"\x32\x05\x00\x01a\x00\x01",
        b"\x32\x07\x00\x01a\x00\x01\x7f\x00",
        b"\x32\xff\xff\xff\xff\x7f",
    ],
)
def test_a_malformed_publish_ends_the_connection(stream: bytes) -> None:
    with pytest.raises(MalformedStreamError):
        PacketReader(LIMIT).feed(stream)


def test_a_payload_over_the_limit_is_cut_and_says_by_how_much() -> None:
    (message,), _ = PacketReader(LIMIT).feed(publish("a", b"x" * 1500, 3))
    assert (len(message.payload), message.cut, message.mid) == (1000, 500, 3)


def test_a_giant_payload_is_skipped_as_it_comes_and_the_next_message_is_read() -> None:
    reader = PacketReader(LIMIT)
    stream = publish("a", b"x" * 5_000_000, 3) + publish("b", b"next", 4)
    received: list[Message] = []
    held = 0
    for at in range(0, len(stream), 100_000):
        received += reader.feed(stream[at : at + 100_000])[0]
        held = max(held, len(reader._rest))
    assert [(m.topic, len(m.payload), m.cut, m.mid) for m in received] == [("a", 1000, 4_999_000, 3), ("b", 4, 0, 4)]
    assert held < 400_000


@pytest.mark.parametrize("payload", [b"", b"some", b"x" * 700_000])
@pytest.mark.parametrize("cut", [7_777, 262_144, 2_000_000])
def test_properties_beyond_what_is_held_are_skipped_and_the_payload_is_read(payload: bytes, cut: int) -> None:
    reader = PacketReader(LIMIT)
    properties = (b"\x26\x00\x01k" + (60_000).to_bytes(2, "big") + b"v" * 60_000) * 15
    stream = publish("a", payload, 3, properties=properties, dup=True) + publish("b", b"next", 4)
    received: list[Message] = []
    for at in range(0, len(stream), cut):
        received += reader.feed(stream[at : at + cut])[0]
        assert len(reader._rest) < 500_000
    kept = payload[:LIMIT]
    assert [(m.topic, m.payload, m.cut, m.mid, m.dup) for m in received] == [
        ("a", kept, len(payload) - len(kept), 3, True),
        ("b", b"next", 0, 4, False),
    ]


@pytest.mark.parametrize("payload", [b"", b"x" * 10])
def test_a_message_is_given_only_when_its_last_byte_has_come(payload: bytes) -> None:
    reader = PacketReader(LIMIT)
    properties = (b"\x26\x00\x01k" + (60_000).to_bytes(2, "big") + b"v" * 60_000) * 15
    stream = publish("a", payload, 3, properties=properties)
    assert [len(reader.feed(stream[at : at + 1000])[0]) for at in range(0, len(stream), 1000)][:-1] == [0] * (
        len(stream) // 1000
    )


def test_a_topic_that_is_not_utf8_is_shown_with_escapes() -> None:
    stream = bytearray(publish("ab", b"x"))
    stream[4] = 0xFF
    (message,), _ = PacketReader(LIMIT).feed(bytes(stream))
    assert message.topic == "\\xffb"


def test_acknowledgements_are_four_bytes_each_in_order() -> None:
    assert pubacks([1, 258]) == b"\x40\x02\x00\x01\x40\x02\x01\x02"
