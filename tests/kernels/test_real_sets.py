"""Windows of real measurements against truths computed elsewhere in exact arithmetic, readings in random order."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import numpy as np
import pytest

from processors.contract.rows import WindowRows
from processors.kernels.starts import LocalDays, starts_fixed
from processors.kernels.windows_of import aggregate, merge
from tests.kernels.real_sets import Series, agree, table, us
from tests.kernels.window_cases import Readings, assert_same_windows

Rows = dict[tuple[str, int], dict[str, float]]


def hours_from_minutes(readings: Readings) -> WindowRows:
    """Hourly rows by way of the service: 1m, then 15m, then 1h; equal to the hours of the readings themselves."""
    rows = readings.windows(60)
    for size_s in (900, 3600):
        series = ((1000 - rows.series_id) // 7).astype(np.int32)
        rows = merge(readings.meta, rows, series, starts_fixed(rows.start_us, size_s), size_s * 1_000_000)
    assert_same_windows(rows, readings.windows(3600))
    return rows


def local_days(readings: Readings, zone: str) -> WindowRows:
    days = LocalDays(ZoneInfo(zone))
    return aggregate(readings.meta, readings.series, readings.time_us, readings.value, readings.flags, days)


def check(rows: Rows, key: tuple[str, int], truth: dict[str, str]) -> None:
    """`truth`: column -> expected text; all of a window that has no reading are blank."""
    row = rows.get(key)
    if row is None:
        assert set(truth.values()) <= {"", "0"}
        return
    for column, text in truth.items():
        if text:
            agree(row[column], text)


def test_ghent_weather_stations_by_the_hour() -> None:
    series = Series()
    for row in table("ghent_vlinder_weather", "vlinder01-08_2022-09-01_06.csv", ";"):
        time_us = us(f"{row['Datum']}T{row['Tijd (UTC)']}+00:00")
        for column in ("Temperatuur", "Vochtigheid", "Rukwind"):
            series.add(f"{row['Vlinder']} {column}", time_us, row[column])
    readings = series.readings()
    rows = series.by_window(hours_from_minutes(readings))
    truths = [
        row for row in table("ghent_vlinder_weather", "truth_hourly.csv") if us(row["hour_start"]) < us("2022-09-07")
    ]
    for truth in truths:
        station, start = truth["station"], us(truth["hour_start"].replace("Z", "+00:00"))
        temperature = {"mean": truth["temp_mean"], "min": truth["temp_min"], "max": truth["temp_max"]}
        check(rows, (f"{station} Temperatuur", start), temperature)
        check(rows, (f"{station} Vochtigheid", start), {"mean": truth["humidity_mean"]})
        check(rows, (f"{station} Rukwind", start), {"max": truth["gust_max"]})
    assert len(truths) > 1000
    assert_quantiles_within_the_guarantee(readings, rows, series.names)


def assert_quantiles_within_the_guarantee(readings: Readings, rows: Rows, names: list[str]) -> None:
    hours = starts_fixed(readings.time_us, 3600)
    checked = 0
    for at, name in enumerate(names):
        of_series = readings.series == at
        for start in np.unique(hours[of_series])[::7]:
            values = np.sort(readings.value[of_series & (hours == start)])
            for percent in (50, 95):
                exact = values[percent * (len(values) - 1) // 100]
                assert abs(rows[name, int(start)][f"p{percent}"] - exact) <= 0.01 * abs(exact)
                checked += 1
    assert checked > 500


def test_ghent_truth_quantiles_lie_between_the_neighbouring_order_statistics() -> None:
    """The truth interpolates (type 7) between two order statistics; ours is the lower one to 1 %."""
    series = Series()
    for row in table("ghent_vlinder_weather", "vlinder01-08_2022-09-01_06.csv", ";"):
        series.add(row["Vlinder"], us(f"{row['Datum']}T{row['Tijd (UTC)']}+00:00"), row["Temperatuur"])
    rows = series.by_window(series.readings().windows(3600))
    for truth in table("ghent_vlinder_weather", "truth_hourly.csv"):
        found = rows.get((truth["station"], us(truth["hour_start"].replace("Z", "+00:00"))))
        if found is not None and truth["temp_p50"]:
            assert found["min"] <= found["p50"] <= float(truth["temp_p50"]) * 1.01
            assert found["p50"] <= found["p95"] <= float(truth["temp_p95"]) * 1.01


def test_household_power_by_the_hour_with_its_long_outage() -> None:
    series = Series()
    for row in table("household_power_1min", "household_power_2007-04-24_05-03.csv"):
        day, month, year = (int(part) for part in row["Date"].split("/"))
        time_us = us(f"{year}-{month:02}-{day:02}T{row['Time']}")
        series.add("kw", time_us, row["Global_active_power"])
        series.add("volt", time_us, row["Voltage"])
    rows = series.by_window(hours_from_minutes(series.readings()))
    empty = 0
    for truth in table("household_power_1min", "truth_hourly.csv"):
        start = us(truth["hour_start"])
        check(rows, ("kw", start), {"count": truth["n_valid"], "mean": truth["kw_mean"], "max": truth["kw_max"]})
        check(rows, ("volt", start), {"mean": truth["volt_mean"]})
        empty += ("kw", start) not in rows
        if ("kw", start) in rows and truth["kwh"]:
            agree(rows["kw", start]["mean"] * rows["kw", start]["count"] / 60, truth["kwh"])
    assert empty > 50  # the outage of 28 April to 1 May has no windows rather than windows of zero


def test_beijing_air_by_the_local_day() -> None:
    """The file's own clock is Beijing's; the truth's day is the local one, which begins at 16:00 UTC."""
    series = Series()
    for row in table("beijing_multisite_air", "Dongsi_2013-03_2015-02.csv"):
        local = f"{row['year']}-{int(row['month']):02}-{int(row['day']):02}T{int(row['hour']):02}:00:00+08:00"
        series.add("pm25", us(local), row["PM2.5"])
        series.add("no2", us(local), row["NO2"])
    readings = series.readings()
    rows = series.by_window(local_days(readings, "Asia/Shanghai"))
    days = 0
    for truth in table("beijing_multisite_air", "truth_daily.csv"):
        start = us(f"{truth['date']}T00:00:00+08:00")
        if truth["station"] != "Dongsi" or start > int(readings.time_us.max()):
            continue
        days += 1
        check(rows, ("pm25", start), {"count": truth["pm25_n"], "mean": truth["pm25_mean"], "max": truth["pm25_max"]})
        check(rows, ("no2", start), {"count": truth["no2_n"], "mean": truth["no2_mean"]})
        if ("pm25", start) in rows and truth["pm25_p50"]:
            assert rows["pm25", start]["p50"] <= float(truth["pm25_p50"]) * 1.01
    assert days == 730


