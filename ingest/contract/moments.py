"""Moments and spans of time as every command line takes them."""

from __future__ import annotations

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
