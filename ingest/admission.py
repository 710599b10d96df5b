"""Vendor columns to canonical columns, all of a batch at once: known metric and unit, a number, a plausible one, at a plausible time.

What does not pass is refused with one reason. The meaning of a (device, name, unit) triple is worked out once and kept in a table
(`Catalogue`), so that a reading costs one dictionary look-up and its share of a few numpy operations.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ingest.contract.reading import DEVICE_MAX_BYTES, Flag
from ingest.contract.rejects import Reject, RejectReason
from ingest.contract.sensor_kinds import METRICS, conversion
from ingest.contract.topics import partition_of
from ingest.decoders.columns import Columns
from ingest.decoders.timestamps import YEAR_1971_US
from ingest.device_profile import DeviceProfile, MetricRule, metric_of

REASONS = tuple(RejectReason)
_CODE = {reason: code for code, reason in enumerate(REASONS)}
ADMITTED, IGNORED = -1, -2
"""Verdicts of a channel beside the codes of `REASONS`."""

_FALSE_TRUE = {"false": 0.0, "true": 1.0}
_CHANNEL = np.dtype(
    [
        ("verdict", "i1"), ("partition", "i4"), ("device", "i4"), ("metric", "i2"), ("scale", "f8"), ("offset", "f8"),
        ("low", "f8"), ("high", "f8"), ("flags", "u2"), ("keep", "?"), ("coded", "?"),
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Event times accepted, relative to now."""

    max_age_us: int
    max_ahead_us: int


@dataclass(slots=True)
class Admitted:
    """Canonical columns of equal length. `channels` index the catalogue; `messages` is the caller's index of the payload."""

    channels: npt.NDArray[np.int32]
    time_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    flags: npt.NDArray[np.uint16]
    messages: npt.NDArray[np.int32]
    rejects: list[tuple[int, Reject]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.time_us)


class Catalogue:
    """The persistent table of channels: one row per (profile, device, vendor name, unit) seen, with its codes, factor and range."""

    def __init__(self, partitions: int, max_channels: int = 1_000_000) -> None:
        self.devices: list[str] = []
        self.metrics: list[str] = []
        self.rows = np.zeros(1024, _CHANNEL)
        self.resets = 0
        self._partitions = partitions
        self._max_channels = max_channels
        self._details: dict[int, str] = {}
        self._rules: dict[int, MetricRule] = {}
        self._keys: dict[tuple[str, str, str | None, str | None], int] = {}
        self._device_codes: dict[str, int] = {}
        self._metric_codes: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._keys)

    def make_room(self) -> None:
        """Start again when full, so that a million invented names cannot fill memory. Call only when no batch holds channel numbers."""
        if len(self._keys) >= self._max_channels:
            self.resets += 1
            for table in (self._details, self._rules, self._keys, self._device_codes, self._metric_codes):
                table.clear()
            self.devices, self.metrics, self.rows = [], [], np.zeros(1024, _CHANNEL)

    def channels(self, profile: DeviceProfile, columns: Columns) -> npt.NDArray[np.int32]:
        """The channel of every reading."""
        table = _Channels(self, profile, self._keys.get)
        names = zip(columns.devices, columns.metrics, columns.units, strict=True)
        return np.fromiter((table.find(name) for name in names), np.int32, len(columns))

    @staticmethod
    def unit(metric: str) -> str:
        """The canonical unit of a metric."""
        return METRICS[metric].unit

    def describe(self, channel: int) -> str:
        """Why a channel is refused."""
        return self._details.get(channel, "")

    def rule(self, channel: int) -> MetricRule:
        """The rule of an admitted channel."""
        return self._rules[channel]

    def intern(self, key: tuple[str, str, str | None, str | None], profile: DeviceProfile) -> int:
        """Work out a channel seen for the first time."""
        number = len(self._keys)
        if number == len(self.rows):
            self.rows = np.concatenate([self.rows, np.zeros(number, _CHANNEL)])
        self._keys[key] = number
        _, raw_device, name, unit = key
        verdict = self._judge_device(raw_device) or self._judge_name(profile, name, unit)
        if isinstance(verdict, Reject):
            self.rows[number]["verdict"] = _CODE[verdict.reason]
            self._details[number] = verdict.detail
        elif verdict == "ignore":
            self.rows[number]["verdict"] = IGNORED
        else:
            self._fill(number, profile.device_id(raw_device), verdict, profile, unit)
        return number

    @staticmethod
    def _judge_device(device: str) -> Reject | None:
        if not device or device.isspace():
            return Reject(RejectReason.NO_DEVICE, "no device id in the payload or its topic")
        if len(device.encode("utf-8", "replace")) > DEVICE_MAX_BYTES:
            return Reject(
                RejectReason.BAD_DEVICE, f"device id longer than {DEVICE_MAX_BYTES} bytes: {device[:40]!r}..."
            )
        if not device.isprintable():
            return Reject(RejectReason.BAD_DEVICE, f"device id with control characters: {device[:80]!r}")
        return None

    @staticmethod
    def _judge_name(profile: DeviceProfile, name: str | None, unit: str | None) -> Reject | MetricRule | str:
        rule = profile.rule_of(name, unit)
        if rule is None:
            what = f"metric {name[:80]!r}" if name is not None else f"a value in {unit!r} without a name"
            return Reject(RejectReason.UNKNOWN_METRIC, f"{what} is not in profile {profile.name!r}; add it there")
        if isinstance(rule, str):
            return rule
        given = profile.metric_unit(rule, unit)
        if given is None:
            return Reject(
                RejectReason.UNKNOWN_UNIT, f"{name!r} came without a unit and profile {profile.name!r} gives none"
            )
        if conversion(metric_of(rule), given) is None:
            return Reject(
                RejectReason.UNKNOWN_UNIT,
                f"unit {given[:40]!r} of {str(name)[:80]!r} does not convert to {metric_of(rule).unit!r}",
            )
        return rule

    def _fill(self, number: int, device: str, rule: MetricRule | str, profile: DeviceProfile, unit: str | None) -> None:
        assert isinstance(rule, MetricRule)  # noqa: S101 - narrows for mypy what `intern` has just told apart
        metric = metric_of(rule)
        convert = conversion(metric, profile.metric_unit(rule, unit) or metric.unit)
        assert convert is not None  # noqa: S101 - `_judge_name` refused the others
        converted = convert.scale != 1.0 or convert.offset != 0.0
        self.rows[number] = (
            ADMITTED,
            partition_of(device, self._partitions),
            _code(self._device_codes, self.devices, device),
            _code(self._metric_codes, self.metrics, metric.name),
            rule.scale * convert.scale,
            rule.offset * convert.scale + convert.offset,
            metric.low,
            metric.high,
            int(Flag.UNIT_CONVERTED) if converted else 0,
            rule.out_of_range == "flag",
            bool(rule.sentinels or rule.values),
        )
        self._rules[number] = rule


