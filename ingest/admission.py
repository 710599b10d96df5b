"""Vendor columns to canonical columns, all of a batch at once: known metric and unit, a number, a plausible one, at a plausible time.

What does not pass is refused with one reason. What devices and names mean is worked out once and kept in tables (`Catalogue`), so that a
reading costs two dictionary look-ups and its share of a few numpy operations.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from ingest.catalogue import ADMITTED, CODE, REASONS, Catalogue
from ingest.contract.reading import Flag
from ingest.contract.rejects import Reject, RejectReason
from ingest.decoders.columns import Columns, RefusedError, VendorValue
from ingest.decoders.timestamps import YEAR_1971_US
from ingest.device_profile import DeviceProfile, MetricRule

_FALSE_TRUE = {"false": 0.0, "true": 1.0}


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """Event times accepted, relative to now."""

    max_age_us: int
    max_ahead_us: int


@dataclass(slots=True)
class Admitted:
    """Canonical columns of equal length. `devices`, `metrics` index the catalogue's; `messages` is the caller's index of the payload."""

    devices: npt.NDArray[np.int32]
    metrics: npt.NDArray[np.int16]
    time_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    flags: npt.NDArray[np.uint16]
    messages: npt.NDArray[np.int32]
    rejects: list[tuple[int, Reject]] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.time_us)


def admit(
    columns: Columns,
    profile: DeviceProfile,
    catalogue: Catalogue,
    window: TimeWindow,
    now_us: int,
    *,
    received_us: Sequence[int] = (),
) -> Admitted:
    """Judge a batch of vendor readings.

    Args:
        columns: n vendor readings of one profile, and the rejects their decoding gave.
        now_us: the moment event times are judged against.
        received_us: of each message, its receipt, which stands in where a device's clock is unset; empty: `now_us` does.

    Returns:
        The admitted readings, and per (message, reason) one reject that says how many readings it stands for; what the profile ignores
        (link metrics, positions) is in neither.
    """
    batch = _Batch(columns, profile, catalogue)
    batch.judge_values()
    batch.judge_times(window, now_us, received_us)
    admitted: npt.NDArray[np.bool_] | npt.NDArray[np.intp] = batch.codes == ADMITTED
    rejects = columns.rejects if admitted.all() else [*columns.rejects, *batch.rejects(window)]
    messages = np.array(columns.messages, np.int32)
    if (
        messages[1:] < messages[:-1]
    ).any():  # decoded by kind: the first of two readings of a device is the one that came first
        order = np.argsort(messages, kind="stable")
        admitted = order[admitted[order]]
    return Admitted(
        batch.devices[admitted],
        batch.metrics[admitted],
        batch.time_us[admitted],
        batch.values[admitted],
        batch.flags[admitted],
        messages[admitted],
        _merge(rejects),
    )


class _Batch:
    """The arrays of one batch while it is judged. `codes` are the verdicts: ADMITTED, IGNORED or an index of REASONS."""

    def __init__(self, columns: Columns, profile: DeviceProfile, catalogue: Catalogue) -> None:
        self._columns = columns
        self._catalogue = catalogue
        self._details: dict[int, str] = {}
        self._places, self._kinds = catalogue.find(profile, columns)
        place, self._rows = catalogue.places[self._places], catalogue.kinds[self._kinds]
        self.devices, self.metrics = place["device"], self._rows["metric"]
        self.codes = np.where(place["verdict"] >= 0, place["verdict"], self._rows["verdict"]).astype(np.int16)
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
        rule = self._catalogue.rule(int(self._kinds[index]))
        try:
            number, flag = number_of(value, rule)
        except RefusedError as refused:
            self.codes[index] = CODE[refused.reason]
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
        self.codes[good & ~finite] = CODE[RejectReason.NOT_FINITE]
        outside = good & finite & ~((self.values >= rows["low"]) & (self.values <= rows["high"]))
        if outside.any():
            self.flags[outside & rows["keep"]] |= np.uint16(Flag.OUT_OF_RANGE)
            self.codes[outside & ~rows["keep"]] = CODE[RejectReason.OUT_OF_RANGE]

    def judge_times(self, window: TimeWindow, now_us: int, received_us: Sequence[int]) -> None:
        """An unset clock gets the receive time; then everything must lie in the window."""
        unset = (self.flags & np.uint16(Flag.CLOCK_SUSPECT)).astype(bool) & (self.time_us < YEAR_1971_US)
        if received_us and unset.any():
            # not one time for all: of two readings of a device the second would be a duplicate
            self.time_us[unset] = np.array(received_us, np.int64)[np.array(self._columns.messages, np.intp)[unset]]
        else:
            self.time_us[unset] = now_us
        good = self.codes == ADMITTED
        self.codes[good & (self.time_us < now_us - window.max_age_us)] = CODE[RejectReason.TOO_OLD]
        self.codes[good & (self.time_us > now_us + window.max_ahead_us)] = CODE[RejectReason.IN_FUTURE]

    def rejects(self, window: TimeWindow) -> list[tuple[int, Reject]]:
        """(message, reject) of every refused reading."""
        columns = self._columns
        return [
            (columns.messages[index], Reject(REASONS[self.codes[index]], self._detail(index, window)))
            for index in np.flatnonzero(self.codes >= 0).tolist()
        ]

    def _detail(self, index: int, window: TimeWindow) -> str:
        known = self._details.get(index) or self._catalogue.describe(int(self._places[index]), int(self._kinds[index]))
        if known:
            return known
        columns = self._columns
        # city_view.device_clocks reads the device and its time out of this sentence
        device = self._catalogue.devices[self.devices[index]].replace("\\", r"\\").replace('"', r"\"")
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
