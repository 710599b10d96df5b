"""ChirpStack v4 integration events (JSON): uplinks with a decoded object, device status, location.

Topic: application/<id>/device/<devEui>/event/<type>. join, ack, txack, log and integration events hold no readings. An uplink gives the
numbers of `object` (nested names joined by dots, list items by their index) and rssi/snr of the gateway that heard it best; without a
codec only the latter. ChirpStack leaves out fields that are 0 or false, so an absent snr, margin or battery level is 0.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ingest.contract.rejects import RejectReason
from ingest.decoders.columns import Arrival, Columns, RefusedError, joined
from ingest.decoders.json_text import MAX_DEPTH, parse_typed
from ingest.decoders.timestamps import reading_time

_WITHOUT_READINGS = frozenset({"join", "ack", "txack", "log", "integration"})
_TIME_KEYS = ("timestamp", "time", "ts")


class DeviceInfo(msgspec.Struct):
    """The part of deviceInfo that is read."""

    devEui: str = ""  # noqa: N815 - ChirpStack's name


class RxInfo(msgspec.Struct):
    """One gateway's reception."""

    rssi: float | None = None
    snr: float | None = None


class Location(msgspec.Struct):
    """Degrees, degrees, metres."""

    latitude: float = 0.0
    longitude: float = 0.0
    altitude: float = 0.0


class Event(msgspec.Struct):
    """Any event; the fields of the types that hold readings."""

    time: Any = None  # a string of ChirpStack; whatever a bridge makes of it is judged as a time, not as a broken event
    deviceInfo: DeviceInfo = msgspec.field(default_factory=DeviceInfo)  # noqa: N815
    object: Any = None
    rxInfo: list[RxInfo] = msgspec.field(default_factory=list)  # noqa: N815
    margin: float | None = None
    batteryLevel: float | None = None  # noqa: N815
    externalPowerSource: bool = False  # noqa: N815
    batteryLevelUnavailable: bool = False  # noqa: N815
    location: Location | None = None
    fPort: int | None = None  # noqa: N815


_EVENT = msgspec.json.Decoder(Event)


def decode(payload: bytes, arrival: Arrival, out: Columns) -> None:
    """Append the event's readings to `out`.

    Raises:
        RefusedError: no ChirpStack event, or its devEui is not its topic's.
    """
    if not payload:
        return
    kind, topic_eui = _topic_parts(arrival.topic)
    if kind in _WITHOUT_READINGS:
        return
    event = parse_typed(payload, _EVENT)
    device = event.deviceInfo.devEui.lower()
    if device and topic_eui and device != topic_eui:
        raise RefusedError(
            RejectReason.DEVICE_MISMATCH, f"devEui is {device[:40]!r}, its topic says {topic_eui[:40]!r}"
        )
    device = device or topic_eui
    time_us, flags = reading_time(event.time, "auto", None, arrival.received_us)
    writer = _Writer(device, time_us, flags, arrival, out)
    kind = kind or _guess(event)
    if kind == "up":
        writer.uplink(event)
    elif kind == "status":
        writer.status(event)
    elif kind == "location" and event.location is not None:
        writer.location(event.location)
    else:
        raise RefusedError(
            RejectReason.BAD_SCHEMA, f"event type {kind[:40]!r} is unknown, or its body is another event's"
        )


def _topic_parts(topic: str) -> tuple[str, str]:
    """(event type, devEui) of ChirpStack's topic, wherever it begins; empty where the topic is another."""
    levels = topic.split("/")
    for index in range(len(levels) - 3):
        if levels[index] == "device" and levels[index + 2] == "event":
            return levels[index + 3], levels[index + 1].lower()
    return "", ""


def _guess(event: Event) -> str:
    """The type of an event whose topic does not say it (a bridge renamed it)."""
    if event.object is not None or event.rxInfo or event.fPort is not None:
        return "up"
    if event.batteryLevel is not None or event.margin is not None or event.externalPowerSource:
        return "status"
    return "location" if event.location is not None else ""


class _Writer:
    """Writes one event's readings."""

    __slots__ = ("_arrival", "_device", "_flags", "_out", "_time_us")

    def __init__(self, device: str, time_us: int, flags: int, arrival: Arrival, out: Columns) -> None:
        self._device = device
        self._time_us = time_us
        self._flags = flags
        self._arrival = arrival
        self._out = out

    def add(self, metric: str, unit: str | None, value: Any) -> None:
        """One reading at the event's time."""
        self._out.add(self._device, metric, unit, self._time_us, value, self._flags)

    def uplink(self, event: Event) -> None:
        """The decoded object, then the best reception."""
        if event.object is not None:
            self._flatten("", event.object, (self._time_us, self._flags), 0)
        heard = [info for info in event.rxInfo if info.rssi is not None or info.snr is not None]
        if heard:
            best = max(heard, key=lambda info: info.rssi if info.rssi is not None else -1e9)
            if best.rssi is not None:
                self.add("rssi", "dBm", best.rssi)
            self.add("snr", "dB", best.snr if best.snr is not None else 0.0)

    def status(self, event: Event) -> None:
        """Battery and margin; a device on mains, or one that cannot tell, has no battery level whatever the field says."""
        if not event.externalPowerSource and not event.batteryLevelUnavailable:
            self.add("batteryLevel", "%", event.batteryLevel or 0.0)
        self.add("margin", "dB", event.margin or 0.0)

    def location(self, location: Location) -> None:
        """A position, in readings of its own; profiles ignore them unless a city wants them."""
        self.add("latitude", "deg", location.latitude)
        self.add("longitude", "deg", location.longitude)
        self.add("altitude", "m", location.altitude)

    def _flatten(self, name: str, value: Any, stamp: tuple[int, int], depth: int) -> None:
        if depth > MAX_DEPTH:
            raise RefusedError(RejectReason.TOO_DEEP, f"object is nested deeper than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            stamp, time_key = self._own_time(value, stamp, depth)
            for key, item in value.items():
                if key != time_key:
                    self._flatten(joined(name, key) if name else key, item, stamp, depth + 1)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self._flatten(joined(name, str(index)), item, stamp, depth + 1)
        elif value is not None:
            self._out.add(self._device, name or "value", None, stamp[0], value, stamp[1])

    def _own_time(
        self, entry: dict[str, Any], stamp: tuple[int, int], depth: int
    ) -> tuple[tuple[int, int], str | None]:
        """History inside a live uplink: an entry of a list that carries its own time is a reading of that time."""
        if depth < 2:
            return stamp, None
        for key in _TIME_KEYS:
            raw = entry.get(key)
            if isinstance(raw, int | float | str) and not isinstance(raw, bool):
                try:
                    return reading_time(raw, "auto", None, self._arrival.received_us), key
                except RefusedError:
                    return stamp, None
        return stamp, None
