"""Plain JSON of many messages at once, for what most devices send: a flat object of numbers and text.

The payloads are parsed together as lines, and what has the same members becomes columns without a look at each reading: 0.5 us a message
instead of 5. Whatever is not surely the same as `plain_json.decode` would make of it is left to that: the caller decodes it one by one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

import msgspec
import numpy as np

from ingest.contract.reading import Flag
from ingest.decoders.columns import TIME_LIMIT_US, Columns, RefusedError
from ingest.decoders.plain_json import JsonMapping
from ingest.decoders.timestamps import YEAR_1971_US, TimeUnit, reading_time

_LINES: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_LEAST_ROWS = 4
"""Fewer of one shape cost less one by one."""
_MOST_MEMBERS, _MOST_NAME_BYTES, _MOST_SHAPES = 64, 2000, 1000
"""Invented ones take 14 MB at most (measured)."""
_MOST_TOPICS, _LONGEST_TOPIC = 100_000, 500
_PLAIN = frozenset((int, float, bool, str))
_NUMBERS = frozenset((int, float))
_NAMES = frozenset((str,))
_UNIT_BEGINS = {"s": 0.0, "ms": 1e11, "us": 1e14, "ns": 1e17}
"""Where `auto` (see `timestamps.from_epoch`) begins to read a number as this unit."""
_WHOLE_US = {"s": 1_000_000, "ms": 1000, "us": 1}


@dataclass(frozen=True, slots=True)
class _Shape:
    """What the members of an object mean: which hold device, time and unit, which are readings, which names the one reading."""

    device: str | None
    time: str | None
    unit: str | None
    readings: tuple[tuple[str, bool], ...]
    """(member, whether it has the unit)"""
    name: str | None = None


class _Devices(dict[str, str]):
    """Topics to the device they name."""

    def __init__(self, level: int) -> None:
        super().__init__()
        self._level = level

    def __missing__(self, topic: str) -> str:
        if len(self) >= _MOST_TOPICS:  # a flood of invented topics must not fill memory
            self.clear()
        levels, level = topic.split("/"), self._level
        device = levels[level] if -len(levels) <= level < len(levels) else ""
        if len(topic) <= _LONGEST_TOPIC:
            self[topic] = device
        return device


@dataclass(slots=True)
class PlainJsonRows:
    """The reader of one profile's payloads. It remembers what it has worked out of topics and of objects' members."""

    mapping: JsonMapping
    _devices: _Devices = field(init=False)
    _shapes: dict[tuple[str, ...], _Shape | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._devices = _Devices(self.mapping.device_topic_level)

    def decode(
        self,
        indexes: Sequence[int],
        topics: Sequence[str],
        payloads: Sequence[bytes],
        received_us: Sequence[int],
        out: Columns,
    ) -> list[int]:
        """Append the readings of messages to `out`.

        Args:
            indexes: the messages to look at, in the three columns.

        Returns:
            The indexes of those that must be decoded one by one.
        """
        flat, left = list(indexes), list[int]()
        text = b"\n".join(_picked(payloads, flat))
        if not _one_object_a_line(text, len(flat)):
            flat = [index for index in indexes if _is_one_object(payloads[index])]
            taken = set(flat)
            left = [index for index in indexes if index not in taken]
            text = b"\n".join(_picked(payloads, flat))
        for part, rows in _parsed(flat, text, payloads, left):
            for members, columns, of_shape in _by_members(part, rows, ordered=self._order_counts(rows[0])):
                shape = self._shape(members) if len(of_shape) >= _LEAST_ROWS else None
                if shape is None:
                    left += of_shape
                    continue
                group = _Group(self.mapping, shape, of_shape, columns)
                left += group.leave_odd()
                if not group.add_to(out, topics, received_us, self._devices):
                    left += group.indexes
        return sorted(left)

    def _order_counts(self, row: dict[str, Any]) -> bool:
        """Whether its readings come in the order of its members: of two of one metric and time the first is kept."""
        shape = self._shape(tuple(row))
        return shape is not None and len(shape.readings) > 1

    def _shape(self, members: tuple[str, ...]) -> _Shape | None:
        known = self._shapes.get(members, self)
        if not isinstance(known, PlainJsonRows):
            return known
        if len(members) > _MOST_MEMBERS or sum(map(len, members)) > _MOST_NAME_BYTES:
            return None
        if len(self._shapes) >= _MOST_SHAPES:
            self._shapes.clear()
        shape = self._shapes[members] = _shape_of(members, self.mapping)
        return shape


def _one_object_a_line(text: bytes, lines: int) -> bool:
    """Whether, if the lines are read as JSON and give `lines` objects, each line has given one.

    So it is where there are as many opening braces as lines, one at the beginning of each: an object begins with one, so that no line has
    two, and none goes on over the next line, which would be an object inside it. Two payloads can therefore never be read as one.
    """
    return text.startswith(b"{") and text.count(b"{") == lines and text.count(b"\n{") == lines - 1 == text.count(b"\n")


def _is_one_object(payload: bytes) -> bool:
    return payload.startswith(b"{") and payload.count(b"{") == 1 and b"\n" not in payload


def _parsed(
    flat: list[int], text: bytes, payloads: Sequence[bytes], left: list[int]
) -> Iterator[tuple[list[int], list[dict[str, Any]]]]:
    """(indexes, objects) of the lines; where one of them is broken, of each half that is not. Broken ones go to `left`."""
    waiting = [(flat, text)]
    while waiting:
        part, lines = waiting.pop()
        if len(part) < _LEAST_ROWS:
            left += part
            continue
        try:
            rows = _LINES.decode_lines(lines)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, MemoryError):
            rows = []
        if len(rows) == len(part) and set(map(type, rows)) == {dict}:
            yield part, rows
            continue
        middle = len(part) // 2
        halves = (part[middle:], part[:middle])
        waiting += [(half, b"\n".join(_picked(payloads, half))) for half in halves]


def _shape_of(members: tuple[str, ...], mapping: JsonMapping) -> _Shape | None:
    """As `plain_json` reads an object whose members are all plain values; None where that depends on more than their names."""
    device = next((key for key in mapping.device if key in members), None)
    time = next((key for key in mapping.time if key in members), None)
    value = next((key for key in mapping.value if key in members), None)
    unit = next((key for key in mapping.unit if key in members), None) if value is not None else None
    if device is not None and mapping.device_must_match_topic:
        return None
    named = [key for key in mapping.name if key in members and key != device]
    if value is not None and named:
        return _Shape(device, time, unit, ((value, True),), named[0])
    taken = {device, time, *(mapping.unit if value is not None else ())}
    names = [key for key in members if key not in taken and (not mapping.only or key in mapping.only)]
    return _Shape(device, time, unit, tuple((name, name == value) for name in names))


_ByMembers = Iterator[tuple[tuple[str, ...], dict[str, Sequence[Any]], list[int]]]


def _by_members(indexes: list[int], rows: list[dict[str, Any]], *, ordered: bool) -> _ByMembers:
    """(members, columns, indexes) of the objects that have the same members, where `ordered` in the same order too."""
    members = tuple(rows[0])
    if set(map(len, rows)) == {len(members)} and (not ordered or list(map(tuple, rows)).count(members) == len(rows)):
        try:
            yield members, _columns(members, rows), indexes
        except KeyError:
            pass
        else:
            return
    found: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for at, of_row in enumerate(map(tuple, rows)):
        found[of_row].append(at)
    for members, places in found.items():
        yield members, _columns(members, _picked(rows, places)), _picked(indexes, places)


def _columns(members: tuple[str, ...], rows: list[dict[str, Any]]) -> dict[str, Sequence[Any]]:
    return {member: list(map(itemgetter(member), rows)) for member in members}


@dataclass(slots=True)
class _Group:
    """Objects with the same members on their way into the columns."""

    mapping: JsonMapping
    shape: _Shape
    indexes: list[int]
    columns: dict[str, Sequence[Any]]

    def leave_odd(self) -> list[int]:
        """Take out the objects with a member that is null, a list or an object; their indexes."""
        odd: set[int] = set()
        for values in self.columns.values():
            if not _types(values) <= _PLAIN:
                odd.update(at for at, value in enumerate(values) if type(value) not in _PLAIN)
        if not odd:
            return []
        left = [self.indexes[at] for at in sorted(odd)]
        kept = [at for at in range(len(self.indexes)) if at not in odd]
        self.indexes = _picked(self.indexes, kept)
        self.columns = {member: _picked(values, kept) for member, values in self.columns.items()}
        return left

    def add_to(self, out: Columns, topics: Sequence[str], received_us: Sequence[int], of_topic: _Devices) -> bool:
        """Append all readings; False, and nothing appended, where the objects have to be looked at one by one."""
        shape, count = self.shape, len(self.indexes)
        times = self._times(received_us)
        devices = self._devices(topics, of_topic)
        if times is None or devices is None or (shape.name and not _types(self.columns[shape.name]) <= _NAMES):
            return False
        units = (
            [unit if isinstance(unit, str) and unit else None for unit in self.columns[shape.unit]]
            if shape.unit
            else None
        )
        for member, has_unit in shape.readings:
            values = self.columns[member]
            if str in _types(values):
                base = len(out)
                out.odd += [base + at for at, value in enumerate(values) if isinstance(value, str)]
            out.devices += devices
            out.metrics += self.columns[shape.name] if shape.name else [member] * count
            out.units += units if units is not None and has_unit else [None] * count
            out.times += times[0]
            out.values += values
            out.flags += times[1]
            out.messages += self.indexes
        return True

    def _devices(self, topics: Sequence[str], of_topic: _Devices) -> list[str] | None:
        if self.shape.device is None:
            return [of_topic[topic] for topic in _picked(topics, self.indexes)]
        found = self.columns[self.shape.device]
        types = _types(found)
        if bool in types:
            return None
        return list(found) if types <= _NAMES else list(map(str, found))

    def _times(self, received_us: Sequence[int]) -> tuple[list[int], list[int]] | None:
        count = len(self.indexes)
        if self.shape.time is None:
            return _picked(received_us, self.indexes), [int(Flag.TIME_FROM_RECEIPT)] * count
        found = self.columns[self.shape.time]
        types = _types(found)
        if types == {str}:
            return self._written(found, received_us)
        if len(types) != 1 or not types <= _NUMBERS:
            return None
        times = _from_epoch(found, self.mapping.time_unit, whole=int in types) if found else []
        return None if times is None else (times, [0] * count)

    def _written(self, found: Sequence[str], received_us: Sequence[int]) -> tuple[list[int], list[int]] | None:
        """Times as text."""
        unit, zone = self.mapping.time_unit, self.mapping.zone
        try:
            pairs = [
                reading_time(text, unit, zone, at)
                for text, at in zip(found, _picked(received_us, self.indexes), strict=True)
            ]
        except RefusedError:
            return None
        return [time_us for time_us, _ in pairs], [flags for _, flags in pairs]


def _from_epoch(numbers: Sequence[Any], unit: TimeUnit, *, whole: bool) -> list[int] | None:
    """Microseconds of numbers that are all of one unit and after 1970, as `timestamps.from_epoch` gives them; else None."""
    low, high = min(numbers), max(numbers)
    if not 0 < low <= high < TIME_LIMIT_US:  # false for NaN too
        return None
    found = unit
    if unit == "auto":
        found = next(name for name in ("ns", "us", "ms", "s") if low >= _UNIT_BEGINS[name])
        if found != "ns" and high >= _UNIT_BEGINS[{"s": "ms", "ms": "us", "us": "ns"}[found]]:
            return None
    factor = _WHOLE_US.get(found)
    if factor is None or low * factor < YEAR_1971_US or high * factor >= TIME_LIMIT_US:
        return None
    if whole:
        return (np.array(numbers, np.int64) * factor).tolist() if factor != 1 else list(numbers)
    return [int(time_us) for time_us in np.rint(np.array(numbers, np.float64) * factor).tolist()]


def _types(values: Iterable[Any]) -> set[type]:
    return set(map(type, values))


def _picked(column: Sequence[Any], places: Sequence[int]) -> list[Any]:
    """The values at these places, which are all of them where there are as many."""
    if len(places) == len(column):
        return list(column)
    return list(map(column.__getitem__, places))
