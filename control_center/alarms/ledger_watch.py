"""Decides when "readings unaccounted for" is an alarm: missing or doubled ones must stand for a while. Pure; time is an argument."""

from __future__ import annotations

from datetime import datetime, timedelta

from control_center.alarms.lifecycle import Change
from control_center.alarms.rules import INTERNAL_SUBJECT, UNACCOUNTED
from control_center.rows import LedgerAudit, LedgerTotals


class LedgerWatch:
    """Remembers since when readings have been unaccounted for. `active`: the alarm is open."""

    def __init__(self, *, after_s: float, active: bool) -> None:
        self._after = timedelta(seconds=after_s)
        self._since: datetime | None = None
        self.active = active

    def observe(self, totals: LedgerTotals, audit: LedgerAudit, now: datetime) -> Change | None:
        """The change this look at the ledger makes, if any."""
        if totals.unaccounted + audit.doubled == 0:
            self._since = None
            return self._change(totals, audit, now) if self.active else None
        self._since = self._since or now
        due = not self.active and now - self._since >= self._after
        return self._change(totals, audit, now) if due else None

    def _change(self, totals: LedgerTotals, audit: LedgerAudit, now: datetime) -> Change:
        wrong = totals.unaccounted + audit.doubled
        self.active = wrong > 0
        detail = {
            "received": totals.received,
            "stored": totals.stored,
            "in_flight": totals.in_flight,
            "doubled": audit.doubled,
        }
        return Change(UNACCOUNTED, INTERNAL_SUBJECT, self.active, now, float(wrong), detail)
