"""Real recordings through the real servers, held against truths computed independently of us (see ../shared/data)."""

from __future__ import annotations

import csv
import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from tests.integration.conftest import MakeWay
from tests.integration.whole_way import WholeWay

DATA = Path(__file__).parents[3] / "shared" / "data"
TOLERANCE = 1e-9


def recording(folder: str, name: str) -> Path:
    """Path of a recording; skips where the data set is not beside the repository."""
    path = DATA / folder / name
    if not path.exists():
        pytest.skip(f"the data set {folder} is not at {DATA}")
    return path


def truth(folder: str, name: str) -> list[dict[str, str]]:
    """Rows of a truth file."""
    with recording(folder, name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def near(value: float) -> object:
    """Equal to 1e-9, relative."""
    return pytest.approx(value, rel=TOLERANCE, abs=TOLERANCE)


def day_start(date: str, zone: str) -> str:
    """The UTC text of a local day's first moment."""
    start = dt.datetime.fromisoformat(date).replace(tzinfo=ZoneInfo(zone))
    return start.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def assert_adds_up(way: WholeWay, *, duplicates: int) -> None:
    """The ledger: everything received has its place, nothing is missing, so many were duplicates."""
    sums = way.ledger()
    sums["reasons"] = [
        tuple(row) for row in way.fetch("SELECT reason, min(detail), count(*) FROM city.dead_letters GROUP BY 1")
    ]  # type: ignore[assignment]
    assert sums["duplicate"] == duplicates, sums
    assert sums["unaccounted"] == sums["in_flight"] == sums["dead_letter"] == sums["refused"] == 0
    assert sums["received"] == sums["stored"] + sums["duplicate"]


def test_ghent_weather_hours_equal_the_truth_and_a_second_replay_changes_no_row(whole_way: MakeWay) -> None:
    csv_file = recording("ghent_vlinder_weather", "vlinder01-08_2022-09-01_06.csv")
    way = whole_way()
    arguments = (
        "--delimiter", ";", "--device-column", "Vlinder", "--time", "Datum", "--time", "Tijd (UTC)", "--time-format",
        "%Y-%m-%d %H:%M:%S", "--map", "Temperatuur=air_temperature:Cel", "--map", "Vochtigheid=relative_humidity:%",
        "--map", "Rukwind=wind_gust:km/h", "--pack", "20",
    )  # fmt: skip
    way.replay(csv_file, *arguments)
    way.close_windows("2022-09-10T00:00:00Z")
    assert_adds_up(way, duplicates=0)

    hours = truth("ghent_vlinder_weather", "truth_hourly.csv")
    found = {
        (device, metric): way.windows("1h", device, metric)
        for device in {row["station"] for row in hours}
        for metric in ("air_temperature", "relative_humidity", "wind_gust")
    }
    compared = 0
    for row in hours:
        station, start = row["station"], row["hour_start"]
        if not row["temp_mean"]:
            assert start not in found[station, "air_temperature"]
            continue
        temperature = found[station, "air_temperature"][start]
        assert temperature["mean"] == near(float(row["temp_mean"]))
        assert (temperature["min"], temperature["max"]) == (near(float(row["temp_min"])), near(float(row["temp_max"])))
        assert found[station, "relative_humidity"][start]["mean"] == near(float(row["humidity_mean"]))
        assert found[station, "wind_gust"][start]["max"] == near(float(row["gust_max"]) / 3.6)
        compared += 1
    assert compared > 1000

    before, stored = way.fingerprint(), way.ledger()["stored"]
    way.replay(csv_file, *arguments, ledger="again.ledger")
    way.settled()
    assert way.fingerprint() == before
    assert_adds_up(way, duplicates=stored - 24)
    way.stop()


def test_household_power_hours_equal_the_truth_across_an_outage_of_62_hours(whole_way: MakeWay) -> None:
    way = whole_way()
    way.replay(
        recording("household_power_1min", "household_power_2007-04-24_05-03.csv"),
        "--device", "meter-1", "--time", "Date", "--time", "Time", "--time-format", "%d/%m/%Y %H:%M:%S",
        "--map", "Global_active_power=active_power:kW", "--map", "Voltage=voltage:V", "--pack", "10",
    )  # fmt: skip
    way.close_windows("2007-05-06T00:00:00Z")
    assert_adds_up(way, duplicates=0)
    power, voltage = way.windows("1h", "meter-1", "active_power"), way.windows("1h", "meter-1", "voltage")
    hours = truth("household_power_1min", "truth_hourly.csv")
    for row in hours:
        start, valid = f"{row['hour_start']}Z", int(row["n_valid"])
        if valid == 0:
            assert start not in power
            continue
        assert power[start]["count"] == valid
        assert power[start]["expected"] == 60
        assert power[start]["mean"] == near(float(row["kw_mean"]) * 1000)
        assert power[start]["max"] == near(float(row["kw_max"]) * 1000)
        assert power[start]["mean"] * valid / 60 / 1000 == near(float(row["kwh"]))
        assert voltage[start]["mean"] == near(float(row["volt_mean"]))
    assert sum(int(row["n_valid"]) == 0 for row in hours) > 60
    way.stop()


def test_beijing_air_days_are_local_days(whole_way: MakeWay) -> None:
    zone = "Asia/Shanghai"
    way = whole_way(time_zone=zone)
    way.replay(
        recording("beijing_multisite_air", "Dongsi_2013-03_2015-02.csv"),
        "--device-column", "station", "--time", "year", "--time", "month", "--time", "day", "--time", "hour",
        "--time-format", "%Y %m %d %H", "--tz", zone, "--map", "PM2.5=pm2_5:ug/m3", "--map", "NO2=no2:ug/m3",
        "--pack", "24",
    )  # fmt: skip
    way.close_windows("2015-03-05T00:00:00Z")
    assert_adds_up(way, duplicates=0)
    particles, nitrogen = way.windows("1d", "Dongsi", "pm2_5"), way.windows("1d", "Dongsi", "no2")
    for row in truth("beijing_multisite_air", "truth_daily.csv"):
        start = day_start(row["date"], zone)
        assert particles.get(start, {"count": 0})["count"] == int(row["pm25_n"])
        assert nitrogen.get(start, {"count": 0})["count"] == int(row["no2_n"])
        if int(row["pm25_n"]):
            assert particles[start]["mean"] == near(float(row["pm25_mean"]))
            assert particles[start]["max"] == near(float(row["pm25_max"]))
        if int(row["no2_n"]):
            assert nitrogen[start]["mean"] == near(float(row["no2_mean"]))
    way.stop()


def test_i94_traffic_counts_each_repeated_hour_once(whole_way: MakeWay) -> None:
    way = whole_way()
    csv_file = recording("metro_i94_traffic", "hourly_traffic_volume.csv")
    way.replay(
        csv_file, "--device", "i94", "--time", "date_time", "--map", "traffic_volume=traffic_volume:1/h",
        "--pack", "24",
    )  # fmt: skip
    way.close_windows("2018-10-05T00:00:00Z")
    assert_adds_up(way, duplicates=7629)
    days = way.windows("1d", "i94", "traffic_volume")
    rows = truth("metro_i94_traffic", "truth_daily.csv")
    for row in rows:
        day = days[day_start(row["date"], "UTC")]
        assert day["count"] == int(row["n_hours"])
        assert day["mean"] * day["count"] == near(float(row["volume_sum"]))
        assert day["max"] == near(float(row["volume_max"]))
    assert len(days) == len(rows)
    way.stop()


def test_birmingham_parking_days_survive_the_end_of_summer_time_and_exact_duplicates(whole_way: MakeWay) -> None:
    zone = "Europe/London"
    way = whole_way(time_zone=zone)
    way.replay(
        recording("birmingham_parking", "hourly_parking.csv"),
        "--device-column", "SystemCodeNumber", "--time", "LastUpdated", "--tz", zone,
        "--map", "Occupancy=parking_occupancy", "--format", "plain-json",  # SenML allows no space in a name: "Bull Ring"
    )  # fmt: skip
    way.close_windows("2016-12-25T00:00:00Z")
    assert_adds_up(way, duplicates=216)
    rows = truth("birmingham_parking", "truth_daily.csv")
    found = {park: way.windows("1d", park, "parking_occupancy") for park in sorted({row["car_park"] for row in rows})}
    for row in rows:
        day = found[row["car_park"]][day_start(row["date"], zone)]
        assert day["count"] == int(row["n"])
        assert (day["min"], day["max"]) == (near(float(row["occ_min"])), near(float(row["occ_max"])))
        assert day["mean"] == near(float(row["occ_mean"]))
        assert day["last"] == near(float(row["occ_last"]))
    assert sum(len(days) for days in found.values()) == len(rows)
    way.stop()
