"""Payload bytes as the vendors' own documents describe them. Written from the documents; no decoder of ours is imported here.

- SenML JSON: RFC 8428 (base name, base time, records with n, u, t, v).
- ChirpStack v4 uplink: chirpstack.io documentation, "Event types", event `up`; the measurements stand in `object`.
- plain JSON: one object a sample, `time` and one member a metric; or a list of such objects.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import msgspec

from ingest.contract.reading import DEVICE_MAX_BYTES

Number = float | int | bool | str
_APPLICATION_ID = "17c82e96-be03-4f38-aef3-f83d48582d97"
_SENML_DEVICE = re.compile(r"[A-Za-z0-9._-]+", re.ASCII)
"""What of RFC 8428's names can be one part of `urn:dev:city:<device>:` and one level of a topic (":" and "/" cannot)."""
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Sample:
    """What a device measured at one moment: values beside the sequence of metrics a format function is given."""

    time_us: int
    values: Sequence[Number]


@dataclass(frozen=True, slots=True)
class Channel:
    """One measured quantity as the payload names it: `name` in the device's words, `unit` or "" where the payload states none."""

    name: str
    unit: str


Format = Callable[[str, Sequence[Channel], Sequence[Sample]], bytes]


def senml_json(device: str, channels: Sequence[Channel], samples: Sequence[Sample]) -> bytes:
    """A SenML pack: the first record carries the base name `urn:dev:city:<device>:` and the base time."""
    base_us = samples[0].time_us
    records: list[dict[str, Any]] = []
    for sample in samples:
        offset = _seconds(sample.time_us - base_us)
        for channel, value in zip(channels, sample.values, strict=True):
            record: dict[str, Any] = {"n": channel.name}
            if channel.unit:
                record["u"] = channel.unit
            if offset:
                record["t"] = offset
            record["vb" if isinstance(value, bool) else "vs" if isinstance(value, str) else "v"] = value
            records.append(record)
    records[0] = {"bn": f"urn:dev:city:{device}:", "bt": _seconds(base_us), **records[0]}
    return _encode(records)


def plain_json(_device: str, channels: Sequence[Channel], samples: Sequence[Sample]) -> bytes:
    """One JSON object, or a list of them where there are several samples. The device stands in the topic."""
    names = [channel.name for channel in channels]
    objects = [{"time": _rfc3339(sample.time_us), **dict(zip(names, sample.values, strict=True))} for sample in samples]
    return _encode(objects[0] if len(objects) == 1 else objects)


def chirpstack_v4(device: str, channels: Sequence[Channel], samples: Sequence[Sample]) -> bytes:
    """A ChirpStack v4 `up` event of the device with this devEui; LoRaWAN carries one sample an uplink.

    Raises:
        ValueError: more than one sample.
    """
    if len(samples) != 1:
        raise ValueError(f"a LoRaWAN uplink carries one sample, not {len(samples)}")
    sample = samples[0]
    time = _rfc3339(sample.time_us)
    number = zlib.crc32(f"{device} {time}".encode())
    return _encode(
        {
            "deduplicationId": f"{number:08x}-0000-4000-8000-{device[-12:]:0>12}",
            "time": time,
            "deviceInfo": {
                "tenantId": "52f14cd4-c6f1-4fbd-8f87-4025e1d49242",
                "tenantName": "City",
                "applicationId": _APPLICATION_ID,
                "applicationName": "Air quality",
                "deviceProfileId": "14855bf7-d10d-4aee-b618-ebfcb64dc7ad",
                "deviceProfileName": "Air quality station",
                "deviceName": f"air {device[-6:]}",
                "deviceClassEnabled": "CLASS_A",
                "devEui": device,
                "tags": {"city": "demo"},
            },
            "devAddr": f"{number & 0x01FF_FFFF:08x}",
            "adr": True,
            "dr": 5,
            "fCnt": sample.time_us // 300_000_000 % 65536,
            "fPort": 2,
            "confirmed": False,
            "data": base64.b64encode(number.to_bytes(4, "big")).decode(),
            "object": dict(zip([channel.name for channel in channels], sample.values, strict=True)),
            "rxInfo": [
                {"gatewayId": "0016c001f153a14c", "uplinkId": number, "context": "E3OWOQ==", "crcStatus": "CRC_OK"}
            ],
            "txInfo": {
                "frequency": 868_100_000,
                "modulation": {"lora": {"bandwidth": 125_000, "spreadingFactor": 7, "codeRate": "CR_4_5"}},
            },
        }
    )


FORMATS: Mapping[str, Format] = MappingProxyType(
    {"senml-json": senml_json, "plain-json": plain_json, "chirpstack-v4": chirpstack_v4}
)


def topic_of(form: str, device: str, root: str = "") -> str:
    """The MQTT topic a payload of this format goes to. `root` ends in "/" or is empty."""
    if form == "chirpstack-v4":
        return f"{root}application/{_APPLICATION_ID}/device/{device}/event/up"
    return f"{root}city/{'senml' if form == 'senml-json' else 'json'}/{device}"


def device_problem(form: str, device: str) -> str | None:
    """Why no message of this format can name this device, with the remedy; None where it can."""
    if not device.strip() or not device.isprintable() or set(device) & set("/+#"):
        return f"device {device!r} cannot be a level of an MQTT topic: it needs a name without / + # and control characters"
    if len(device.encode("utf-8", "replace")) > DEVICE_MAX_BYTES:
        return f"device {device[:40]!r}... has a name longer than {DEVICE_MAX_BYTES} bytes: give it a shorter one"
    if form == "senml-json" and _SENML_DEVICE.fullmatch(device) is None:
        return f"SenML (RFC 8428) cannot name the device {device!r}, only letters, digits, - . and _: send it with --format plain-json"
    if form == "chirpstack-v4" and device != device.lower():
        return f"ChirpStack writes a devEui in small letters: name the device {device!r} {device.lower()!r}"
    return None


def _seconds(time_us: int) -> float | int:
    """Seconds as the shortest number that holds them."""
    return time_us // 1_000_000 if time_us % 1_000_000 == 0 else time_us / 1e6


def _rfc3339(time_us: int) -> str:
    moment = datetime.fromtimestamp(time_us // 1_000_000, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    rest = time_us % 1_000_000
    return f"{moment}.{rest:06d}Z" if rest else f"{moment}Z"
