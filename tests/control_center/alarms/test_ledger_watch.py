"""When "readings unaccounted for" becomes an alarm."""

from datetime import UTC, datetime, timedelta

from control_center.alarms.ledger_watch import LedgerWatch
from control_center.rows import LedgerAudit, LedgerTotals

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SOUND = LedgerAudit()


def totals(unaccounted: int) -> LedgerTotals:
    return LedgerTotals(100, 90, 0, 0, 0, 10 - unaccounted, unaccounted, 0, 0)


def look(watch: LedgerWatch, unaccounted: list[int]) -> list[tuple[int, bool]]:
    changes = [
        (n, watch.observe(totals(count), SOUND, NOW + timedelta(seconds=n))) for n, count in enumerate(unaccounted)
    ]
    return [(n, change.active) for n, change in changes if change]


def test_it_must_stand_for_a_while_and_clears_at_once() -> None:
    assert look(LedgerWatch(after_s=3, active=False), [0, 5, 5, 5, 5, 5, 0, 0]) == [(4, True), (6, False)]


def test_a_gap_that_closes_in_time_raises_nothing() -> None:
    assert look(LedgerWatch(after_s=3, active=False), [5, 5, 5, 0, 5, 5, 5, 0]) == []


def test_an_alarm_left_open_by_the_life_before_is_cleared_and_not_raised_twice() -> None:
    assert look(LedgerWatch(after_s=0, active=True), [5, 5, 0, 0]) == [(2, False)]


def test_the_alarm_says_how_many() -> None:
    change = LedgerWatch(after_s=0, active=False).observe(totals(7), SOUND, NOW)
    assert change is not None
    assert (change.rule_id, change.value, change.detail["stored"]) == ("unaccounted", 7.0, 90)


def test_rows_that_nobody_stored_are_an_alarm_too() -> None:
    change = LedgerWatch(after_s=0, active=False).observe(totals(0), LedgerAudit(days=1, doubled=2), NOW)
    assert change is not None
    assert (change.active, change.value, change.detail["doubled"]) == (True, 2.0, 2)
