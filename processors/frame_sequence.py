"""Which of a gateway's numbered frames came: gaps appear, are filled, and a frame seen before is told apart. Pure.

The gateway numbers the frames of one (epoch, topic, partition) from 0 without gaps and says in each how many readings the frames
before it held, so a frame that never came is missed with its exact number of readings.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, field


class Arrival(enum.Enum):
    """What a frame is to its sequence."""

    FRESH = "fresh"  # the next one, or one that fills a gap
    REPEATED = "repeated"  # seen before: its readings are accounted for already


@dataclass(frozen=True, slots=True)
class Gap:
    """Frames `from_seq`..`to_seq` (inclusive) did not come; `sent_before` readings preceded them, `readings` were in them."""

    from_seq: int
    to_seq: int
    sent_before: int
    readings: int


@dataclass(slots=True)
class FrameSequence:
    """Frames 0..next_seq-1 were seen, except those in `gaps`; together they held `sent_before` readings.

    `changed_gaps` names, by `from_seq`, the gaps that differ from what was last stored: the new gap, or None where it is gone.
    """

    next_seq: int = 0
    sent_before: int = 0
    gaps: dict[int, Gap] = field(default_factory=dict)
    changed_gaps: dict[int, Gap | None] = field(default_factory=dict)

    def take(self, seq: int, before: int, count: int) -> Arrival:
        """Account for one frame. A frame that contradicts the counts so far is fresh all the same: its readings are real."""
        if seq >= self.next_seq:
            if seq > self.next_seq:
                self._put(Gap(self.next_seq, seq - 1, self.sent_before, max(0, before - self.sent_before)))
            self.next_seq = seq + 1
            self.sent_before = max(self.sent_before, before) + count
            return Arrival.FRESH
        gap = next((gap for gap in self.gaps.values() if gap.from_seq <= seq <= gap.to_seq), None)
        if gap is None:
            return Arrival.REPEATED
        self._fill(gap, seq, before, count)
        return Arrival.FRESH

    @property
    def missing(self) -> int:
        """Readings in frames that did not come."""
        return sum(gap.readings for gap in self.gaps.values())

    def _fill(self, gap: Gap, seq: int, before: int, count: int) -> None:
        left = min(max(0, before - gap.sent_before), gap.readings)
        right = max(0, gap.readings - left - count)
        del self.gaps[gap.from_seq]
        self.changed_gaps[gap.from_seq] = None
        if gap.from_seq < seq:
            self._put(Gap(gap.from_seq, seq - 1, gap.sent_before, left))
        if seq < gap.to_seq:
            self._put(Gap(seq + 1, gap.to_seq, gap.sent_before + left + count, right))

    def _put(self, gap: Gap) -> None:
        self.gaps[gap.from_seq] = gap
        self.changed_gaps[gap.from_seq] = gap
