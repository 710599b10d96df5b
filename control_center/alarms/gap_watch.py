"""Offsets that Kafka no longer had are an alarm for a day after they were found missing. Pure; time is an argument."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from control_center.alarms.lifecycle import Change
from control_center.alarms.rules import INTERNAL_SUBJECT, OFFSET_GAP
from control_center.rows import OffsetGap


class GapWatch:
    """`active`: the alarm is open."""

    def __init__(self, *, active: bool) -> None:
        self.active = active

    def observe(self, recent: Sequence[OffsetGap], now: datetime) -> Change | None:
        """The change that the gaps of the last day make, newest first, if any. The value is how many there are."""
        if bool(recent) == self.active:
            return None
        self.active = bool(recent)
        detail: dict[str, object] = {}
        if recent:
            newest = recent[0]
            detail = {
                "topic": newest.topic,
                "partition": newest.partition,
                "from_offset": newest.from_offset,
                "to_offset": newest.to_offset,
                "reason": newest.reason,
            }
        return Change(OFFSET_GAP, INTERNAL_SUBJECT, self.active, now, float(len(recent)), detail)
