"""Windows are a function of the stored readings: arrival order, batches, restarts and duplicates change nothing but late and revision."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.contract.reading import Flag, Reading
from ingest.contract.sensor_kinds import METRICS
from ingest.contract.topics import partition_of
from processors.arrivals import first_arrivals
from processors.contract.rows import WindowRows
from processors.contract.tables import WINDOW_TABLES
from processors.ownership import rebuild_windows
from processors.revision import Revision
from processors.rollup import write_closings
from processors.series import METRIC_LIST, NEVER_US, SeriesTable
from processors.windows import HELD_ROWS_MOST, OpenReadings, PartitionWindows
from tests.processors.known import Row, known
from tests.processors.memory_store import MemoryStore
from tests.processors.reference import reference_windows

ZONE = ZoneInfo("Asia/Kathmandu")  # UTC+5:45
DEVICE = "dev-1"
METRIC_NAMES = ("pm2_5", "energy_total", "wind_direction", "laeq")
MINUTE = 60_000_000
BASE_US = 1_700_000_000_000_000
Arrivals = Sequence[Sequence[Reading]]


@dataclass(frozen=True, slots=True)
class Bounds:
    """Rows that close in one part (None: all), rows that are held for a quarter."""

    rows_at_once: int | None = None
    held_rows: int = HELD_ROWS_MOST


@dataclass(slots=True)
class Partition:
    """One partition on a store in memory, driven as the checkpoint drives it."""

    store: MemoryStore
    table: SeriesTable
    windows: PartitionWindows
    watermark_us: int | None = None
    bounds: Bounds = Bounds()

    @classmethod
    async def taken_over(
        cls, store: MemoryStore, closed_until_us: int | None, watermark_us: int | None, bounds: Bounds = Bounds()
    ) -> Partition:
        """A new owner: knows nothing but what is stored."""
        number = partition_of(DEVICE, 1)
        table = SeriesTable(1)
        rows = [
            Row(position + 1, 1, DEVICE, name, int(METRICS[name].mean), 60, number)
            for position, name in enumerate(METRIC_NAMES)
        ]
        table.learn(known(*rows), fresh=False)
        series = np.arange(len(rows))
        for index in series:
            found = store.newest_before(int(index) + 1, NEVER_US if closed_until_us is None else closed_until_us)
            if found is not None:
                table.column("previous_time_us")[index], table.column("previous_value")[index] = found
        windows = await rebuild_windows(store, table, series, closed_until_us, ZONE, held_rows_most=bounds.held_rows)
        return cls(store, table, windows, watermark_us, bounds)

    async def take(self, batch: Sequence[Reading], lateness_us: int) -> None:
        """One batch: store what is new, revise what is late, close what is due."""
        columns = self._columns(batch)
        kept = columns.take(first_arrivals(columns.series, columns.time_us))
        stored = np.array(
            [(int(s) + 1, int(t)) in self.store.readings for s, t in zip(kept.series, kept.time_us, strict=True)],
            np.bool_,
        )
        new = kept.take(~stored)
        late = self.windows.is_late(new.time_us)
        new = OpenReadings(new.series, new.time_us, new.values, np.where(late, int(Flag.LATE), 0).astype(np.int32))
        for series, time_us, value, flags in zip(new.series, new.time_us, new.values, new.flags, strict=True):
            self.store.readings[int(series) + 1, int(time_us)] = (float(value), int(flags))
        closed = NEVER_US if self.windows.closed_until_us is None else self.windows.closed_until_us
        closed_until = np.full(len(self.table), closed)
        revised = await Revision(self.store, self.table, ZONE, closed_until).run(new.take(late))
        self.windows.add(new.take(~late))
        if revised:
            self.windows.revise_held(revised["windows_1m"])
        await self.advance(max(reading.time_us for reading in batch) - lateness_us)

    async def advance(self, watermark_us: int) -> None:
        """Move the watermark and write what closes."""
        self.watermark_us = watermark_us if self.watermark_us is None else max(self.watermark_us, watermark_us)
        for closing in self.windows.close_in_parts(self.watermark_us, self.bounds.rows_at_once):
            await write_closings(self.store, self.table, ZONE, {partition_of(DEVICE, 1): closing})

    def _columns(self, batch: Sequence[Reading]) -> OpenReadings:
        index = {METRIC_LIST[metric].name: at for at, metric in enumerate(self.table.column("metric").tolist())}
        return OpenReadings(
            np.array([index[reading.metric] for reading in batch], np.int32),
            np.array([reading.time_us for reading in batch], np.int64),
            np.array([reading.value for reading in batch], np.float64),
            np.zeros(len(batch), np.int32),
        )


async def run(batches: Arrivals, *, lateness_us: int, restarts: set[int], bounds: Bounds = Bounds()) -> MemoryStore:
    """Feed the batches, changing the owner before those numbered in `restarts`; at the end everything is closed."""
    partition = await Partition.taken_over(MemoryStore(), None, None, bounds)
    for number, batch in enumerate(batches):
        if number in restarts:
            partition = await Partition.taken_over(
                partition.store, partition.windows.closed_until_us, partition.watermark_us, bounds
            )
        await partition.take(batch, lateness_us)
    assert partition.watermark_us is not None
    await partition.advance(partition.watermark_us + lateness_us + 3 * 86_400_000_000)
    assert partition.windows.open_readings == 0
    assert partition.windows.held_rows == 0
    return partition.store


@st.composite
def arrivals(draw: st.DrawFn) -> tuple[list[Reading], Arrivals, int, set[int]]:
    """Distinct readings in order of time; the same in any order, some twice, cut into batches; lateness; restart points."""
    keys = draw(
        st.lists(
            st.tuples(st.sampled_from(METRIC_NAMES), st.integers(0, 60 * 24 * 6)), min_size=1, max_size=60, unique=True
        )
    )
    chance = draw(st.randoms(use_true_random=False))
    near = draw(st.booleans())
    readings = sorted(
        (
            Reading(
                DEVICE, m, BASE_US + tick * (5_000_000 if near else 10 * MINUTE), float(chance.randrange(3600)) / 10
            )
            for m, tick in keys
        ),
        key=lambda reading: reading.time_us,
    )
    arriving = [*readings, *chance.sample(readings, chance.randrange(len(readings) + 1))]
    disorder = draw(st.sampled_from((0, 3, 1000)))
    arriving = [
        r
        for _, r in sorted(enumerate(arriving), key=lambda pair: pair[0] % len(readings) + chance.uniform(0, disorder))
    ]
    cuts = sorted(chance.sample(range(1, len(arriving) + 1), draw(st.integers(0, min(8, len(arriving))))))
    edges = [0, *cuts, len(arriving)]
    batches = [arriving[lo:hi] for lo, hi in itertools.pairwise(edges) if lo < hi]
    lateness_us = draw(st.sampled_from((0, 30_000_000, 20 * MINUTE)))
    return readings, batches, lateness_us, set(draw(st.lists(st.integers(0, 9), max_size=3)))


@settings(max_examples=150, deadline=None)
@given(arrivals(), st.builds(Bounds, st.sampled_from((None, 1, 2, 7)), st.sampled_from((0, 1, 3, 10, HELD_ROWS_MOST))))
def test_any_arrival_gives_the_rows_of_sorted_unique_input(
    case: tuple[list[Reading], Arrivals, int, set[int]], bounds: Bounds
) -> None:
    readings, batches, lateness_us, restarts = case
    expected = asyncio.run(run([readings], lateness_us=0, restarts=set()))
    found = asyncio.run(run(batches, lateness_us=lateness_us, restarts=restarts, bounds=bounds))
    assert {key: value for key, (value, _) in found.readings.items()} == {
        key: value for key, (value, _) in expected.readings.items()
    }
    for table in WINDOW_TABLES:
        assert found.rows[table].keys() == expected.rows[table].keys(), table
        for key, row in expected.rows[table].items():
            assert_same_row(found.rows[table][key], row, f"{table} {key}")


@settings(max_examples=50, deadline=None)
@given(arrivals())
def test_sorted_unique_input_gives_the_rows_of_the_slow_reference(
    case: tuple[list[Reading], Arrivals, int, set[int]],
) -> None:
    readings = case[0]
    found = asyncio.run(run([readings], lateness_us=0, restarts=set()))
    for table in WINDOW_TABLES:
        expected = reference_windows(readings, table.removeprefix("windows_"), ZONE)
        assert {(METRIC_NAMES[series - 1], start) for series, start in found.rows[table]} == {
            (m, start) for _, m, start in expected
        }
        for (series, start), row in found.rows[table].items():
            wanted = expected[DEVICE, METRIC_NAMES[series - 1], start]
            for name in ("count", "min", "max", "first", "last", "mean", "std"):
                assert float(getattr(row, name)[0]) == pytest.approx(wanted[name], rel=1e-9, abs=1e-9), (
                    f"{table} {name}"
                )


def assert_same_row(found: WindowRows, expected: WindowRows, where: str) -> None:
    exact = (
        "count",
        "min",
        "max",
        "first",
        "last",
        "p50",
        "p95",
        "p99",
        "expected",
        "valid",
        "flagged",
        "first_time_us",
        "last_time_us",
        "sketch",
    )
    for name in exact:
        assert getattr(found, name)[0] == getattr(expected, name)[0], f"{where} {name}"
    for name in ("mean", "std", "special", "sum_sin", "sum_cos"):
        got, wanted = float(getattr(found, name)[0]), float(getattr(expected, name)[0])
        if name == "special" and not math.isnan(float(expected.sum_sin[0])):
            assert_same_direction(found, expected, where)
            continue
        assert got == pytest.approx(wanted, rel=1e-9, abs=1e-9, nan_ok=True), f"{where} {name}"


def assert_same_direction(found: WindowRows, expected: WindowRows, where: str) -> None:
    """Directions are compared on the circle, and not at all where they nearly cancel: there rounding decides."""
    length = math.hypot(float(expected.sum_sin[0]), float(expected.sum_cos[0]))
    if length < 1e-6:
        return
    got, wanted = float(found.special[0]), float(expected.special[0])
    assert abs((got - wanted + 180) % 360 - 180) < 1e-6, f"{where} special"


def test_late_data_raises_the_revision_of_every_size_and_counts_as_late() -> None:
    on_time = [Reading(DEVICE, "pm2_5", BASE_US + minute * MINUTE, float(minute)) for minute in range(0, 3 * 1440, 10)]
    late = Reading(DEVICE, "pm2_5", BASE_US + 1445 * MINUTE, 5000.0)
    store = asyncio.run(run([on_time, [late], on_time[-1:]], lateness_us=0, restarts=set()))
    for table in WINDOW_TABLES:
        revised = [row for row in store.rows[table].values() if int(row.late[0])]
        assert len(revised) == 1, table
        assert float(revised[0].max[0]) == 5000.0
        assert int(revised[0].revision[0]) == (0 if int(revised[0].count[0]) == 1 else 1), table


def test_a_late_reading_of_a_meter_changes_the_window_of_the_reading_after_it() -> None:
    readings = [
        Reading(DEVICE, "energy_total", BASE_US + hour * 60 * MINUTE, value)
        for hour, value in enumerate((10.0, 20.0, 5.0, 9.0))
    ]
    late = Reading(DEVICE, "energy_total", BASE_US + 90 * MINUTE, 50.0)
    store = asyncio.run(run([readings, [late]], lateness_us=0, restarts=set()))
    increases = [float(row.special[0]) for _, row in sorted(store.rows["windows_1m"].items())]
    assert increases == [0.0, 10.0, 30.0, 5.0, 4.0]


def test_late_data_for_dropped_readings_is_merged_into_the_row_that_remembers_them() -> None:
    async def scenario() -> MemoryStore:
        partition = await Partition.taken_over(MemoryStore(), None, None)
        await partition.take([Reading(DEVICE, "pm2_5", BASE_US + n * 1_000_000, float(n)) for n in range(200)], 0)
        await partition.advance(BASE_US + 86_400_000_000)
        partition.store.readings.clear()
        await partition.take([Reading(DEVICE, "pm2_5", BASE_US - BASE_US % MINUTE + MINUTE + 500_000, 1000.0)], 0)
        return partition.store

    store = asyncio.run(scenario())
    row = next(row for row in store.rows["windows_1m"].values() if int(row.late[0]))
    assert (int(row.count[0]), float(row.max[0]), int(row.revision[0])) == (61, 1000.0, 1)
