"""Where the fuzzer starts: a few good inputs for each target, so that minutes are spent on mutations and not on finding a brace."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np

from ingest.contract.frame import (
    DeadLetter,
    FrameColumns,
    FrameHeader,
    encode_dead_letters,
    encode_readings,
)
from ingest.frames import OutFrame
from ingest.spool import Spool

_PLAIN = [
    {"air_temperature": 21.5, "time": "2023-11-14T22:13:20Z"},
    {"device": "d1", "ts": 1_700_000_000_000, "values": {"pm10": 3, "wind": {"speed": "4,2"}}},
    {"Device A": [{"ts": 1_700_000_000, "values": {"temperature": 3}}]},
    [{"name": "pm2_5", "value": 3.5, "unit": "ug/m3"}, {"n": "co2", "v": None}],
]
_SENML = [
    [{"bn": "urn:dev:city:d1:", "bt": 1.7e9, "bu": "Cel", "n": "air_temperature", "v": 20}, {"n": "pm10", "u": "ug/m3", "v": 3}],
    [{"n": "urn:dev:mac:0024befffe804ff1", "u": "Cel", "bv": 1, "v": 2, "s": 3, "bver": 10}, {"n": "a", "vs": "x"}, {"n": "b", "vb": True}],
]  # fmt: skip
_CHIRPSTACK = [
    {"time": "2023-11-14T22:13:20.123+00:00", "deviceInfo": {"devEui": "0102030405060708"}, "fPort": 2,
     "object": {"temperature": 21.5, "list": [{"ts": 1_700_000_000, "humidity": 40}]}, "rxInfo": [{"rssi": -60, "snr": 7.5}]},
    {"deviceInfo": {"devEui": "0102030405060708"}, "margin": 7, "batteryLevel": 44.5, "externalPowerSource": False},
    {"location": {"latitude": 1, "longitude": 2, "altitude": 3}},
]  # fmt: skip
_STATEMENT = {
    "gateway": "gw", "epoch": 1, "at_us": 2, "received": 3, "refused": 0, "acked_kafka": 3, "spooled": 0, "messages": 3,
    "partitions": [{"topic": "t", "partition": 0, "acked": 3, "offset": 1}],
}  # fmt: skip


def readings_body() -> bytes:
    """A frame body with one reading."""
    return encode_readings(
        FrameColumns(
            ["d1"], ["pm10"], np.zeros(1, np.int32), np.zeros(1, np.int16), np.array([1_700_000_000_000_000]), np.ones(1),
            np.zeros(1, np.uint16),
        )
    )  # fmt: skip


def letters_body() -> bytes:
    """A frame body with one dead letter."""
    return encode_dead_letters([DeadLetter("malformed", "not JSON", "city/json/d1", b"{", 1_700_000_000_000_000)])


def segment() -> bytes:
    """A spool segment of three frames."""
    with tempfile.TemporaryDirectory() as folder:
        spool = Spool(Path(folder), 10_000_000, 1_000_000)
        spool.open()
        spool.append(OutFrame("t", 0, FrameHeader("gw", 1, seq, seq, 1, 1, 1), b"body") for seq in range(3))
        spool.close()
        return next(Path(folder).glob("*.spool")).read_bytes()


def publish(topic: bytes, payload: bytes, qos: int = 1, mid: int = 1) -> bytes:
    """One MQTT 5 PUBLISH of less than 128 bytes."""
    body = len(topic).to_bytes(2, "big") + topic + (mid.to_bytes(2, "big") if qos else b"") + b"\x00" + payload
    return bytes([0x30 | qos << 1, len(body)]) + body


def seeds() -> dict[str, list[bytes]]:
    """Target -> inputs."""
    header = b"1\ngw\n1\n0\n0\n1\n1\n1\n"
    return {
        "plain-json": [json.dumps(value).encode() for value in _PLAIN],
        "senml-json": [json.dumps(value).encode() for value in _SENML],
        "chirpstack-v4": [json.dumps(value).encode() + end for value in _CHIRPSTACK for end in (b"", b" ")],
        "topics": [b"city/json/d1", b"city/senml/gw", b"application/1/device/0102030405060708/event/up", b"$SYS/x", b"city//"],
        "frames": [
            b"\x00" + readings_body(), b"\x01" + letters_body(), b"\x02" + json.dumps(_STATEMENT).encode(),
            b"\x04" + header + readings_body(), b"\x05" + header + letters_body(),
        ],
        "spool": [segment(), segment()[:-9], segment()[5:]],
        "mqtt-packets": [
            b"\x20\x03\x00\x00\x00\x90\x04\x00\x01\x00\x01" + publish(b"a/b", b"{}"),
            publish(b"t", b"x" * 100, qos=0) + b"\xd0\x00" + publish(b"t", b"", mid=9), publish(b"a", b"b", qos=3), b"\x30\xff\xff\xff\x7f",
        ],
    }  # fmt: skip
