"""Devices whose clock is wrong are named, with how far it is off; delays, buffers and single mistakes are not taken for clocks."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest

from ingest.contract.frame import DeadLetter
from ingest.contract.reading import Flag, Reading
from ingest.contract.topics import partition_of
from processors.columns import Columns
from processors.device_clocks import sightings
from processors.series import NEVER_US
from tests.processors.gateway import PARTITIONS
from tests.processors.running import City

MINUTE_US = 60_000_000
NOW_US = int(datetime(2026, 5, 4, 12, tzinfo=UTC).timestamp()) * 1_000_000


def columns(time_us: list[int], flags: list[int]) -> Columns:
    n = len(time_us)
    return Columns(
        np.arange(n, dtype=np.int32), np.array(time_us, np.int64), np.zeros(n), np.array(flags, np.int32), np.zeros(n, np.int32)
    )  # fmt: skip


def seen(time_us: list[int], flags: list[int], device: list[int], head_us: int) -> Any:
    return sightings(
        columns(time_us, flags), np.array(device, np.int32), np.full(len(device), head_us), np.array(device, np.int32) + 100
    )  # fmt: skip


def test_a_batch_in_which_nothing_is_late_says_nothing() -> None:
    assert seen([NOW_US], [0], [0], NOW_US) is None


def test_a_device_that_is_late_with_some_and_on_time_with_others_has_a_right_clock() -> None:
    late = int(Flag.LATE)
    assert seen([NOW_US - 60 * MINUTE_US, NOW_US], [late, 0], [3, 3], NOW_US) is None
    assert seen([NOW_US - MINUTE_US], [late], [3], NOW_US) is None
    assert seen([NOW_US - 60 * MINUTE_US], [late], [3], NEVER_US) is None


def test_a_device_behind_is_seen_with_its_offset_and_one_without_a_clock_as_unset() -> None:
    late, suspect = int(Flag.LATE), int(Flag.CLOCK_SUSPECT)
    times = [NOW_US - 61 * MINUTE_US, NOW_US - 60 * MINUTE_US, NOW_US]
    found = seen(times, [late, late, suspect], [7, 7, 2], NOW_US)
    assert found.device.tolist() == [102, 107]
    assert found.kind == ["unset", "behind"]
    assert found.offset_s.tolist() == [0.0, -3600.0]
    assert found.readings.tolist() == [1, 2]


def _letter(device: str, time_us: int, received_us: int, reason: str) -> DeadLetter:
    quoted = device.replace("\\", "\\\\").replace('"', '\\"')
    return DeadLetter(reason, f'"{quoted}" pm2_5: 7.5 at {time_us} us', "city/json/x", b"{}", received_us, 1)


def _in_one_partition(*stems: str) -> list[str]:
    """A name from each stem, all of one partition: a device is compared with its neighbours there."""
    return [next(name for n in range(1000) if partition_of(name := f"{stem}-{n}", PARTITIONS) == 0) for stem in stems]


@pytest.mark.servers
async def test_devices_with_a_wrong_clock_are_named_and_those_with_a_right_one_are_not(city: City) -> None:
    good, behind, unset, buffered, ahead, mended, stale = _in_one_partition(
        "good", "behind", "unset", "buffered", 'ahead "x" \\', "mended", "stale"
    )
    gateway = city.gateway()
    async with city.processor():
        for minute in range(12):
            at_us = NOW_US + minute * MINUTE_US
            readings = [
                Reading(good, "pm2_5", at_us, 7.0),
                Reading(behind, "pm2_5", at_us - 60 * MINUTE_US, 8.0),
                Reading(unset, "pm2_5", at_us, 9.0, int(Flag.CLOCK_SUSPECT)),
                Reading(buffered, "pm2_5", at_us - 60 * MINUTE_US + minute * 5 * MINUTE_US, 10.0),
                Reading(mended, "pm2_5", at_us, 11.0),
            ]
            letters = [_letter(ahead, at_us + 420 * MINUTE_US, at_us + 4_000_000, "in_future")]
            if minute < 3:
                letters.append(_letter(mended, at_us + 60 * MINUTE_US, at_us, "in_future"))
                letters.append(_letter(stale, NOW_US - 26 * 60 * MINUTE_US, at_us, "too_old"))
            await city.send([*gateway.frames(readings), gateway.letters(letters)])
            await city.caught_up()
    rows = await city.fetch("SELECT * FROM city_view.device_clocks ORDER BY device")
    found = {row["device"]: row for row in rows}
    assert set(found) == {behind, unset, ahead}
    assert (found[behind]["kind"], round(found[behind]["offset_s"])) == ("behind", -3600)
    assert (found[unset]["kind"], found[unset]["offset_s"]) == ("unset", None)
    assert (found[ahead]["kind"], round(found[ahead]["offset_s"])) == ("ahead", 420 * 60 - 4)
    assert found[ahead]["readings"] == 12
    assert found[ahead]["stored"] == 0
    assert found[behind]["stored"] == found[behind]["readings"] > 0
