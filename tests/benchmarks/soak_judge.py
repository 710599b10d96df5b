"""Whether what a soak sampled is flat: pure arithmetic on its samples.

A processor's memory is a sawtooth: open minutes, and the rows of the quarter hour that is not over. A line through all samples of half
an hour takes the phase of the teeth for a slope (90 MiB an hour where none is), so it goes through the medians of whole quarter hours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

OURS = ("gateway", "processor", "control center")
OURS_MIB_H = 20.0
"""A process of ours that gains more in an hour would gain half a GiB a day."""
SERVERS_MIB_H = 150.0
"""Servers fill caches of a fixed size (PostgreSQL's shared buffers, Kafka's heap) for hours; more than this is no cache."""
TOOTH_S = 900.0
NOISE_MIB = 8.0
"""What a process may gain in the second half whatever the slope: a short run makes a large slope of one chunk of the allocator."""
LAG_S = 5.0
"""Seconds of load that may be sent and not committed at the end."""


@dataclass(frozen=True)
class Trend:
    """Memory of one part in MiB: after the start, at the middle and at the end, its largest, and its slope over the second half."""

    part: str
    first: float
    middle: float
    last: float
    most: float
    slope_mib_h: float
    gained: float
    allowed_mib_h: float

    @property
    def flat(self) -> bool:
        """Whether the slope is within what is allowed, or the gain within noise."""
        return self.slope_mib_h <= self.allowed_mib_h or self.gained <= NOISE_MIB


def trend(part: str, at_s: Sequence[float], mib: Sequence[float]) -> Trend:
    """Least-squares slope over the second half of the time through the median of each quarter hour, of each half of it where it is shorter.

    Raises:
        ValueError: fewer than four samples in the second half.
    """
    times, sizes = np.asarray(at_s, float), np.asarray(mib, float)
    half = times >= (times[0] + times[-1]) / 2
    if half.sum() < 4:
        raise ValueError(f"{part}: {half.sum()} samples in the second half tell nothing, at least 4 are needed")
    times, later = times[half], sizes[half]
    span_s = float(times[-1] - times[0])
    bins = max(2, round(span_s / TOOTH_S))
    of = np.minimum(((times - times[0]) / span_s * bins).astype(np.intp), bins - 1)
    middles = [float(np.median(later[of == number])) for number in range(bins)]
    slope_mib_h = float(np.polyfit((np.arange(bins) + 0.5) * span_s / bins, middles, 1)[0]) * 3600
    allowed = OURS_MIB_H if part in OURS else SERVERS_MIB_H
    return Trend(
        part, float(np.median(sizes[:4])), float(np.median(later[:4])), float(np.median(later[-4:])), float(sizes.max()),
        slope_mib_h, slope_mib_h * span_s / 3600, allowed,
    )  # fmt: skip


@dataclass(frozen=True)
class Balance:
    """The books after the last reading had its place. `published`: readings the broker acknowledged; `rows`: left plus dropped."""

    published: int
    stored: int
    duplicate: int
    dead_letter: int
    refused: int
    unaccounted: int
    in_flight: int
    rows_left: int
    rows_dropped: int
    audit_missing: int
    audit_doubled: int

    @property
    def lost(self) -> int:
        """Acknowledged by the broker and nowhere to be found."""
        return self.published - self.stored - self.duplicate - self.dead_letter - self.refused

    @property
    def doubled(self) -> int:
        """Rows more than there were readings."""
        return max(0, self.rows_left + self.rows_dropped - self.published)

    @property
    def troubles(self) -> list[str]:
        """What does not add up, a sentence each."""
        wrong: Mapping[str, int] = {
            "readings lost": self.lost,
            "readings doubled": self.doubled,
            "readings unaccounted for": self.unaccounted,
            "readings still in flight": self.in_flight,
            "rows between the ledger's stored and the table's": self.stored - self.rows_left - self.rows_dropped,
            "rows missing by the audit": self.audit_missing,
            "rows doubled by the audit": self.audit_doubled,
            "readings refused or dead letters": self.refused + self.dead_letter,
        }
        return [f"{count:,} {what}" for what, count in wrong.items() if count]


def troubles(trends: Sequence[Trend], balance: Balance, final_lag_s: float) -> list[str]:
    """Why the soak is not flat; empty when it is."""
    found = [
        f"{t.part} gains {t.slope_mib_h:.1f} MiB an hour, allowed are {t.allowed_mib_h:.0f}"
        for t in trends
        if not t.flat
    ]
    if final_lag_s > LAG_S:
        found.append(f"{final_lag_s:.1f} s of load were not committed when it ended, allowed are {LAG_S:.0f}")
    return found + balance.troubles
