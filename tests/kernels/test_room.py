"""Calls that share a room make the rows they would have made without it, and lend them until the next call."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from ingest.contract.sensor_kinds import Mean
from processors.contract.rows import WindowRows
from processors.kernels.room import Room
from processors.kernels.starts import FixedWindows
from processors.kernels.windows_of import aggregate
from tests.kernels.window_cases import Readings, identical, meta_of, some_readings


def rows_in(room: Room | None, readings: Readings, size_s: int) -> WindowRows:
    columns = (readings.meta, readings.series, readings.time_us, readings.value, readings.flags)
    return aggregate(*columns, FixedWindows(size_s), room=room)


def crowded_late(n: int = 300_000) -> Readings:
    """The first series fill few windows, the last make one of every reading: more rows than their beginning lets expect."""
    series = np.sort(np.random.default_rng(3).integers(0, 60, n)).astype(np.int32)
    time_us = np.where(series < 30, np.arange(n) * 1000, np.arange(n) * 61_000_000)
    order = np.random.default_rng(4).permutation(n)
    meta = meta_of([Mean.ARITHMETIC] * 60)
    return Readings(meta, series[order], time_us[order], np.arange(n) / 8.0, np.zeros(n, np.int32))


def test_calls_of_any_size_make_the_same_rows_in_one_room() -> None:
    room = Room()
    few, many, unlike = some_readings(300), some_readings(200_000, span_s=40_000), crowded_late()
    for readings, size_s in ((many, 60), (few, 60), (unlike, 60), (many, 3600), (unlike, 3600), (many, 60)):
        assert identical(rows_in(room, readings, size_s), rows_in(None, readings, size_s))


def test_rows_lie_in_the_room_until_the_next_call_takes_it() -> None:
    room, readings = Room(), some_readings(200_000, span_s=40_000)
    readings = Readings(
        meta_of([Mean.ARITHMETIC] * 8), readings.series[::-1] * 0, readings.time_us, readings.value, readings.flags
    )  # one series, so that rows need not be put in order of ids
    lent = rows_in(room, readings, 60)
    kept = WindowRows.concatenate([lent])
    again = rows_in(room, readings, 60)
    assert identical(lent, kept)
    assert np.shares_memory(lent.mean, again.mean)
    assert np.shares_memory(lent.sketch.data, again.sketch.data)
    alone = rows_in(None, readings, 60)
    assert not any(
        np.shares_memory(getattr(alone, f.name), getattr(lent, f.name)) for f in fields(lent) if f.name != "sketch"
    )


def test_a_room_grows_to_the_largest_call_and_may_be_told_to_forget() -> None:
    room = Room()
    small = room.empty("column", (3, 10), np.float64)
    assert small.shape == (3, 10)
    small[:] = 7.0
    assert np.shares_memory(small, room.empty("column", (5,), np.int32))
    room.forget("column")
    room.empty("column", (30,), np.float64)[:] = 1.0
    assert (small == 7.0).all()
    assert len(room.empty("column", (1000,), np.int64)) == 1000
