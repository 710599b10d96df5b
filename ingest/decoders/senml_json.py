"""SenML in JSON (RFC 8428): a pack of records with base fields, resolved to names, times, units and values.

An error anywhere refuses the whole pack, as the RFC asks: a wrong type, two values in a record, a name with forbidden characters, an
unknown label ending in "_" (must-understand), a version above 10. Device and metric come out of the resolved name:
  urn:dev:<type>:<id>:<rest>   the device is urn:dev:<type>:<id>, the metric is <rest>
  <bn ending in : / _ . or -><n>   the device is bn without that sign, the metric is n
  a name the profile knows      the metric; the device is the topic's last level
  <device>:<known name>         split at the last `:` or `/`
  anything else                 all of it is the device, and the metric follows from the unit (profile: by_unit)
A record without a value but with a sum is the reading `<metric>.sum`. Text and data values stay text for the profile or admission.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec

from ingest.contract.reading import Flag
from ingest.contract.rejects import RejectReason
from ingest.decoders.columns import Arrival, Columns, RefusedError
from ingest.decoders.json_text import parse, parse_typed
from ingest.decoders.timestamps import clamp_us

VERSION = 10
RELATIVE_BELOW_S = 2**28
"""Times under 2**28 seconds are relative to now (RFC 8428 section 4.5.3)."""

LONGEST_NAME = 1000
"""Characters of a resolved name. A base name is repeated in every record's: 5,000 records under one of 128 kB would take 640 MB."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9\-:./_]*", re.ASCII)
_DEVICE_URN = re.compile(r"(urn:dev:[^:]+:[^:]+)(?::(.*))?", re.ASCII)
_SEPARATORS = ":/_.-"


class Record(msgspec.Struct, gc=False):
    """One record as written; msgspec refuses wrong types (a bool or text is no number)."""

    bn: str | None = None
    bt: float | None = None
    bu: str | None = None
    bv: float | None = None
    bs: float | None = None
    bver: int | None = None
    n: str | None = None
    u: str | None = None
    v: float | None = None
    vs: str | None = None
    vb: bool | None = None
    vd: str | None = None
    s: float | None = None
    t: float | None = None
    ut: float | None = None


class PlainRecord(msgspec.Struct, gc=False, forbid_unknown_fields=True):
    """What nearly all records are: a name, a number, perhaps a time and a unit. Anything else is read again as `Record`."""

    v: float
    n: str = ""
    t: float = 0.0
    u: str | None = None
    bn: str | None = None
    bt: float | None = None
    bu: str | None = None


_PACK = msgspec.json.Decoder(list[Record])
_PLAIN_PACK = msgspec.json.Decoder(list[PlainRecord])
_LABELS = frozenset(Record.__struct_fields__)


def decode(payload: bytes, arrival: Arrival, knows: Callable[[str], bool], out: Columns) -> None:
    """Append the pack's readings to `out`.

    Args:
        knows: whether a name is a metric of the profile; see the module's rules.

    Raises:
        RefusedError: the pack as a whole is wrong.
    """
    if not payload:
        return
    resolver = _Resolver(arrival, knows, out)
    try:
        plain = _PLAIN_PACK.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, MemoryError):
        plain = []
    if plain and not any(
        record.bn is not None or record.bt is not None or record.bu is not None for record in plain[1:]
    ):
        resolver.resolve_plain(plain)
        return
    if b'_"' in payload:
        _must_understand(payload)
    resolver.resolve(parse_typed(payload, _PACK))


def _must_understand(payload: bytes) -> None:
    """An unknown label ending in "_" must be understood or the pack refused. Typed decoding skips unknown labels, so look again."""
    pack = parse(payload)
    records = pack if isinstance(pack, list) else [pack]
    unknown = {label for record in records if isinstance(record, dict) for label in record if label.endswith("_")}
    if unknown:
        raise RefusedError(RejectReason.BAD_SCHEMA, f"label {min(unknown)[:40]!r} must be understood and is not")


