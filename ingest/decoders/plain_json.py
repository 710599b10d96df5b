"""Plain JSON of any vendor: one reading or many, in the shapes found in the field, steered by a profile's mapping.

Shapes: a bare value; a flat object {"temperature": 21.5}; one entry {"name", "value", "unit"}; a list of any of these; an object with
such a list or object inside ("measurements", "values", ...); nested objects ({"wind": {"speed": 3}} gives `wind.speed`); and gateway
telemetry {"Device A": [{"ts": ..., "values": {...}}]}. Empty payloads, [] and {} hold nothing: no reading and no reject.
Text stays text here; the profile's `values` make numbers of it, or admission refuses it as NOT_A_NUMBER. Of duplicate keys the last counts.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import Any

from ingest.contract.rejects import RejectReason
from ingest.decoders.columns import Arrival, Columns, RefusedError, joined
from ingest.decoders.json_text import parse
from ingest.decoders.timestamps import TimeUnit, reading_time

_SCALARS = (int, float, str)


@dataclass(frozen=True, slots=True)
class JsonMapping:
    """Where a payload keeps what. Each tuple lists alternatives (dotted paths for device and time); the first one present is taken.

    `only` limits a flat object to these names (empty: all). `device_topic_level` is the topic level that names the device.
    """

    device: tuple[str, ...] = (
        "device", "device_id", "deviceId", "deviceName", "device_name", "device name", "devEui", "devEUI", "dev_eui", "sensor_id",
        "sensorId", "imei", "serial", "id",
    )  # fmt: skip
    device_topic_level: int = -1
    device_must_match_topic: bool = False
    time: tuple[str, ...] = (
        "time",
        "timestamp",
        "ts",
        "datetime",
        "observed_at",
        "dateObserved",
        "created_at",
        "createdAt",
    )
    time_unit: TimeUnit = "auto"
    name: tuple[str, ...] = ("metric", "name", "n", "key", "parameter", "sensor", "type")
    value: tuple[str, ...] = ("value", "v")
    unit: tuple[str, ...] = ("unit", "units", "u", "uom")
    entries: tuple[str, ...] = (
        "measurements",
        "metrics",
        "readings",
        "events",
        "features",
        "properties",
        "values",
        "data",
        "fields",
    )
    only: tuple[str, ...] = ()
    zone: tzinfo | None = None


@dataclass(frozen=True, slots=True)
class _Place:
    """What is known on the way down: the device, and the time found so far (raw)."""

    device: str
    time: Any
    depth: int = 0


def decode(payload: bytes, arrival: Arrival, mapping: JsonMapping, out: Columns) -> None:
    """Append the payload's readings to `out`.

    Raises:
        RefusedError: the payload as a whole cannot be read.
    """
    if not payload:
        return
    value = parse(payload)
    levels = arrival.topic.split("/")
    level = mapping.device_topic_level
    place = _Place(levels[level] if -len(levels) <= level < len(levels) else "", None)
    walk = _Walk(mapping, arrival, out)
    if isinstance(value, dict):
        telemetry = _telemetry(value, mapping)
        for device, items in telemetry.items():
            walk.items(items, replace(place, device=device))
        if not telemetry:
            walk.object(value, place)
    elif isinstance(value, list):
        walk.items(value, place)
    elif value is None:
        raise RefusedError(RejectReason.BAD_SCHEMA, "null is no reading")
    else:
        walk.add(place, "value", None, value)


def _telemetry(value: dict[str, Any], mapping: JsonMapping) -> dict[str, list[Any]]:
    """Gateway telemetry, whose keys are device names; empty when the object is something else."""
    marks = {*mapping.time, *mapping.entries}
    for name, items in value.items():
        if name in mapping.entries or not isinstance(items, list) or not items:
            return {}
        if not all(isinstance(item, dict) and marks & item.keys() for item in items):
            return {}
    return value


class _Walk:
    """One payload's way down; appends to the columns."""

    __slots__ = ("_arrival", "_mapping", "_out", "_stamps")

    def __init__(self, mapping: JsonMapping, arrival: Arrival, out: Columns) -> None:
        self._mapping = mapping
        self._arrival = arrival
        self._out = out
        self._stamps: tuple[Any, tuple[int, int]] | None = None

    def items(self, items: list[Any], place: _Place) -> None:
        """A list of readings; an item that is no object has no name and is refused, its neighbours stay."""
        nameless = 0
        for item in items:
            if isinstance(item, dict):
                self.object(item, place)
            elif isinstance(item, list):
                self.items(item, place)
            elif item is not None:
                nameless += 1
        if nameless:
            self._out.refuse(RejectReason.BAD_SCHEMA, "a value in a list has no name", nameless)

    def object(self, found: dict[str, Any], above: _Place) -> None:
        """An entry, or an object with entries inside, or a flat one."""
        mapping = self._mapping
        device_key, device = _first(found, mapping.device)
        time_key, time = _first(found, mapping.time)
        place = _Place(
            self._device(device, above) if device_key else above.device,
            above.time if time_key is None else time,
            above.depth + 1,
        )
        value_key = next((key for key in mapping.value if key in found), None)
        name_key = next((key for key in mapping.name if isinstance(found.get(key), str) and key != device_key), None)
        if value_key is not None and name_key is not None:
            self.add(place, found[name_key], self._unit(found), found[value_key])
            return
        inside = [key for key in mapping.entries if isinstance(found.get(key), dict | list)]
        for key in inside:
            child = found[key]
            if isinstance(child, dict):
                self.object(child, place)
            else:
                self.items(child, place)
        taken = {device_key, time_key, *inside}
        unit = self._unit(found) if value_key is not None else None
        if value_key is not None:
            taken |= set(mapping.unit)
        for name, value in found.items():
            if name not in taken:
                self._member(place, name, value, unit if name == value_key else None)

    def _member(self, place: _Place, name: str, value: Any, unit: str | None) -> None:
        if isinstance(value, _SCALARS):
            if not self._mapping.only or name in self._mapping.only:
                self.add(place, name, unit, value)
        elif isinstance(value, dict):
            self._nested(place, name, value)
        elif isinstance(value, list):
            named = [
                item for item in value if isinstance(item, dict) and any(key in item for key in self._mapping.value)
            ]
            self.items(list(named), place)

    def _nested(self, place: _Place, name: str, found: dict[str, Any]) -> None:
        """{"temperature": {"value": 3, "unit": "Cel"}} is one reading; deeper objects give dotted names of their numbers.

        Text below the top level is description (a title, an address), not a reading, and lists there have no names.
        """
        value_key = next((key for key in self._mapping.value if key in found), None)
        if value_key is not None:
            time_key, time = _first(found, self._mapping.time)
            here = place if time_key is None else replace(place, time=time)
            self.add(here, name, self._unit(found), found[value_key])
            return
        for key, value in found.items():
            dotted = joined(name, key)
            if isinstance(value, dict):
                self._nested(place, dotted, value)
            elif isinstance(value, int | float) and (not self._mapping.only or dotted in self._mapping.only):
                self.add(place, dotted, None, value)

    def add(self, place: _Place, name: str, unit: str | None, value: Any) -> None:
        """One reading; a null or a structure where the number should be is refused."""
        if not isinstance(value, _SCALARS):
            self._out.refuse(
                RejectReason.NOT_A_NUMBER, f"{name[:80]!r} is {'null' if value is None else 'a structure'}"
            )
            return
        try:
            time_us, flags = self._time(place.time)
        except RefusedError as refused:
            self._out.refuse(refused.reason, refused.detail)
            return
        self._out.add(place.device, name, unit, time_us, value, flags)

    def _time(self, raw: Any) -> tuple[int, int]:
        known = self._stamps
        if known is not None and known[0] is raw:
            return known[1]
        stamp = reading_time(raw, self._mapping.time_unit, self._mapping.zone, self._arrival.received_us)
        self._stamps = (raw, stamp)
        return stamp

    def _device(self, raw: Any, above: _Place) -> str:
        device = str(raw)
        if self._mapping.device_must_match_topic and above.depth == 0 and device != above.device:
            raise RefusedError(
                RejectReason.DEVICE_MISMATCH, f"the payload names {device[:80]!r}, its topic {above.device[:80]!r}"
            )
        return device

    def _unit(self, found: dict[str, Any]) -> str | None:
        unit = next((found[key] for key in self._mapping.unit if key in found), None)
        return unit if isinstance(unit, str) and unit else None


def _first(found: dict[str, Any], paths: tuple[str, ...]) -> tuple[str | None, Any]:
    """(key of the top level, value) of the first path that leads to a scalar."""
    for path in paths:
        if path in found:
            value = found[path]
            if isinstance(value, _SCALARS) and not isinstance(value, bool):
                return path, value
        elif "." in path:
            value = found
            for part in path.split("."):
                value = value.get(part) if isinstance(value, dict) else None
            if isinstance(value, _SCALARS) and not isinstance(value, bool):
                return path.split(".", 1)[0], value
    return None, None
