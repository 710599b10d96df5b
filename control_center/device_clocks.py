"""What a wrong clock probably is, from how far it is off: local time sent as UTC, daylight saving, another zone, a wrong year. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal
from zoneinfo import ZoneInfo

from control_center.texts import Language, text

Kind = Literal["ahead", "behind", "unset"]
Guess = Literal["unset", "local_as_utc", "utc_as_local", "daylight_saving", "time_zone", "wrong_date", "unknown"]

_HOUR_S: Final = 3600
_QUARTER_S: Final = 900
_NEAR_S: Final = 300.0
"""A message is a few seconds on its way, a cheap clock a few minutes wrong besides."""
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class DeviceClock:
    """A device whose clock is wrong. `offset_s`: its clock less the right one, null where it is unset (1970).

    `readings`: refused or stored with the wrong time; `stored`: those of them that were stored. Times are those of receipt.
    """

    device: str
    kind: Kind
    offset_s: float | None
    readings: int
    stored: int
    first_seen: datetime
    last_seen: datetime


@dataclass(frozen=True, slots=True)
class DeviceClockItem:
    """A device whose clock is wrong, with what that looks like. `offset`: for people, e.g. "+7 h 00 min"; `text` in one language."""

    device: str
    kind: Kind
    offset_s: float | None
    offset: str | None
    guess: Guess
    text: str
    readings: int
    stored: int
    first_seen: datetime
    last_seen: datetime


def guess(offset_s: float | None, zone: ZoneInfo, at: datetime) -> Guess:
    """What an offset looks like in a city of this zone at this moment."""
    if offset_s is None:
        return "unset"
    local = at.astimezone(zone).utcoffset()
    local_s = local.total_seconds() if local is not None else 0.0
    if local_s and _near(offset_s, local_s):
        return "local_as_utc"
    if local_s and _near(offset_s, -local_s):
        return "utc_as_local"
    if _near(abs(offset_s), _HOUR_S):
        return "daylight_saving"
    if abs(offset_s) <= 14 * _HOUR_S + _NEAR_S and abs(offset_s) > _HOUR_S:
        return "time_zone" if _near(offset_s, round(offset_s / _QUARTER_S) * _QUARTER_S) else "unknown"
    return "wrong_date" if abs(offset_s) >= _DAY_S else "unknown"


def _near(offset_s: float, to_s: float) -> bool:
    return abs(offset_s - to_s) <= _NEAR_S


def shown(offset_s: float) -> str:
    """An offset for people: minutes below a day, days below three years, else years."""
    sign, size = ("+" if offset_s >= 0 else "\N{MINUS SIGN}"), abs(offset_s)
    if size >= 3 * 365 * _DAY_S:
        return f"{sign}{size / (365.2425 * _DAY_S):.1f} a"
    if size >= _DAY_S:
        return f"{sign}{size / _DAY_S:.1f} d"
    minutes = round(size / 60)
    return f"{sign}{minutes // 60} h {minutes % 60:02d} min"


def item(row: DeviceClock, zone: ZoneInfo, language: Language) -> DeviceClockItem:
    """The row with its guess."""
    looks = guess(row.offset_s, zone, row.last_seen)
    offset = None if row.offset_s is None else shown(row.offset_s)
    return DeviceClockItem(
        device=row.device, kind=row.kind, offset_s=row.offset_s, offset=offset, guess=looks,
        text=text(f"clock_{looks}", language, offset=offset), readings=row.readings, stored=row.stored,
        first_seen=row.first_seen, last_seen=row.last_seen,
    )  # fmt: skip