class _Resolver:
    """Base fields carried from record to record."""

    __slots__ = ("_arrival", "_knows", "_names", "_out", "_topic_device")

    def __init__(self, arrival: Arrival, knows: Callable[[str], bool], out: Columns) -> None:
        self._arrival = arrival
        self._knows = knows
        self._out = out
        self._topic_device = arrival.topic.rsplit("/", 1)[-1]
        self._names: dict[tuple[str, str], tuple[str, str | None]] = {}

    def resolve_plain(self, pack: list[PlainRecord]) -> None:
        """A pack whose base fields stand in its first record only: whole columns at once, a third of the cost of `resolve`."""
        first, out = pack[0], self._out
        names = [self._name(first.bn or "", name) for name in [record.n for record in pack]]
        offsets = [record.t for record in pack]
        stamps = {offset: self._time(first.bt or 0.0, offset) for offset in set(offsets)}
        times = [stamps[offset] for offset in offsets]
        unit = first.bu
        out.devices += [device for device, _ in names]
        out.metrics += [metric for _, metric in names]
        out.units += [record.u or unit for record in pack]
        out.times += [time_us for time_us, _ in times]
        out.flags += [flags for _, flags in times]
        out.values += [record.v for record in pack]
        out.messages += [out.message] * len(pack)

    def resolve(self, pack: list[Record]) -> None:
        """All records in order."""
        base_name, base_time, base_unit = "", 0.0, None
        base_value: float | None = None
        base_sum: float | None = None
        for record in pack:
            if record.bver is not None and not 1 <= record.bver <= VERSION:
                raise RefusedError(
                    RejectReason.BAD_SCHEMA, f"SenML version {record.bver}; this program reads up to {VERSION}"
                )
            if record.bn is not None:
                base_name = record.bn
            if record.bt is not None:
                base_time = record.bt
            if record.bu is not None:
                base_unit = record.bu
            if record.bv is not None:
                base_value = record.bv
            if record.bs is not None:
                base_sum = record.bs
            value, suffix = _value(record, base_value, base_sum)
            if value is None:
                continue
            device, metric = self._name(base_name, record.n or "")
            if suffix:
                metric = f"{metric}{suffix}" if metric else suffix[1:]
            time_us, flags = self._time(base_time, record.t or 0.0)
            self._out.add(device, metric, record.u or base_unit, time_us, value, flags)

    def _time(self, base: float, given: float) -> tuple[int, int]:
        seconds = base + given
        if seconds >= RELATIVE_BELOW_S:
            return clamp_us(round(seconds * 1e6)) if seconds < 1e15 else clamp_us(seconds * 1e6), 0
        received = self._arrival.received_us
        if seconds == 0:
            return received, int(Flag.TIME_FROM_RECEIPT)
        return clamp_us(received + seconds * 1e6), int(Flag.TIME_FROM_RECEIPT)

    def _name(self, base: str, name: str) -> tuple[str, str | None]:
        known = self._names.get((base, name))
        if known is None:
            known = self._names[base, name] = split_name(base, name, self._topic_device, self._knows)
        return known


def _value(record: Record, base_value: float | None, base_sum: float | None) -> tuple[float | bool | str | None, str]:
    """(value, suffix of the metric); None where the record only sets bases.

    Raises:
        RefusedError: two values, or a record that names or dates a reading and has none.
    """
    others = (record.vs is not None) + (record.vb is not None) + (record.vd is not None)
    if others + (record.v is not None) > 1:
        raise RefusedError(RejectReason.BAD_SCHEMA, "a record has more than one value field")
    if record.v is not None:
        return record.v + base_value if base_value is not None else record.v, ""
    if others:
        return record.vs if record.vs is not None else record.vb if record.vb is not None else record.vd, ""
    if record.s is not None or (base_sum is not None and record.n is not None):
        return (record.s or 0.0) + (base_sum or 0.0), ".sum"
    names_a_reading = record.n is not None or record.u is not None or record.t is not None
    if base_value is not None and names_a_reading:
        return base_value, ""
    if names_a_reading:
        raise RefusedError(RejectReason.BAD_SCHEMA, f"record {record.n or ''!r} has neither value nor sum")
    return None, ""


def split_name(base: str, name: str, topic_device: str, knows: Callable[[str], bool]) -> tuple[str, str | None]:
    """(device, metric) of a resolved name; the module's docstring has the rules.

    Raises:
        RefusedError: the name is empty or has forbidden characters.
    """
    whole = base + name
    if not whole:
        raise RefusedError(RejectReason.BAD_SCHEMA, "a record has no name")
    if len(whole) > LONGEST_NAME:
        raise RefusedError(
            RejectReason.BAD_SCHEMA, f"a name of {len(whole)} characters, {whole[:40]!r}...; at most {LONGEST_NAME}"
        )
    if _NAME.fullmatch(whole) is None:
        raise RefusedError(RejectReason.BAD_SCHEMA, f"name {whole[:80]!r} has characters RFC 8428 does not allow")
    urn = _DEVICE_URN.fullmatch(whole)
    if urn is not None:
        return urn[1], urn[2] or None
    if base and name and base[-1] in _SEPARATORS:
        return base.rstrip(_SEPARATORS) or base, name
    if knows(whole):
        return topic_device, whole
    for separator in ":/":
        device, found, metric = whole.rpartition(separator)
        if found and device and knows(metric):
            return device, metric
    return whole, None
