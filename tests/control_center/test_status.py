"""Rates from the ledger's totals."""

from control_center.rows import LedgerTotals
from control_center.status import Rates, RateWindow


def totals(received: int, stored: int, dead: int = 0, refused: int = 0, duplicate: int = 0) -> LedgerTotals:
    return LedgerTotals(received, stored, duplicate, dead, refused, 0, 0, 0, 0)


def test_a_rate_is_an_average_over_the_last_seconds() -> None:
    window = RateWindow()
    assert window.add(0, totals(0, 0)) == Rates()
    assert window.add(1, totals(100, 80, 5, 5, 10)) == Rates(100, 80, 10, 10)
    assert window.add(4, totals(100, 100)).received == 25
    assert window.add(11, totals(100, 100)).received == 0


def test_a_total_that_falls_is_no_negative_rate() -> None:
    window = RateWindow()
    window.add(0, totals(1000, 1000))
    assert window.add(1, totals(900, 1010)) == Rates(0, 10)


def test_two_looks_at_one_moment_divide_by_nothing() -> None:
    window = RateWindow()
    window.add(5, totals(0, 0))
    assert window.add(5, totals(10, 10)) == Rates()
