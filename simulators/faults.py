"""What goes wrong in a real city, in seeded shares: a function of (seed, device, moment), so the same faults come back in every run.

dropout, stuck, spike and clock skew change what a device says; late and duplicate change how it is delivered; malformed payloads are what
the gateway must refuse with a reason. The ledger knows of each what must become of it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from simulators.noise import Floats, Ints, Noise

Mask = npt.NDArray[np.bool_]
DROPOUT_SLOT_S = 1800
STUCK_SLOT_S = 7200
_DAY_S = 86_400
FUTURE_S = 366 * _DAY_S
"""A clock set to the wrong year. A few hours would not do: in a replayed day they are not yet the future, and are good readings."""


class Malformed(enum.IntEnum):
    """How a payload is broken. `NONE` is a sound one."""

    NONE = 0
    TRUNCATED = 1  # cut short: no format's syntax
    NOT_UTF8 = 2  # begins with bytes that are no UTF-8
    TEXT_VALUE = 3  # the first value is "NoSensor"
    OUT_OF_RANGE = 4  # the first value is far beyond any instrument
    IN_FUTURE = 5  # the clock is a year ahead


@dataclass(frozen=True, slots=True)
class Shares:
    """How often each fault happens, 0 to 1: dropout of half-hours, stuck of two-hour stretches, skew of device days, others of messages."""

    dropout: float = 0.002
    stuck: float = 0.002
    spike: float = 0.0002
    skew: float = 0.01
    late: float = 0.004
    duplicate: float = 0.003
    malformed: float = 0.001

    def scaled(self, factor: float) -> Shares:
        """All shares times `factor`, none above 1/2; 0 switches faults off."""
        return Shares(**{field.name: min(0.5, getattr(self, field.name) * factor) for field in fields(self)})


@dataclass(frozen=True, slots=True)
class Faults:
    """The faults of one city; `key` are the devices' keys, `time_s` Unix times, all of one shape."""

    noise: Noise
    shares: Shares

    def silent(self, key: Ints, time_s: Floats) -> Mask:
        """Messages that a device fails to send."""
        return self.noise.uniform("dropout", key, _slot(time_s, DROPOUT_SLOT_S)) < self.shares.dropout

    def frozen_time_s(self, key: Ints, time_s: Floats) -> Floats:
        """The moment whose value the device reports: its own time, or the start of the stretch in which it is stuck."""
        slot = _slot(time_s, STUCK_SLOT_S)
        stuck = self.noise.uniform("stuck", key, slot) < self.shares.stuck
        return np.where(stuck, slot * float(STUCK_SLOT_S), time_s)

    def spiking(self, key: Ints, time_s: Floats) -> Mask:
        """Readings that jump."""
        return self.noise.uniform("spike", key, _slot(time_s, 1)) < self.shares.spike

    def skew_s(self, key: Ints, time_s: Floats) -> Ints:
        """Seconds by which the device's clock is wrong that day; under half a minute, so that its readings stay apart."""
        day = _slot(time_s, _DAY_S)
        wrong = self.noise.uniform("skew", key, day) < self.shares.skew
        return np.where(wrong, np.round(40 * self.noise.uniform("skew by", key, day) - 20), 0).astype(np.int64)

    def delay_s(self, key: Ints, time_s: Floats) -> Ints:
        """Seconds by which a message comes late: 0, or 2 to 20 minutes."""
        tick = _slot(time_s, 1)
        late = self.noise.uniform("late", key, tick) < self.shares.late
        return np.where(late, 120 + 1080 * self.noise.uniform("late by", key, tick), 0).astype(np.int64)

    def repeated_after_s(self, key: Ints, time_s: Floats) -> Ints:
        """Seconds after which the message is sent once more; 0 for never."""
        tick = _slot(time_s, 1)
        again = self.noise.uniform("duplicate", key, tick) < self.shares.duplicate
        return np.where(again, 1 + 4 * self.noise.uniform("again after", key, tick), 0).astype(np.int64)

    def malformed(self, key: Ints, time_s: Floats) -> npt.NDArray[np.int64]:
        """How each payload is broken, as codes of `Malformed`."""
        tick = _slot(time_s, 1)
        broken = self.noise.uniform("malformed", key, tick) < self.shares.malformed
        kinds = len(Malformed) - 1
        return np.where(broken, 1 + np.floor(kinds * self.noise.uniform("malformed how", key, tick)), 0).astype(
            np.int64
        )


def _slot(time_s: Floats, size_s: int) -> Ints:
    return np.floor(time_s / size_s).astype(np.int64)
