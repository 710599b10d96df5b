"""Group 1: broken, hostile and odd JSON."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator

from tests.corpus.cases import EUI, RICH, Case, dumped, on, plain, senml, uplink

HOSTILE_BYTES = (0x00, 0x22, 0x2C, 0x5B, 0x5C, 0x7B, 0x7D, 0x80, 0xC0, 0xED, 0xFF)
"""Put over every byte of a good payload: NUL, quote, comma, brackets, backslash, and what is not UTF-8."""


def cases() -> Iterator[Case]:
    """All of the group."""
    for message_format, payload in RICH.items():
        topic = on(message_format)
        yield Case("json", topic, payload)
        for length in range(1, len(payload)):
            yield Case("json", topic, payload[:length], "refused")
        for at in range(len(payload)):
            for byte in HOSTILE_BYTES:
                yield Case("json", topic, payload[:at] + bytes([byte]) + payload[at + 1 :])
            yield Case("json", topic, payload[:at] + payload[at + 1 :])
            yield Case("json", topic, payload[:at] + payload[at : at + 1] + payload[at:])
        for broken in _broken(payload):
            yield Case("json", topic, broken, "refused")
        for odd in _odd():
            yield Case("json", topic, odd)
        yield Case("json", topic, b"\xef\xbb\xbf" + payload, "any")
        yield Case("json", topic, b" \t\r\n" + payload + b"\n\n")
        yield Case("json", topic, b"", "nothing")
    yield from _large()
    yield from _doubled_keys()


def _broken(payload: bytes) -> Iterator[bytes]:
    text = payload.decode()
    for code in ("utf-16", "utf-16-le", "utf-16-be", "utf-32"):
        yield text.encode(code)
    for garbage in (b"x", b",", b"]", b"}", b"{}", b"\x00", b"null", payload, b"\n" + payload, b"//", b"\xff"):
        yield payload + garbage
    yield b"/* c */" + payload
    yield payload.replace(b'"', b"'")
    yield payload.replace(b'":', b'"=')
    yield payload.replace(b",", b",,", 1)
    yield payload[:-1] + b"," + payload[-1:]
    yield payload.replace(b'"', b"")
    yield from (gzip.compress(payload), zlib.compress(payload), zlib.compress(b"\0" * 200_000))
    for text_ in (
        b"\\ud800",
        b"\\udc00\\ud800",
        b"\\u12",
        b"\\x41",
        b"\\",
        b"\x01",
        b"\xed\xa0\x80",
        b"\xf5\x80\x80\x80",
        b"\xc0\xaf",
    ):
        yield payload.replace(b"dev-1", text_).replace(EUI.encode(), text_)
    for depth in (1000, 100_000):
        yield b"[" * depth
        yield b'{"a":' * depth
        yield b"[" * (depth - 1) + b"]" * (depth - 1) if depth > 2000 else b"[" * depth + b"1" + b"]" * (depth - 1)


def _odd() -> Iterator[bytes]:
    yield from (
        b"null",
        b"[]",
        b"{}",
        b"true",
        b"0",
        b'""',
        b'"text"',
        b"[[]]",
        b"[{}]",
        b"[null]",
        b"[1,2,3]",
        b'{"":1}',
        b'{"":{"":{}}}',
    )
    yield from (
        b'{"a":null}',
        b'[{"n":null}]',
        b'{"object":null}',
        b'{"object":[]}',
        b'{"object":{}}',
        b'{"deviceInfo":null}',
        b'{"rxInfo":{}}',
    )
    for depth in (10, 31, 32, 33, 34, 200, 900):
        yield b'{"a":' * depth + b"1" + b"}" * depth
        yield b"[" * depth + b"1" + b"]" * depth
        yield b'{"object":' + b'{"a":' * depth + b"1" + b"}" * depth + b"}"
        yield b'[{"n":"a","v":' + b"[" * depth + b"]" * depth + b"}]"
    for character in ("\\u0000", "\\u202e", "\\u000a", "\\uffff", "\\ud83d\\ude00", "\\u2028"):
        yield f'{{"air{character}temperature":1,"device":"a{character}b"}}'.encode()
        yield f'[{{"bn":"urn:dev:city:a{character}b:","n":"pm10","v":1}}]'.encode()


def _large() -> Iterator[Case]:
    keys = b"{" + b",".join(b'"k%d":1' % number for number in range(20_000)) + b"}"
    yield Case("json", on("plain-json"), keys, "refused")
    yield Case("json", on("chirpstack-v4"), b'{"object":' + keys + b"}", "refused")
    yield Case("json", on("plain-json"), b'{"' + b"k" * 200_000 + b'":1}', "refused")
    yield Case("json", on("plain-json"), b"[" + b"1," * 100_000 + b"1]", "refused")
    yield Case("json", on("senml-json"), b"[" + b",".join([b'{"n":"pm10","v":1}'] * 10_000) + b"]")
    yield Case(
        "json", on("senml-json"), dumped([{"bn": "b" * 130_000, "n": str(n), "v": 1} for n in range(2)]), "refused"
    )
    yield Case("json", on("plain-json"), dumped({"k" * 130_000: {str(n): n for n in range(10_000)}}), "refused")
    yield Case("json", on("chirpstack-v4"), dumped({"object": {"k" * 130_000: [1] * 30_000}}), "refused")
    for topic in (on("plain-json"), on("senml-json"), on("chirpstack-v4")):
        for size in (262_145, 300_000, 1_000_000):
            yield Case("json", topic, b'{"a":"' + b"x" * (size - 8) + b'"}', "refused")


def _doubled_keys() -> Iterator[Case]:
    yield Case("json", on("plain-json"), b'{"air_temperature":1,"air_temperature":2}', "stored")
    yield Case("json", on("plain-json"), b'{"air_temperature":"x","air_temperature":2}', "stored")
    yield Case("json", on("senml-json"), b'[{"n":"pm10","v":1,"v":2,"u":"ug/m3"}]', "stored")
    yield Case("json", on("senml-json"), b'[{"n":"pm10","v":1,"vs":"2"}]', "refused")
    yield Case("json", on("senml-json"), b'[{"n":"pm10","v":1,"must_":2}]', "refused")
    for write, topic in ((plain, "plain-json"), (senml, "senml-json"), (uplink, "chirpstack-v4")):
        for value in ("20", "-0.0", "2e1", "20.000000000000000000000000000001"):
            yield Case("json", on(topic), write(value), "stored")  # type: ignore[arg-type]  # literals of the loop
