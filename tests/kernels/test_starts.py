"""Window starts: fixed sizes and local days, before 1970, over clock changes, in zones that skip midnights and days."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from processors.kernels.starts import starts_fixed, starts_local_day

US = 1_000_000
ZONES = (
    "Europe/Brussels",
    "Asia/Ho_Chi_Minh",
    "America/Sao_Paulo",
    "America/Havana",
    "Australia/Lord_Howe",
    "Asia/Kathmandu",
)


def us(text: str) -> int:
    return int(dt.datetime.fromisoformat(text).timestamp()) * US


def day_of(text: str, zone: str) -> tuple[int, int]:
    start, end = starts_local_day(np.array([us(text)]), zone)
    return int(start[0]), int(end[0])


@settings(deadline=None)
@given(time_us=st.integers(-(10**17), 10**17), size_s=st.sampled_from([1, 60, 900, 3600, 86400]))
def test_a_moment_lies_in_its_window_also_before_1970(time_us: int, size_s: int) -> None:
    start = int(starts_fixed(np.array([time_us]), size_s)[0])
    assert start <= time_us < start + size_s * US
    assert start % (size_s * US) == 0


@settings(max_examples=200, deadline=None)
@given(
    moment=st.datetimes(dt.datetime(1975, 1, 1), dt.datetime(2037, 12, 31), timezones=st.just(dt.UTC)),  # noqa: DTZ001
    zone=st.sampled_from(ZONES),
)
def test_a_local_day_holds_exactly_the_moments_of_its_date(moment: dt.datetime, zone: str) -> None:
    time_us = round(moment.timestamp() * US)
    (start,), (end,) = (column.tolist() for column in starts_local_day(np.array([time_us]), zone))
    date = moment.astimezone(ZoneInfo(zone)).date()
    assert start <= time_us < end
    for inside in (start, end - 1):
        assert (dt.datetime.fromtimestamp(inside // US, ZoneInfo(zone))).date() == date
    assert (dt.datetime.fromtimestamp(end // US, ZoneInfo(zone))).date() > date


def test_days_last_23_and_25_hours_where_clocks_change() -> None:
    spring, autumn = "2022-03-27T12:00:00+00:00", "2022-10-30T12:00:00+00:00"
    assert day_of(spring, "Europe/Brussels") == (us("2022-03-26T23:00:00+00:00"), us("2022-03-27T22:00:00+00:00"))
    assert day_of(autumn, "Europe/Brussels") == (us("2022-10-29T22:00:00+00:00"), us("2022-10-30T23:00:00+00:00"))


def test_a_skipped_midnight_and_a_skipped_day() -> None:
    skipped = day_of("2018-11-04T12:00:00+00:00", "America/Sao_Paulo")  # 00:00 became 01:00
    assert skipped == (us("2018-11-04T03:00:00+00:00"), us("2018-11-05T02:00:00+00:00"))
    before, after = (
        day_of("2011-12-30T09:59:59+00:00", "Pacific/Apia"),
        day_of("2011-12-30T10:00:00+00:00", "Pacific/Apia"),
    )
    assert before[1] == after[0] == us("2011-12-30T10:00:00+00:00")  # no 30 December there


def test_moments_decades_apart_and_unsorted_find_their_days() -> None:
    texts = ["2050-07-01T05:00:00+00:00", "1969-12-31T23:30:00+00:00", "1999-01-01T00:00:00+00:00"]
    start, end = starts_local_day(np.array([us(text) for text in texts]), ZoneInfo("Europe/Brussels"))
    assert [(int(a), int(b)) for a, b in zip(start, end, strict=True)] == [
        day_of(text, "Europe/Brussels") for text in texts
    ]


def test_no_moments_have_no_days_and_impossible_years_are_refused() -> None:
    assert [len(column) for column in starts_local_day(np.empty(0, np.int64), "UTC")] == [0, 0]
    with pytest.raises(ValueError, match="in the year 9999"):
        starts_local_day(np.array([us("9999-06-01T00:00:00+00:00")]), "UTC")
