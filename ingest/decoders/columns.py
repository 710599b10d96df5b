"""What every decoder writes into: parallel columns of vendor readings, and the rejects beside them."""

from __future__ import annotations

from dataclasses import dataclass, field

from ingest.contract.rejects import Reject, RejectReason

TIME_LIMIT_US = 2**62
"""Times are clamped to +-146,000 years, so that an absurd one is refused by admission and never overflows an int64 column."""

NAME_LIMIT = 200
"""Longest metric name and unit in characters; the catalogue refuses longer ones, and keeps only the beginning of what it refused."""

VendorValue = float | int | bool | str | None


def joined(above: str, name: str) -> str:
    """The dotted name of a nested member, cut one character past the limit so that it is refused as too long.

    Whole, 65,000 members of an object under one key of 130 kB would take 8 GB: the key is repeated in every name.
    """
    return f"{above[: NAME_LIMIT + 1]}.{name[: NAME_LIMIT + 1]}"[: NAME_LIMIT + 1]


class RefusedError(Exception):
    """The payload as a whole cannot be read; the reason and one sentence travel to the dead letter."""

    def __init__(self, reason: RejectReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(slots=True)
class Columns:
    """Vendor readings as lists of equal length: names, units and values as the payload gives them, before any mapping.

    `times` are microseconds since 1970 UTC (the receive time stands in where the payload has none; `flags` says so). `odd` are the
    indexes of values that are not plain numbers (text, None) and need a look one by one. `rejects` holds (message, reject) for parts
    that could not be read; `message` is the caller's index of the payload, set in `messages` beside each reading.
    """

    devices: list[str] = field(default_factory=list)
    metrics: list[str | None] = field(default_factory=list)
    units: list[str | None] = field(default_factory=list)
    times: list[int] = field(default_factory=list)
    values: list[VendorValue] = field(default_factory=list)
    flags: list[int] = field(default_factory=list)
    messages: list[int] = field(default_factory=list)
    odd: list[int] = field(default_factory=list)
    rejects: list[tuple[int, Reject]] = field(default_factory=list)
    message: int = 0

    def __len__(self) -> int:
        return len(self.values)

    def add(  # noqa: PLR0917 - one call a reading: keywords would cost a tenth of decoding
        self, device: str, metric: str | None, unit: str | None, time_us: int, value: VendorValue, flags: int
    ) -> None:
        """Append one reading of the current message."""
        if value is None or isinstance(value, str):
            self.odd.append(len(self.values))
        self.devices.append(device)
        self.metrics.append(metric)
        self.units.append(unit)
        self.times.append(time_us)
        self.values.append(value)
        self.flags.append(flags)
        self.messages.append(self.message)

    def refuse(self, reason: RejectReason, detail: str, readings: int = 1) -> None:
        """Note that a part of the current message cannot be read."""
        self.rejects.append((self.message, Reject(reason, detail, readings)))

    def truncate(self, readings: int, rejects: int) -> None:
        """Take back what was added since the columns had these lengths: a message is decoded whole or not at all."""
        for column in (self.devices, self.metrics, self.units, self.times, self.values, self.flags, self.messages):
            del column[readings:]
        del self.rejects[rejects:]
        while self.odd and self.odd[-1] >= readings:
            self.odd.pop()


@dataclass(frozen=True, slots=True)
class Arrival:
    """What is known of a message beside its payload: its topic and when the gateway received it (microseconds, UTC)."""

    topic: str
    received_us: int
