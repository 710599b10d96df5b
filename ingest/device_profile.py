"""Device profiles: TOML files that say what a vendor's names, units and codes mean. A new vendor is a file, never code."""

from __future__ import annotations

import fnmatch
import re
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta, timezone, tzinfo
from functools import cached_property
from pathlib import Path
from typing import Generic, Literal, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ingest.contract.sensor_kinds import METRICS, Metric, conversion
from ingest.contract.user_error import UserError
from ingest.decoders.plain_json import JsonMapping
from ingest.decoders.timestamps import TimeUnit

T = TypeVar("T")

BUILT_IN = Path(__file__).parent / "profiles"
_DEFAULT = JsonMapping()


class MetricRule(BaseModel):
    """What one vendor name means: canonical = conversion(unit) of (value * scale + offset)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str
    unit: str | None = None
    override_unit: bool = False  # the vendor's inline unit is known to be wrong: use `unit` instead
    scale: float = 1.0
    offset: float = 0.0
    sentinels: tuple[float, ...] = ()
    values: Mapping[str, float] = Field(default_factory=dict)
    out_of_range: Literal["reject", "flag"] = "reject"

    @model_validator(mode="after")
    def _makes_sense(self) -> MetricRule:
        metric = METRICS.get(self.metric)
        if metric is None:
            raise ValueError(f"metric {self.metric!r} is not in sensor_kinds")
        if self.unit is not None and conversion(metric, self.unit) is None:
            raise ValueError(
                f"unit {self.unit!r} does not convert to {metric.unit!r} of {self.metric}; give it with `scale`"
            )
        if self.scale == 0:
            raise ValueError("scale is 0")
        if self.override_unit and self.unit is None:
            raise ValueError("override_unit needs unit")
        return self


class JsonSection(BaseModel):
    """[json]: where a plain JSON payload keeps its device, time and readings. Lists are alternatives; the first one present is taken."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: tuple[str, ...] = _DEFAULT.device
    device_topic_level: int = -1
    device_must_match_topic: bool = False
    time: tuple[str, ...] = _DEFAULT.time
    time_unit: TimeUnit = "auto"
    name: tuple[str, ...] = _DEFAULT.name
    value: tuple[str, ...] = _DEFAULT.value
    unit: tuple[str, ...] = _DEFAULT.unit
    entries: tuple[str, ...] = _DEFAULT.entries
    only: tuple[str, ...] = ()


class DeviceProfile(BaseModel):
    """One profile. Names match exactly first, then without regard to case, then by pattern (`*`), then by their last dotted part."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    description: str = ""
    canonical_names: bool = False  # a name of sensor_kinds means itself
    canonical_units: bool = False  # where neither payload nor rule has a unit, the metric's own is meant
    last_part: bool = False  # `air.temperature` may be found as `temperature`
    strip_device_prefix: tuple[str, ...] = ()
    zone: str | None = None
    ignore: tuple[str, ...] = ()
    metrics: Mapping[str, MetricRule] = Field(default_factory=dict)
    by_unit: Mapping[str, str] = Field(
        default_factory=dict
    )  # readings without a name: unit -> canonical metric, or "ignore"
    json_section: JsonSection = Field(default_factory=JsonSection, alias="json")

    @field_validator("zone")
    @classmethod
    def _zone_exists(cls, zone: str | None) -> str | None:
        if zone is not None:
            parse_zone(zone)
        return zone

    @model_validator(mode="after")
    def _units_are_known(self) -> DeviceProfile:
        unknown = [
            f"{unit} -> {metric}"
            for unit, metric in self.by_unit.items()
            if metric not in METRICS and metric != "ignore"
        ]
        if unknown:
            raise ValueError(f"by_unit names unknown metrics: {', '.join(unknown)}")
        return self

    @cached_property
    def tz(self) -> tzinfo | None:
        """The zone of times that have none."""
        return parse_zone(self.zone) if self.zone else None

    @cached_property
    def json_mapping(self) -> JsonMapping:
        """[json] as the decoder takes it."""
        section = self.json_section.model_dump()
        return JsonMapping(**section, zone=self.tz)

    @cached_property
    def _ignored(self) -> _Names[bool]:
        return _Names(dict.fromkeys(self.ignore, True))

    @cached_property
    def _rules(self) -> _Names[MetricRule]:
        return _Names(self.metrics)

    def rule_of(self, name: str | None, unit: str | None) -> MetricRule | Literal["ignore"] | None:
        """What a vendor name means; None where nothing says so."""
        if name is None:
            metric = self.by_unit.get(unit or "")
            return "ignore" if metric == "ignore" else MetricRule(metric=metric) if metric else None
        for candidate in (name, name.rsplit(".", 1)[-1]) if self.last_part and "." in name else (name,):
            rule = self._rules.find(candidate)
            if rule is not None:
                return rule
            if self._ignored.find(candidate):
                return "ignore"
            if self.canonical_names and candidate in METRICS:
                return MetricRule(metric=candidate)
        return None

    def knows(self, name: str) -> bool:
        """Whether a name is a metric here: the SenML decoder asks where a name without a base ends."""
        return self.rule_of(name, None) is not None

    def metric_unit(self, rule: MetricRule, given: str | None) -> str | None:
        """The unit of a value: the payload's, else the rule's, else (where the profile says so) the canonical one."""
        if rule.override_unit:
            return rule.unit
        return given or rule.unit or (METRICS[rule.metric].unit if self.canonical_units else None)

    def device_id(self, device: str) -> str:
        """The device id without the profile's prefix."""
        for prefix in self.strip_device_prefix:
            if device.startswith(prefix) and len(device) > len(prefix):
                return device[len(prefix) :]
        return device