@dataclass(slots=True)
class _Channels:
    """`Catalogue.channels` for one profile: the look-up with its miss."""

    catalogue: Catalogue
    profile: DeviceProfile
    known: Callable[[tuple[str, str, str | None, str | None]], int | None]

    def find(self, name: tuple[str, str | None, str | None]) -> int:
        key = (self.profile.name, *name)
        found = self.known(key)
        return found if found is not None else self.catalogue.intern(key, self.profile)


def _code(codes: dict[str, int], names: list[str], name: str) -> int:
    code = codes.setdefault(name, len(names))
    if code == len(names):
        names.append(name)
    return code


def admit(columns: Columns, profile: DeviceProfile, catalogue: Catalogue, window: TimeWindow, now_us: int) -> Admitted:
    """Judge a batch of vendor readings.

    Args:
        columns: n vendor readings of one profile, and the rejects their decoding gave.
        now_us: the moment event times are judged against and, for devices whose clock is unset, the time that stands in.

    Returns:
        The admitted readings, and per (message, reason) one reject that says how many readings it stands for; what the profile ignores
        (link metrics, positions) is in neither.
    """
    channels = catalogue.channels(profile, columns)
    rows = catalogue.rows[channels]
    codes = rows["verdict"].astype(np.int16)
    flags = np.array(columns.flags, np.uint16) | rows["flags"]
    values, details = _numbers(columns, channels, catalogue, codes, flags)
    with np.errstate(over="ignore", invalid="ignore"):
        values = values * rows["scale"] + rows["offset"]
        _judge_values(values, rows, codes, flags)
    time_us = np.array(columns.times, np.int64)
    _judge_times(time_us, codes, flags, window, now_us)
    admitted = codes == ADMITTED
    result = Admitted(
        channels[admitted],
        time_us[admitted],
        values[admitted],
        flags[admitted],
        np.array(columns.messages, np.int32)[admitted],
    )
    result.rejects = _merge(columns.rejects)
    if not admitted.all():
        refused = np.flatnonzero(codes >= 0)
        result.rejects = _merge(
            [*columns.rejects, *_rejects(columns, refused, codes, channels, details, catalogue, window)]
        )
    return result


def _numbers(
    columns: Columns,
    channels: npt.NDArray[np.int32],
    catalogue: Catalogue,
    codes: npt.NDArray[np.int16],
    flags: npt.NDArray[np.uint16],
) -> tuple[npt.NDArray[np.float64], dict[int, str]]:
    """Values as float64; text, vendor codes and sentinels one by one. Sets codes and flags in place; details of what it refuses."""
    details: dict[int, str] = {}
    raw = columns.values
    coded = np.flatnonzero(catalogue.rows["coded"][channels])
    special = sorted({*columns.odd, *coded.tolist()})
    plain = raw
    if special:
        plain = list(raw)
        for index in special:
            plain[index] = 0.0
    try:
        numbers = np.array(plain, np.float64)
    except OverflowError:  # an integer beyond 1e308: look at every value
        numbers, special = np.zeros(len(raw)), list(range(len(raw)))
    for index in special:
        if codes[index] != ADMITTED:
            continue
        rule = catalogue.rule(int(channels[index])) if catalogue.rows["coded"][channels[index]] else None
        number, reason, flag = _number(raw[index], rule)
        numbers[index] = number
        flags[index] |= np.uint16(flag)
        if reason is not None:
            codes[index] = _CODE[reason]
            details[index] = f"{columns.metrics[index] or 'value':.80}: {_shown(raw[index])}"
    return numbers, details


