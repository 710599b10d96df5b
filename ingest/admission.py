"""Vendor columns to canonical columns, all of a batch at once: known metric and unit, a number, a plausible one, at a plausible time.

What does not pass is refused with one reason. The meaning of a (device, name, unit) triple is worked out once and kept in a table
(`Catalogue`), so that a reading costs one dictionary look-up and its share of a few numpy operations.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ingest.contract.reading import DEVICE_MAX_BYTES, Flag
from ingest.contract.rejects import Reject, RejectReason
from ingest.contract.sensor_kinds import METRICS, conversion
from ingest.contract.topics import partition_of
from ingest.decoders.columns import NAME_LIMIT, Columns, RefusedError, VendorValue
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
        key = _shortened(key)
        known = self._keys.get(key)
        if known is not None:
            return known
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
        if name is not None and len(name) > NAME_LIMIT:
            return Reject(
                RejectReason.UNKNOWN_METRIC, f"metric name longer than {NAME_LIMIT} characters: {name[:40]!r}..."
            )
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


def _shortened(key: tuple[str, str, str | None, str | None]) -> tuple[str, str, str | None, str | None]:
    """What is kept of a channel: a name too long is refused by its beginning already, and whole ones would fill memory (200 kB each)."""
    profile, device, name, unit = key
    most = NAME_LIMIT + 1
    return profile, device[:most], name and name[:most], unit and unit[:most]


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
    batch = _Batch(columns, profile, catalogue)
    batch.judge_values()
    batch.judge_times(window, now_us)
    admitted = batch.codes == ADMITTED
    rejects = columns.rejects if admitted.all() else [*columns.rejects, *batch.rejects(window)]
    return Admitted(
        batch.channels[admitted],
        batch.time_us[admitted],
        batch.values[admitted],
        batch.flags[admitted],
        np.array(columns.messages, np.int32)[admitted],
        _merge(rejects),
    )


class _Batch:
    """The arrays of one batch while it is judged. `codes` are the verdicts: ADMITTED, IGNORED or an index of REASONS."""

    def __init__(self, columns: Columns, profile: DeviceProfile, catalogue: Catalogue) -> None:
        self._columns = columns
        self._catalogue = catalogue
        self._details: dict[int, str] = {}
        self.channels = catalogue.channels(profile, columns)
        self._rows = catalogue.rows[self.channels]
        self.codes = self._rows["verdict"].astype(np.int16)
        self.flags = np.array(columns.flags, np.uint16) | self._rows["flags"]
        self.time_us = np.array(columns.times, np.int64)
        self.values = self._numbers()

    def _numbers(self) -> npt.NDArray[np.float64]:
        """Values as float64; only text, vendor codes and sentinels are looked at one by one."""
        raw = self._columns.values
        special = sorted({*self._columns.odd, *np.flatnonzero(self._rows["coded"]).tolist()})
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
            if self.codes[index] == ADMITTED:
                numbers[index] = self._number(index, raw[index])
        return numbers

    def _number(self, index: int, value: VendorValue) -> float:
        rule = self._catalogue.rule(int(self.channels[index]))
        try:
            number, flag = number_of(value, rule)
        except RefusedError as refused:
            self.codes[index] = _CODE[refused.reason]
            self._details[index] = f"{self._columns.metrics[index] or 'value':.80}: {refused.detail}"
            return 0.0
        self.flags[index] |= np.uint16(flag)
        return number

    def judge_values(self) -> None:
        """Into the canonical unit; finite and in the metric's range."""
        rows = self._rows
        with np.errstate(over="ignore", invalid="ignore"):
            self.values = self.values * rows["scale"] + rows["offset"]
        good = self.codes == ADMITTED
        finite = np.isfinite(self.values)
        self.codes[good & ~finite] = _CODE[RejectReason.NOT_FINITE]
        outside = good & finite & ~((self.values >= rows["low"]) & (self.values <= rows["high"]))
        if outside.any():
            self.flags[outside & rows["keep"]] |= np.uint16(Flag.OUT_OF_RANGE)
            self.codes[outside & ~rows["keep"]] = _CODE[RejectReason.OUT_OF_RANGE]

    def judge_times(self, window: TimeWindow, now_us: int) -> None:
        """An unset clock gets the receive time; then everything must lie in the window."""
        unset = (self.flags & np.uint16(Flag.CLOCK_SUSPECT)).astype(bool) & (self.time_us < YEAR_1971_US)
        self.time_us[unset] = now_us
        good = self.codes == ADMITTED
        self.codes[good & (self.time_us < now_us - window.max_age_us)] = _CODE[RejectReason.TOO_OLD]
        self.codes[good & (self.time_us > now_us + window.max_ahead_us)] = _CODE[RejectReason.IN_FUTURE]

    def rejects(self, window: TimeWindow) -> list[tuple[int, Reject]]:
        """(message, reject) of every refused reading."""
        columns = self._columns
        return [
            (columns.messages[index], Reject(REASONS[self.codes[index]], self._detail(index, window)))
            for index in np.flatnonzero(self.codes >= 0).tolist()
        ]

    def _detail(self, index: int, window: TimeWindow) -> str:
        known = self._details.get(index) or self._catalogue.describe(int(self.channels[index]))
        if known:
            return known
        columns = self._columns
        # city_view.device_clocks reads the device and its time out of this sentence
        device = self._catalogue.devices[self._rows["device"][index]].replace("\\", r"\\").replace('"', r"\"")
        name = (columns.metrics[index] or "")[:80]
        detail = f'"{device}" {name}: {_shown(columns.values[index])} at {columns.times[index]} us'
        if REASONS[self.codes[index]] is RejectReason.TOO_OLD:
            detail += f", more than {window.max_age_us // 1_000_000} s ago"
        return detail


def number_of(value: VendorValue, rule: MetricRule) -> tuple[float, int]:
    """(number, flags) of a value that is no plain number, or may be a vendor's code.

    Raises:
        RefusedError: NOT_A_NUMBER, NOT_FINITE or SENTINEL.
    """
    if rule.values and not isinstance(value, float):
        known = rule.values.get(str(value).lower() if isinstance(value, bool) else str(value))
        if known is not None:  # before all else: a vendor's "1" may mean anything
            return known, 0
    flag = 0
    if isinstance(value, str):
        value, flag = _number_in_text(value), int(Flag.COERCED)
    if value is None:
        raise RefusedError(RejectReason.NOT_A_NUMBER, "null")
    try:
        number = float(value)
    except OverflowError:
        raise RefusedError(RejectReason.NOT_FINITE, _shown(value)) from None
    if not math.isfinite(number):
        raise RefusedError(RejectReason.NOT_FINITE, _shown(value))
    if number in rule.sentinels:
        raise RefusedError(RejectReason.SENTINEL, f"{_shown(value)} is the vendor's code for no value")
    return number, flag


def _number_in_text(text: str) -> float:
    stripped = text.strip()
    known = _FALSE_TRUE.get(stripped.lower())
    if known is not None:
        return known
    # float() also takes "1_000" and other alphabets' digits; a device that sends those is misread, not understood
    if stripped.isascii() and "_" not in stripped:
        with contextlib.suppress(ValueError):
            return float(stripped)
    raise RefusedError(RejectReason.NOT_A_NUMBER, f"{_shown(text)} is text")


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