def test_interstate_traffic_by_the_day_without_its_repeated_hours() -> None:
    """7,629 rows repeat a moment (one per weather description): the store keeps one, so the day counts distinct hours."""
    series = Series()
    repeated = 0
    seen: set[str] = set()
    for row in table("metro_i94_traffic", "hourly_traffic_volume.csv"):
        repeated += row["date_time"] in seen
        seen.add(row["date_time"])
        series.add("volume", us(row["date_time"]), row["traffic_volume"])
    assert repeated == 7629
    rows = series.by_window(local_days(series.readings(), "UTC"))
    days = 0
    for truth in table("metro_i94_traffic", "truth_daily.csv"):
        days += 1
        check(rows, ("volume", us(truth["date"])), {"count": truth["n_hours"], "max": truth["volume_max"]})
        found = rows.get(("volume", us(truth["date"])))
        if found is not None:
            agree(found["mean"] * found["count"], truth["volume_sum"])
    assert days > 1000


def test_birmingham_car_parks_by_the_day_without_exact_duplicates() -> None:
    series = Series()
    for row in table("birmingham_parking", "hourly_parking.csv"):
        series.add(row["SystemCodeNumber"], us(row["LastUpdated"]), row["Occupancy"])
    rows = series.by_window(local_days(series.readings(), "UTC"))
    days = 0
    for truth in table("birmingham_parking", "truth_daily.csv"):
        days += 1
        wanted = {column: truth[f"occ_{column}"] for column in ("min", "max", "mean", "last")}
        check(rows, (truth["car_park"], us(truth["date"])), {"count": truth["n"], **wanted})
    assert days == len(rows) > 1500


def test_rows_do_not_depend_on_the_order_the_real_readings_came_in() -> None:
    series = Series()
    for row in table("birmingham_parking", "hourly_parking.csv"):
        series.add(row["SystemCodeNumber"], us(row["LastUpdated"]), row["Occupancy"])
    one, other = series.readings(1).windows(3600), series.readings(2).windows(3600)
    assert_same_windows(one, other)
    assert one.mean.tolist() == other.mean.tolist()
    with pytest.raises(AssertionError):
        assert_same_windows(one, series.readings(1).windows(7200))
