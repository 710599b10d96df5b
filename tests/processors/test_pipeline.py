"""Frames on the real Kafka become rows, windows and a ledger in the real database."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from zoneinfo import ZoneInfo

import pytest

from ingest.contract.reading import Reading
from processors import closing, ownership, window_store
from tests.processors.reference import reference_windows
from tests.processors.running import City

START_US = 1_700_000_000_000_000
ZONE = "Asia/Kolkata"  # a day that starts at half past: 1d cannot be merged from whole hours
METRICS = ("pm2_5", "laeq", "wind_direction", "energy_total")


def some_readings(devices: int, minutes: int, seed: int = 1) -> list[Reading]:
    """Readings of all four kinds of mean in order of time, with irregular spacing, gaps and meter resets."""
    chance = random.Random(seed)
    found = []
    for device in range(devices):
        meter = 100.0
        for metric in METRICS:
            time_us = START_US + chance.randrange(60_000_000)
            while time_us < START_US + minutes * 60_000_000:
                meter = 0.5 if chance.random() < 0.01 else meter + chance.random()
                drawn = {
                    "pm2_5": chance.gauss(30, 8),
                    "laeq": chance.gauss(60, 6),
                    "wind_direction": chance.uniform(0, 360),
                }
                value = drawn.get(metric, meter)
                found.append(Reading(f"dev-{device}", metric, time_us, round(value, 3)))
                time_us += chance.choice(
                    (10_000_000, 20_000_000, 45_000_000, 600_000_000 if chance.random() < 0.02 else 30_000_000)
                )
    return sorted(found, key=lambda reading: reading.time_us)


async def stored_windows(city: City, size: str) -> dict[tuple[str, str, int], dict[str, float | None]]:
    rows = await city.fetch(
        f"SELECT *, (extract(epoch FROM time) * 1000000)::bigint AS start_us FROM city_view.windows_{size}"
    )
    return {(row["device"], row["metric"], row["start_us"]): dict(row) for row in rows}


async def assert_windows_equal_reference(city: City, readings: Sequence[Reading]) -> dict[str, int]:
    """Every closed window is there and equals the reference, and nothing else is there; the number of rows by size."""
    closed = {
        row["partition"]: row["closed"]
        for row in await city.fetch(
            "SELECT partition, (extract(epoch FROM closed_until) * 1000000)::bigint AS closed FROM city.offsets "
            "WHERE topic LIKE '%readings%'"
        )
    }
    partition = {
        (row["device"], row["metric"]): row["partition"]
        for row in await city.fetch(
            "SELECT device, metric, partition FROM city.series JOIN city.devices USING (device_id)"
        )
    }
    counted = {}
    zone = ZoneInfo(ZONE)
    lengths = {"1m": 60_000_000, "15m": 900_000_000, "1h": 3_600_000_000, "1d": 86_400_000_000}
    for size, length in lengths.items():
        expected = {
            key: columns
            for key, columns in reference_windows(readings, size, zone).items()
            if key[2] + length <= closed[partition[key[:2]]]
        }
        found = await stored_windows(city, size)
        assert found.keys() == expected.keys(), size
        for key, columns in expected.items():
            assert_row_equals(found[key], columns, f"{size} {key}")
        counted[size] = len(expected)
    return counted


def assert_row_equals(found: dict[str, float | None], expected: dict[str, float | None], where: str) -> None:
    for name, value in expected.items():
        got = found[name]
        if value is None or got is None:
            assert got is value, f"{where}: {name} is {got}, expected {value}"
            continue
        tolerance = 0.0100001 * abs(value) + 1e-9 if name in {"p50", "p95", "p99"} else 1e-9 * max(1.0, abs(value))
        if name == "special" and where.find("wind_direction") >= 0:
            assert abs((got - value + 180) % 360 - 180) < 1e-6, f"{where}: {name} is {got}, expected {value}"
            continue
        assert math.isclose(got, value, abs_tol=tolerance), f"{where}: {name} is {got}, expected {value}"


@pytest.mark.parametrize("order", ["sorted", "shuffled", "sorted, closed in parts"])
async def test_windows_of_any_arrival_order_equal_the_slow_reference(
    city: City, order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if order.endswith("in parts"):
        monkeypatch.setattr(closing, "ROWS_AT_ONCE", 3)
        monkeypatch.setattr(ownership, "HELD_ROWS_MOST", 20)
        monkeypatch.setattr(window_store, "_AS_RECORDS", 1)
    readings = some_readings(devices=6, minutes=60 * 30)
    arriving = list(readings)
    if order == "shuffled":
        # whole days apart: most readings are late, many by hours, and revise every size of window
        random.Random(7).shuffle(arriving)
    arriving += arriving[::7]
    records = city.gateway().frames(arriving, size=1500)
    async with city.processor(city={"time_zone": ZONE}, batch_max_readings=3000):
        await city.send(records)
        await city.caught_up()
    assert await city.value("SELECT count(*) FROM city.readings") == len(readings)
    ledger = (await city.fetch("SELECT * FROM city_view.ledger"))[0]
    assert (ledger["received"], ledger["stored"], ledger["duplicate"]) == (
        len(arriving),
        len(readings),
        len(arriving) - len(readings),
    )
    assert (ledger["in_flight"], ledger["unaccounted"], ledger["redelivered"]) == (0, 0, 0)
    counted = await assert_windows_equal_reference(city, readings)
    assert min(counted.values()) > 0, counted