def metric_of(rule: MetricRule) -> Metric:
    """The catalogue entry a rule points to."""
    return METRICS[rule.metric]


def parse_zone(zone: str) -> tzinfo:
    """An IANA name ("Asia/Ho_Chi_Minh"), "UTC", or a fixed offset ("+07:00").

    Raises:
        ValueError: no such zone.
    """
    if zone == "UTC":
        return UTC
    fixed = re.fullmatch(r"([+-])(\d{2}):(\d{2})", zone)
    if fixed:
        return timezone(timedelta(hours=int(fixed[2]), minutes=int(fixed[3])) * (-1 if fixed[1] == "-" else 1))
    try:
        return ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"zone {zone!r} is no IANA time zone and no offset like +07:00") from None


class _Names(Generic[T]):
    """Names to values: exact, then case-insensitive, then patterns in the order of the file."""

    def __init__(self, named: Mapping[str, T]) -> None:
        self._exact = dict(named)
        self._folded = {name.casefold(): value for name, value in reversed(list(named.items()))}
        patterned = [(name.casefold(), value) for name, value in named.items() if "*" in name]
        self._pattern_values = [value for _, value in patterned]
        # one expression for all: tried one by one, a payload of 20,000 invented names took a second
        self._pattern = re.compile("|".join(f"({fnmatch.translate(name)})" for name, _ in patterned) or "(?!)")

    def find(self, name: str) -> T | None:
        """The value of a name, or None."""
        found = self._exact.get(name)
        if found is not None:
            return found
        folded = name.casefold()
        found = self._folded.get(folded)
        if found is not None:
            return found
        match = self._pattern.match(folded)
        return self._pattern_values[match.lastindex - 1] if match is not None and match.lastindex else None


def load_profiles(names: Sequence[str], directory: Path | None = None) -> dict[str, DeviceProfile]:
    """The named profiles, from `directory` or, where it has no such file, from the built-in ones.

    Raises:
        UserError: a file is missing or wrong; all mistakes of all files in one message.
    """
    loaded: dict[str, DeviceProfile] = {}
    problems: list[str] = []
    for name in dict.fromkeys(names):
        candidates = [folder / f"{name}.toml" for folder in (directory, BUILT_IN) if folder is not None]
        path = next((candidate for candidate in candidates if candidate.is_file()), None)
        if path is None:
            problems.append(f"profile {name!r}: no file {' or '.join(map(str, candidates))}")
            continue
        try:
            loaded[name] = read_profile(path)
        except UserError as error:
            problems.append(str(error))
    if problems:
        raise UserError("wrong device profiles, nothing was started:\n  " + "\n  ".join(problems))
    return loaded


def read_profile(path: Path) -> DeviceProfile:
    """One profile file.

    Raises:
        UserError: all its mistakes, each with its place in the file.
    """
    try:
        return DeviceProfile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{path.name}: {error}") from None
    except ValidationError as error:
        places = [
            f"{path.name}: {'.'.join(map(str, item['loc'])) or 'file'}: {item['msg'].removeprefix('Value error, ')}"
            for item in error.errors(include_url=False, include_input=False)
        ]
        raise UserError("\n  ".join(places)) from None
