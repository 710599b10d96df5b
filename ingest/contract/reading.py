"""A reading: one value of one metric of one device at one moment."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Flag(enum.IntFlag):
    """Bits of a reading's `flags`. Set at ingest unless said otherwise; a set bit never means the reading was dropped."""

    NONE = 0
    TIME_FROM_RECEIPT = 1  # the payload had no usable time: the gateway's receive time stands in
    COERCED = 2  # the value came as text and was converted
    LATE = 4  # set by processors: arrived after its 1-minute window had closed
    OUT_OF_RANGE = 8  # implausible but kept (only where a profile says so)
    STALE = 16  # the vendor marks the value as stale or uncertain
    CLOCK_SUSPECT = 32  # the device's clock looks unset; the receive time stands in
    STUCK = 64  # set by processors' quality step
    UNIT_CONVERTED = 128  # the value was converted into the canonical unit


FLAGGED_MASK = int(Flag.OUT_OF_RANGE | Flag.STALE | Flag.CLOCK_SUSPECT | Flag.STUCK)
"""Bits that make a reading count in a window's `flagged` column."""

DEVICE_MAX_BYTES = 200
"""Longest device id in UTF-8 bytes; a longer one is a reject, so that keys and indexes stay bounded."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One reading, for edges and tests; the hot path carries columns (see `frame.FrameColumns`), not these objects.

    `time_us` is event time in microseconds since the epoch, UTC. `value` is in the canonical unit of `metric`.
    """

    device: str
    metric: str
    time_us: int
    value: float
    flags: int = 0
