"""Every way devices write a time, and what each means in microseconds UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.contract.reading import Flag
from ingest.contract.rejects import RejectReason
from ingest.decoders.columns import TIME_LIMIT_US, RefusedError
from ingest.decoders.timestamps import TimeUnit, from_epoch, from_text, reading_time

MOMENT_US = 1_555_745_371_410_000
RECEIVED_US = 1_700_000_000_000_000


@pytest.mark.parametrize(
    "text",
    [
        "1555745371410",
        "1555745371.41",
        "2019-04-20T07:29:31.410Z",
        "2019-04-20t07:29:31.41z",
        "2019-04-20 07:29:31.410 UTC",
        "2019-04-20T09:29:31.410+02:00",
        "2019-04-20T09:29:31,410+0200",
        "2019-04-20T02:29:31.410-05",
        "2019-04-20T21:29:31.410+14:00",
        "2019-04-19T19:29:31.410-12:00",
        "20190420T072931"[:0] + "2019.04.20 07:29:31.410Z",
    ],
)
def test_the_same_moment_in_many_spellings(text: str) -> None:
    assert from_text(text, "auto", None) == MOMENT_US


@pytest.mark.parametrize(
    ("number", "unit"),
    [
        (1_555_745_371, "s"),
        (1_555_745_371_000, "ms"),
        (1_555_745_371_000_000, "us"),
        (1_555_745_371_000_000_000, "ns"),
        (1_555_745_371.0, "auto"),
        (1_555_745_371_000, "auto"),
        (1_555_745_371_000_000, "auto"),
        (1_555_745_371_000_000_000, "auto"),
    ],
)
def test_epochs_of_every_unit(number: float, unit: TimeUnit) -> None:
    assert from_epoch(number, unit) == 1_555_745_371_000_000


def test_nine_decimals_are_cut_to_microseconds() -> None:
    assert from_text("2022-07-18T09:34:15.775023999+00:00", "auto", None) == 1_658_136_855_775_023


def test_a_leap_second_and_midnight_as_24_are_the_next_moment() -> None:
    assert from_text("2016-12-31T23:59:60Z", "auto", None) == from_text("2017-01-01T00:00:00Z", "auto", None)
    assert from_text("2016-12-31T24:00:00Z", "auto", None) == from_text("2017-01-01T00:00:00Z", "auto", None)


@pytest.mark.parametrize(
    "text", ["2024-02-30T25:61:00Z", "yesterday", "2024-13-01T00:00:00Z", "12:00", "2024-01-01T00:00:00+99:00", "٢٠٢٤"]
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert from_text(text, "auto", None) is None


def test_a_time_without_a_zone_is_refused_unless_the_profile_gives_one() -> None:
    with pytest.raises(RefusedError) as refused:
        from_text("2024-07-01 12:00:00", "auto", None)
    assert refused.value.reason is RejectReason.BAD_TIME
    in_hanoi = from_text("2024-07-01 12:00:00", "auto", ZoneInfo("Asia/Ho_Chi_Minh"))
    assert in_hanoi == from_text("2024-07-01T05:00:00Z", "auto", None)


def test_a_zone_with_summer_time_applies_the_season() -> None:
    zone = ZoneInfo("Europe/Brussels")
    assert from_text("2024-07-01 12:00:00", "auto", zone) == from_text("2024-07-01T10:00:00Z", "auto", None)
    assert from_text("2024-01-01 12:00:00", "auto", zone) == from_text("2024-01-01T11:00:00Z", "auto", None)


@pytest.mark.parametrize("number", [1e300, -1e300, 10**40, -(10**40), 9e18])
def test_an_absurd_epoch_is_clamped_and_never_overflows(number: float) -> None:
    assert abs(from_epoch(number, "s")) == TIME_LIMIT_US


def test_no_time_means_the_receive_time_and_says_so() -> None:
    assert reading_time(None, "auto", None, RECEIVED_US) == (RECEIVED_US, Flag.TIME_FROM_RECEIPT)
    assert reading_time("", "auto", None, RECEIVED_US) == (RECEIVED_US, Flag.TIME_FROM_RECEIPT)


def test_an_unreadable_time_means_the_receive_time_and_a_suspect_clock() -> None:
    expected = (RECEIVED_US, Flag.TIME_FROM_RECEIPT | Flag.CLOCK_SUSPECT)
    assert reading_time("soon", "auto", None, RECEIVED_US) == expected
    assert reading_time([], "auto", None, RECEIVED_US) == expected


def test_epoch_0_is_an_unset_clock() -> None:
    assert reading_time(0, "auto", None, RECEIVED_US) == (0, Flag.CLOCK_SUSPECT)
    assert reading_time(86_400 * 300, "s", None, RECEIVED_US)[1] == Flag.CLOCK_SUSPECT
    assert reading_time(86_400 * 400, "s", None, RECEIVED_US)[1] == 0


@given(
    st.datetimes(datetime(1971, 1, 2), datetime(9998, 1, 1)),  # noqa: DTZ001 - the zone is put in below
    st.integers(-14 * 60, 14 * 60),
)
def test_what_python_writes_is_read_back(moment: datetime, offset_min: int) -> None:
    zoned = moment.replace(tzinfo=timezone(timedelta(minutes=offset_min)))
    expected = (zoned - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    assert from_text(zoned.isoformat(), "auto", None) == expected
