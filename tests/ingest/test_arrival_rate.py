"""Today's rate, by which the spool says its hours."""

from __future__ import annotations

import pytest

from ingest.arrival_rate import ArrivalRate


def test_a_gateway_that_has_just_begun_knows_its_rate_from_what_came() -> None:
    rate = ArrivalRate(1000.0)
    for second in range(30):
        rate.add(500, 1000.0 + second)
    assert rate.bytes_per_s(1030.0) == pytest.approx(500)


def test_without_data_there_is_no_rate_rather_than_endless_hours() -> None:
    rate = ArrivalRate(0.0)
    assert rate.bytes_per_s(10.0) is None
    rate.add(1000, 20.0)
    assert rate.bytes_per_s(2 * 86_400.0) is None


def test_a_quiet_hour_is_judged_by_the_day() -> None:
    rate = ArrivalRate(0.0)
    for minute in range(23 * 60):
        rate.add(60_000, minute * 60.0)
    assert rate.bytes_per_s(86_400.0) == pytest.approx(1000 * 23 / 24, rel=0.01)


def test_a_busy_hour_is_judged_by_itself() -> None:
    rate = ArrivalRate(0.0)
    for minute in range(60):
        rate.add(60_000, 82_800.0 + minute * 60)
    assert rate.bytes_per_s(86_400.0) == pytest.approx(1000, rel=0.02)


def test_what_is_older_than_a_day_is_forgotten() -> None:
    rate = ArrivalRate(0.0)
    rate.add(10**9, 0.0)
    for minute in range(60):
        rate.add(60_000, 90_000.0 + minute * 60)
    assert rate.bytes_per_s(93_600.0) == pytest.approx(1000, rel=0.02)
