"""What devices and vendor names mean, worked out once: the table that admission looks everything up in. Pure.

Two tables and no third of their pairs: what a (name, unit) of a profile means does not depend on the device that sent it, nor a device's id
and partition on what it sent. So memory grows with devices (about 400 bytes each) and with names, not with series: one row per pair
took 1.1 kB a series. Both are found by dictionaries read in C, a look-up each a reading.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from ingest.contract.reading import DEVICE_MAX_BYTES, Flag
from ingest.contract.rejects import Reject, RejectReason
from ingest.contract.sensor_kinds import METRICS, conversion
from ingest.contract.topics import partition_of
from ingest.decoders.columns import NAME_LIMIT, Columns
from ingest.device_profile import DeviceProfile, MetricRule, metric_of

REASONS = tuple(RejectReason)
CODE = {reason: code for code, reason in enumerate(REASONS)}
ADMITTED, IGNORED = -1, -2
"""Verdicts beside the codes of `REASONS`."""

_PLACE = np.dtype([("verdict", "i1"), ("device", "i4")])
_KIND = np.dtype(
    [
        ("verdict", "i1"), ("metric", "i2"), ("scale", "f8"), ("offset", "f8"), ("low", "f8"), ("high", "f8"), ("flags", "u2"),
        ("keep", "?"), ("coded", "?"),
    ]
)  # fmt: skip
_Name = tuple[str | None, str | None]


class _Numbers(dict[object, int]):
    """Names to rows; a name that is not there is worked out by `learn`."""

    def __init__(self, learn: Callable[[object], int]) -> None:
        super().__init__()
        self._learn = learn

    def __missing__(self, key: object) -> int:
        return self._learn(key)


class Catalogue:
    """Rows of `places` (device ids as they come, per profile) and of `kinds` ((vendor name, unit) per profile).

    `devices`, `metrics`: canonical names; `partitions`: the partition of each of `devices`.
    """

    def __init__(self, partitions: int, max_channels: int = 1_000_000) -> None:
        """`max_channels`: places and kinds remembered."""
        self.resets = 0
        self._partition_count = partitions
        self._max_channels = max_channels
        self._begin()

    def _begin(self) -> None:
        self.devices: list[str] = []
        self.metrics: list[str] = []
        self.partitions = np.zeros(1024, np.int32)
        self.places = np.zeros(1024, _PLACE)
        self.kinds = np.zeros(128, _KIND)
        self._sizes = {"places": 0, "kinds": 0}
        self._place_of: dict[str, _Numbers] = {}
        self._kind_of: dict[str, _Numbers] = {}
        self._place_details: dict[int, str] = {}
        self._kind_details: dict[int, str] = {}
        self._rules: dict[int, MetricRule] = {}
        self._device_codes: dict[str, int] = {}
        self._metric_codes: dict[str, int] = {}

    def __len__(self) -> int:
        return sum(self._sizes.values())

    def make_room(self) -> None:
        """Start again when full, so that a million invented names cannot fill memory. Call only when no batch holds its numbers."""
        if len(self) >= self._max_channels:
            self.resets += 1
            self._begin()

    def find(self, profile: DeviceProfile, columns: Columns) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """The row of `places` and the row of `kinds` of every reading."""
        places = self._place_of.get(profile.name)
        if places is None:
            places = self._place_of[profile.name] = _Numbers(lambda device: self._learn_place(profile, str(device)))
            self._kind_of[profile.name] = _Numbers(lambda name: self._learn_kind(profile, name))  # type: ignore[arg-type]  # its keys are _Name
        kinds = self._kind_of[profile.name]
        n = len(columns)
        return (
            np.fromiter(map(places.__getitem__, columns.devices), np.int32, n),
            np.fromiter(map(kinds.__getitem__, zip(columns.metrics, columns.units, strict=True)), np.int32, n),
        )

    @staticmethod
    def unit(metric: str) -> str:
        """The canonical unit of a metric."""
        return METRICS[metric].unit

    def describe(self, place: int, kind: int) -> str:
        """Why readings of a place and kind are refused."""
        return self._place_details.get(place) or self._kind_details.get(kind, "")

    def rule(self, kind: int) -> MetricRule:
        """The rule of an admitted kind."""
        return self._rules[kind]

    def _learn_place(self, profile: DeviceProfile, raw: str) -> int:
        raw = raw[
            : NAME_LIMIT + 1
        ]  # one too long is refused by its beginning already; whole ones would fill memory (200 kB each)
        known = self._place_of[profile.name].get(raw)
        if known is not None:
            return known
        number = self._place_of[profile.name][raw] = self._next("places")
        refused = self._judge_device(raw)
        if refused is not None:
            self.places[number] = (CODE[refused.reason], 0)
            self._place_details[number] = refused.detail
            return number
        device = profile.device_id(raw)
        code = _code(self._device_codes, self.devices, device)
        if code == len(self.partitions):
            self.partitions = np.concatenate([self.partitions, np.zeros(code, np.int32)])
        self.partitions[code] = partition_of(device, self._partition_count)
        self.places[number] = (ADMITTED, code)
        return number

    def _learn_kind(self, profile: DeviceProfile, key: _Name) -> int:
        name, unit = (text and text[: NAME_LIMIT + 1] for text in key)
        known = self._kind_of[profile.name].get((name, unit))
        if known is not None:
            return known
        number = self._kind_of[profile.name][name, unit] = self._next("kinds")
        verdict = self._judge_name(profile, name, unit)
        if isinstance(verdict, Reject):
            self.kinds[number]["verdict"] = CODE[verdict.reason]
            self._kind_details[number] = verdict.detail
        elif verdict == "ignore":
            self.kinds[number]["verdict"] = IGNORED
        else:
            self._fill(number, verdict, profile, unit)
        return number

    def _next(self, table: str) -> int:
        number = self._sizes[table]
        self._sizes[table] = number + 1
        rows = getattr(self, table)
        if number == len(rows):
            setattr(self, table, np.concatenate([rows, np.zeros(number, rows.dtype)]))
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

    def _fill(self, number: int, rule: MetricRule | str, profile: DeviceProfile, unit: str | None) -> None:
        assert isinstance(rule, MetricRule)  # noqa: S101 - narrows for mypy what `_learn_kind` has just told apart
        metric = metric_of(rule)
        convert = conversion(metric, profile.metric_unit(rule, unit) or metric.unit)
        assert convert is not None  # noqa: S101 - `_judge_name` refused the others
        converted = convert.scale != 1.0 or convert.offset != 0.0
        self.kinds[number] = (
            ADMITTED,
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


def _code(codes: dict[str, int], names: list[str], name: str) -> int:
    code = codes.setdefault(name, len(names))
    if code == len(names):
        names.append(name)
    return code
