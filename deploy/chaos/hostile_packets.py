"""What a broker that breaks MQTT's rules sends, and its stream taken apart at packet boundaries."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import zip_longest

PUBLISH = 0x30
_FAR = 30_000
"""Added to a packet id: far from the few thousand that are under way, so that no other message is acknowledged by it."""


@dataclass(frozen=True, slots=True)
class Malice:
    """One thing done at a PUBLISH: what goes to the client in its place."""

    name: str
    instead: Callable[[bytes], bytes]
    each: bool = False
    """It changes each PUBLISH for a while, instead of standing before one."""


def packets(stream: bytearray) -> Iterator[bytes]:
    """Take whole packets off the front of a sound broker's stream."""
    while len(stream) >= 2:
        length, shift, at = 0, 0, 1
        while at < len(stream):
            length |= (stream[at] & 127) << shift
            shift += 7
            at += 1
            if stream[at - 1] < 128:
                break
        else:
            return
        if len(stream) < at + length:
            return
        packet = bytes(stream[: at + length])
        del stream[: at + length]
        yield packet


def publish(topic: bytes, payload: bytes, *, mid: int, qos: int = 1) -> bytes:
    """A PUBLISH of at most 16 kB."""
    body = len(topic).to_bytes(2, "big") + topic + (mid.to_bytes(2, "big") if qos else b"") + b"\0" + payload
    return bytes([PUBLISH | qos << 1, len(body) & 127 | 128, len(body) >> 7]) + body


def _id_place(packet: bytes) -> int:
    """Where the packet id of a QoS 1 PUBLISH stands."""
    at = next(index for index in range(1, 5) if packet[index] < 128) + 1
    return at + 2 + int.from_bytes(packet[at : at + 2], "big")


def _other_id(packet: bytes) -> bytes:
    if packet[0] & 6 != 2:
        return packet
    at = _id_place(packet)
    mid = int.from_bytes(packet[at : at + 2], "big")
    return packet[:at] + ((mid + _FAR) % 65_535 + 1).to_bytes(2, "big") + packet[at + 2 :]


def _before(data: bytes) -> Callable[[bytes], bytes]:
    return lambda packet: data + packet


_FORGED = b"city/json/forged-by-the-broker"

ENDING = (
    Malice("HTTP instead of MQTT", _before(b"HTTP/1.1 200 OK\r\n\r\n" * 20)),
    Malice("zeros", _before(b"\0" * 4096)),
    Malice("the reserved packet type", _before(b"\xf0\x00")),
    Malice("a length of five bytes", _before(b"\x32\xff\xff\xff\xff\x01")),
    Malice("a SUBACK that announces 256 MB", _before(b"\x90\xff\xff\xff\x7f" + b"\0" * 1000)),
    Malice("PUBLISH with QoS 3", lambda packet: bytes([packet[0] | 6]) + packet[1:]),
    Malice("PUBLISH with packet id 0", _before(publish(_FORGED, b"{}", mid=0))),
    Malice("a topic longer than its packet", _before(b"\x32\x05\xff\xff\x00\x01\x00")),
    Malice("properties longer than their packet", _before(b"\x32\x06\x00\x01t\x00\x01\x7f")),
    Malice("a packet cut in its middle, the next behind it", lambda packet: packet[: len(packet) // 2] + packet),
    Malice("CONNECT from the broker", _before(b"\x10\x0d\x00\x04MQTT\x05\x00\x00\x3c\x00\x00\x00")),
)
"""After these nothing that follows can be trusted: the client must leave."""

PASSING = (
    Malice("every PUBLISH twice", lambda packet: packet * 2, each=True),
    Malice("another packet id", _other_id, each=True),
    Malice("all flags of a repetition", lambda packet: bytes([packet[0] | 9]) + packet[1:], each=True),
    Malice("PUBACKs for what was never sent", _before(b"\x40\x02\x12\x34" * 2000)),
    Malice("PINGRESPs nobody asked for", _before(b"\xd0\x00" * 2000)),
    Malice("a topic that is no UTF-8", _before(publish(b"\xff\xfe\xc0", b"{}", mid=60_001))),
    Malice("a topic nobody subscribed to", _before(publish(b"$SYS/forged", b"{}", mid=60_002))),
    Malice("a payload that is no JSON", _before(publish(_FORGED, b"\0\xff{[", mid=60_003))),
    Malice("a payload nested 8,000 deep", _before(publish(_FORGED, b"[" * 8000, mid=60_004))),
    Malice("a PUBLISH of 8 MB", _before(b"\x32" + bytes([0x80, 0x80, 0x80, 0x04]) + (
        len(_FORGED).to_bytes(2, "big") + _FORGED + (60_005).to_bytes(2, "big") + b"\0").ljust(8 * 1024 * 1024, b"x"))),
)  # fmt: skip
"""A client may live with these; what it takes of them must be counted like any other message."""


def chosen(how_many: int) -> list[Malice]:
    """So many that end a connection, those that do not among them: the pause before the next connection doubles each time."""
    ending = random.sample(ENDING, how_many)
    return [malice for pair in zip_longest(PASSING, ending) for malice in pair if malice is not None]