def _number(value: float | bool | str | None, rule: MetricRule | None) -> tuple[float, RejectReason | None, int]:
    """(number, reason against it, flags). Vendor codes win over numbers, so that "1" may mean "open"."""
    flag = 0
    if rule is not None and rule.values and not isinstance(value, float):
        known = rule.values.get(str(value).lower() if isinstance(value, bool) else str(value))
        if known is not None:
            return known, None, 0
    if isinstance(value, str):
        flag = int(Flag.COERCED)
        text = value.strip()
        known = _FALSE_TRUE.get(text.lower())
        if known is not None:
            return known, None, flag
        # float() also takes "1_000", other alphabets' digits and "infinity"; a device that sends those is misread, not understood
        if not text.isascii() or "_" in text:
            return 0.0, RejectReason.NOT_A_NUMBER, 0
        try:
            value = float(text)
        except ValueError:
            return 0.0, RejectReason.NOT_A_NUMBER, 0
    if value is None:
        return 0.0, RejectReason.NOT_A_NUMBER, 0
    try:
        number = float(value)
    except OverflowError:
        return 0.0, RejectReason.NOT_FINITE, 0
    if not math.isfinite(number):
        return 0.0, RejectReason.NOT_FINITE, 0
    if rule is not None and number in rule.sentinels:
        return 0.0, RejectReason.SENTINEL, 0
    return number, None, flag


def _judge_values(
    values: npt.NDArray[np.float64],
    rows: npt.NDArray[np.void],
    codes: npt.NDArray[np.int16],
    flags: npt.NDArray[np.uint16],
) -> None:
    good = codes == ADMITTED
    finite = np.isfinite(values)
    codes[good & ~finite] = _CODE[RejectReason.NOT_FINITE]
    outside = good & finite & ~((values >= rows["low"]) & (values <= rows["high"]))
    if outside.any():
        flags[outside & rows["keep"]] |= np.uint16(Flag.OUT_OF_RANGE)
        codes[outside & ~rows["keep"]] = _CODE[RejectReason.OUT_OF_RANGE]


def _judge_times(
    time_us: npt.NDArray[np.int64],
    codes: npt.NDArray[np.int16],
    flags: npt.NDArray[np.uint16],
    window: TimeWindow,
    now_us: int,
) -> None:
    unset = (flags & np.uint16(Flag.CLOCK_SUSPECT)).astype(bool) & (time_us < YEAR_1971_US)
    time_us[unset] = now_us
    good = codes == ADMITTED
    codes[good & (time_us < now_us - window.max_age_us)] = _CODE[RejectReason.TOO_OLD]
    codes[good & (time_us > now_us + window.max_ahead_us)] = _CODE[RejectReason.IN_FUTURE]


def _rejects(
    columns: Columns,
    refused: npt.NDArray[np.intp],
    codes: npt.NDArray[np.int16],
    channels: npt.NDArray[np.int32],
    details: dict[int, str],
    catalogue: Catalogue,
    window: TimeWindow,
) -> list[tuple[int, Reject]]:
    rejects = []
    for index in refused.tolist():
        reason = REASONS[codes[index]]
        detail = details.get(index) or catalogue.describe(int(channels[index]))
        if not detail:
            name = f"{columns.devices[index][:80]} {columns.metrics[index] or ''}".strip()
            detail = f"{name}: {_shown(columns.values[index])} at {columns.times[index]} us"
            if reason is RejectReason.TOO_OLD:
                detail += f", more than {window.max_age_us // 1_000_000} s ago"
        rejects.append((columns.messages[index], Reject(reason, detail)))
    return rejects


def _merge(rejects: list[tuple[int, Reject]]) -> list[tuple[int, Reject]]:
    """One reject per (message, reason): the first detail, the sum of readings."""
    merged: dict[tuple[int, RejectReason], Reject] = {}
    for message, reject in rejects:
        before = merged.get((message, reject.reason))
        merged[message, reject.reason] = (
            Reject(reject.reason, before.detail, before.readings + reject.readings) if before is not None else reject
        )
    return [(message, reject) for (message, _), reject in merged.items()]


def _shown(value: object) -> str:
    try:
        text = repr(value)
    except ValueError:  # an integer of more than 4,300 digits has no decimal text
        text = "an integer of thousands of digits"
    return text if len(text) <= 80 else text[:77] + "..."
