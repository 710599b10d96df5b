"""Option types of the simulators' command line: durations and speeds."""

from __future__ import annotations

import math

import click

from ingest.contract.moments import duration_s


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
