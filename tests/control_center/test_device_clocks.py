"""What a wrong clock looks like, and how it is told in both languages."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import get_args
from zoneinfo import ZoneInfo

import pytest

from control_center.device_clocks import DeviceClock, Guess, guess, item, shown
from control_center.texts import text

SUMMER, WINTER = datetime(2026, 7, 1, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)
HANOI, BRUSSELS, LONDON = ZoneInfo("Asia/Ho_Chi_Minh"), ZoneInfo("Europe/Brussels"), ZoneInfo("Europe/London")


@pytest.mark.parametrize(
    ("offset_s", "zone", "at", "looks"),
    [
        (7 * 3600 - 4, HANOI, WINTER, "local_as_utc"),
        (-7 * 3600 - 200, HANOI, WINTER, "utc_as_local"),
        (3600 - 3, HANOI, WINTER, "daylight_saving"),
        (-3610, HANOI, WINTER, "daylight_saving"),
        (2 * 3600, BRUSSELS, SUMMER, "local_as_utc"),
        (3600, BRUSSELS, SUMMER, "daylight_saving"),
        (3600, LONDON, WINTER, "daylight_saving"),  # London's winter is UTC itself: no offset is "local"
        (5.75 * 3600, HANOI, WINTER, "time_zone"),
        (2000, HANOI, WINTER, "unknown"),
        (2.12 * 3600, HANOI, WINTER, "unknown"),
        (2.3e9, HANOI, WINTER, "wrong_date"),
        (-1.7e9, HANOI, WINTER, "wrong_date"),
        (None, HANOI, WINTER, "unset"),
    ],
)
def test_an_offset_says_what_it_looks_like(offset_s: float | None, zone: ZoneInfo, at: datetime, looks: Guess) -> None:
    assert guess(offset_s, zone, at) == looks


@pytest.mark.parametrize(
    ("offset_s", "words"),
    [(25196, "+7 h 00 min"), (-3610, "−1 h 00 min"), (200_000, "+2.3 d"), (2.3e9, "+72.9 a"), (-90, "−0 h 02 min")],
)
def test_an_offset_is_shown_as_people_say_it(offset_s: float, words: str) -> None:
    assert shown(offset_s) == words


def test_every_guess_has_its_sentence() -> None:
    for looks in get_args(Guess):
        assert text(f"clock_{looks}", "vi", offset="+1 h")


def test_local_time_sent_as_utc_is_told_with_its_offset() -> None:
    row = DeviceClock("air-7", "ahead", 25_198.0, 12, 0, WINTER, WINTER)
    told = item(row, HANOI, "en")
    assert told.text == "Its clock is about +7 h 00 min off: looks like local time sent as UTC."
