"""Times as devices write them: epoch seconds, ms, us, ns (number or text), ISO 8601 and its usual misspellings, to microseconds UTC."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, Literal

from ingest.contract.reading import Flag
from ingest.contract.rejects import RejectReason
from ingest.decoders.columns import TIME_LIMIT_US, RefusedError

TimeUnit = Literal["s", "ms", "us", "ns", "auto"]
YEAR_1971_US = 365 * 86_400 * 1_000_000

_PER_UNIT_US = {"s": 1_000_000.0, "ms": 1_000.0, "us": 1.0, "ns": 0.001}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NUMBER = re.compile(r"[+-]?[0-9]{1,19}(\.[0-9]{1,12})?", re.ASCII)
_ISO = re.compile(
    r"(?P<y>\d{4})[-./](?P<mo>\d{2})[-./](?P<d>\d{2})[Tt _](?P<h>\d{2}):?(?P<mi>\d{2})(:?(?P<s>\d{2})([.,](?P<f>\d{1,18}))?)?"
    r"\s*(?P<zone>[Zz]|UTC|[+-]\d{2}:?(\d{2})?)?",
    re.ASCII,
)


def clamp_us(time_us: float) -> int:
    """To a whole number of microseconds inside the int64 column."""
    if not -TIME_LIMIT_US < time_us < TIME_LIMIT_US:
        return TIME_LIMIT_US if time_us > 0 else -TIME_LIMIT_US
    return int(time_us)


def from_epoch(number: float, unit: TimeUnit) -> int:
    """Epoch number to microseconds. `auto` tells the unit by size: each covers 1970 to 2286 in its own three decades.

    Seconds up to 1e11 (year 5138), then ms, us, ns: the ranges overlap nowhere after 1973, and an earlier time is refused as too old.
    """
    if isinstance(number, int) and abs(number) >= TIME_LIMIT_US * 1000:
        return clamp_us(number)  # before any float is made of it: an integer of 310 digits has none
    if isinstance(number, int) and unit in ("s", "ms", "us"):
        return clamp_us(number * int(_PER_UNIT_US[unit]))
    if not math.isfinite(number):
        raise RefusedError(RejectReason.BAD_TIME, "the time is not finite")
    if unit == "auto":
        size = abs(number)
        unit = "s" if size < 1e11 else "ms" if size < 1e14 else "us" if size < 1e17 else "ns"
        return from_epoch(number, unit)
    if isinstance(number, int):
        return clamp_us(number // 1000)
    # round: 1320078429.1 s is 1320078429099999.9 us in binary
    return clamp_us(round(number * _PER_UNIT_US[unit])) if abs(number) < 1e30 else clamp_us(number)


def from_text(text: str, unit: TimeUnit, zone: tzinfo | None) -> int | None:
    """A time written as text; None where it cannot be read as any time.

    Raises:
        RefusedError: BAD_TIME, when the time has no zone and the profile gives none: UTC is never assumed silently.
    """
    stripped = text.strip()
    if _NUMBER.fullmatch(stripped):
        return from_epoch(float(stripped) if "." in stripped else int(stripped), unit)
    match = _ISO.fullmatch(stripped)
    if match is None:
        return None
    try:
        moment = _moment(match)
    except ValueError:
        return None
    if match["zone"]:
        offset = _offset(match["zone"])
        if offset is None:
            return None
        moment = moment.replace(tzinfo=offset)
    elif zone is not None:
        moment = moment.replace(tzinfo=zone)
    else:
        raise RefusedError(RejectReason.BAD_TIME, f"the time {stripped[:40]!r} has no zone; set `zone` in the profile")
    whole = (moment - _EPOCH) // timedelta(microseconds=1)
    return whole + int((match["f"] or "0")[:6].ljust(6, "0"))


def _moment(match: re.Match[str]) -> datetime:
    second, hour = int(match["s"] or 0), int(match["h"])
    leap, midnight = second == 60, hour == 24 and match["mi"] == "00" and second == 0
    clock = (0 if midnight else hour, int(match["mi"]), 59 if leap else second)
    moment = datetime(int(match["y"]), int(match["mo"]), int(match["d"]), *clock)  # noqa: DTZ001 - the caller gives the zone or refuses
    try:
        return moment + timedelta(days=int(midnight), seconds=int(leap))
    except OverflowError:
        raise ValueError("after the year 9999") from None


def _offset(zone: str) -> timezone | None:
    if zone in ("Z", "z", "UTC"):
        return UTC
    digits = zone[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:] or 0)
    if hours > 18 or minutes > 59:
        return None
    return timezone(timedelta(hours=hours, minutes=minutes) * (-1 if zone[0] == "-" else 1))


def reading_time(raw: Any, unit: TimeUnit, zone: tzinfo | None, received_us: int) -> tuple[int, int]:
    """(time in us, flags) of a raw time field.

    None: the receive time stands in. A time that cannot be read: the receive time stands in and the clock is suspect, because the value
    itself is good. A zone-less time without a zone in the profile is refused (BAD_TIME): guessing would shift it by hours.
    """
    if raw is None or raw == "":
        return received_us, int(Flag.TIME_FROM_RECEIPT)
    time_us: int | None = None
    if isinstance(raw, str):
        time_us = from_text(raw, unit, zone)
    elif isinstance(raw, int | float) and not isinstance(raw, bool):
        time_us = from_epoch(raw, unit)
    if time_us is None:
        return received_us, int(Flag.TIME_FROM_RECEIPT | Flag.CLOCK_SUSPECT)
    if 0 <= time_us < YEAR_1971_US:
        return time_us, int(Flag.CLOCK_SUSPECT)
    return time_us, 0
