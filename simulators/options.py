"""Option types of the command line: durations, moments, speeds."""

from __future__ import annotations

import math
import re
import time
from datetime import datetime

import click

_UNITS_S = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(s|min|m|h|d)?")


def duration_s(text: str) -> float:
    """Seconds of "90s", "15m", "24h", "7d" or "90".

    Raises:
        ValueError: it is no duration.
    """
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is no duration; write e.g. 90s, 15m, 24h or 7d")
    return float(match[1]) * _UNITS_S[match[2] or "s"]


class Duration(click.ParamType[float]):
    """A span of time as seconds (float)."""

    name = "duration"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Seconds, or a usage error."""
        if isinstance(value, (int, float)):
            return float(value)
        try:
            return duration_s(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)


class Moment(click.ParamType[int]):
    """A moment as Unix seconds (int): "now", "now-24h", or ISO 8601 with a zone."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Unix seconds, or a usage error."""
        if isinstance(value, int):
            return value
        text = str(value).strip()
        now_s = int(time.time())
        try:
            if text == "now":
                return now_s
            if text.startswith("now-"):
                return now_s - int(duration_s(text[4:]))
            moment = datetime.fromisoformat(text)
        except ValueError:
            self.fail(f"{text!r} is no time; write now, now-24h, or e.g. 2026-05-01T00:00:00Z", param, ctx)
        if moment.tzinfo is None:
            self.fail(f"{text!r} has no zone; add Z for UTC or an offset such as +07:00", param, ctx)
        return int(moment.timestamp())


class Speed(click.ParamType[float]):
    """How many seconds of event time pass in one of the wall clock; "max" is infinity."""

    name = "speed"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """The factor, or a usage error."""
        if isinstance(value, float):
            return value
        text = str(value).strip()
        if text == "max":
            return math.inf
        try:
            speed = float(text.removesuffix("x"))
        except ValueError:
            speed = 0.0
        if not 0 < speed < 1e7:
            self.fail(f"{value!r} is no speed; write a number such as 1 or 480, or max", param, ctx)
        return speed
