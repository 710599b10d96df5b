"""Rows of the ledger as values: whose readings, what became of them, what was set aside. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

_DAY_US = 86_400_000_000
_FIRST_DAY = date(1970, 1, 1).toordinal()
_PARTITIONS = 1 << 20  # more than any topic has: (day, partition) as one number


@dataclass(frozen=True, slots=True, order=True)
class LedgerKey:
    """One life of one gateway on one partition."""

    gateway: str
    epoch: int
    topic: str
    partition: int


@dataclass(slots=True)
class Counts:
    """What became of the readings of one ledger row in one batch. Frames seen before count in `redelivered` only."""

    stored: int = 0
    duplicate: int = 0
    dead: int = 0
    redelivered: int = 0
    last_frame_us: int = 0


@dataclass(frozen=True, slots=True)
class Letter:
    """A row of city.dead_letters. `ordinal` is negative for what a processor set aside itself (see docs/decisions/0007-ledger.md)."""

    gateway: str
    epoch: int
    partition: int
    seq: int
    ordinal: int
    received_us: int
    reason: str
    detail: str
    mqtt_topic: str
    payload: bytes
    readings: int


def stored_days(time_us: npt.NDArray[np.int64], partition: npt.NDArray[np.int32]) -> dict[tuple[date, int], int]:
    """(UTC day of event time, partition) -> readings of a batch that were stored, in order of that key."""
    keys, counts = np.unique(time_us // _DAY_US * _PARTITIONS + partition, return_counts=True)
    return {
        (date.fromordinal(_FIRST_DAY + key // _PARTITIONS), key % _PARTITIONS): count
        for key, count in zip(keys.tolist(), counts.tolist(), strict=True)
    }
