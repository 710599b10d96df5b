"""The city's signals: reproducible, within what instruments can show, correlated as a city is, with a day and a week in them."""

from __future__ import annotations

import hashlib
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from ingest.contract.sensor_kinds import METRICS
from simulators.fleet import AIR, KINDS, LIGHT, NOISE, TRAFFIC, Fleet, Kind, build
from simulators.noise import Floats, Noise
from simulators.signals import SIGNALS, LampMeter, Samples
from simulators.weather import Place, Weather

GHENT = Place(51.05, 3.73, ZoneInfo("Europe/Brussels"))
MONDAY_S = 1_793_577_600  # 2026-11-02 00:00 UTC
DAY_S = 86_400


def fleet_of(kind: Kind, devices: int = 580, seed: int = 1) -> Fleet:
    return next(fleet for fleet in build(devices, seed, GHENT) if fleet.kind is kind)


def measure(fleet: Fleet, who: list[int], times_s: Floats, seed: int = 1) -> dict[str, Floats]:
    """Values [devices, times] of each metric."""
    noise = Noise(seed)
    index = np.repeat(np.asarray(who, dtype=np.int64), len(times_s))
    at_s = np.tile(times_s, len(who)).astype(np.float64)
    samples = Samples(noise, fleet, index, at_s, Weather(noise, GHENT, at_s), LampMeter(noise, GHENT))
    return {
        metric: value.reshape(len(who), len(times_s)) for metric, value in SIGNALS[fleet.kind.name](samples).items()
    }


def a_week(step_s: int = 1800) -> Floats:
    return np.arange(MONDAY_S, MONDAY_S + 7 * DAY_S, step_s, dtype=np.float64)


def hash_of(seed: int) -> str:
    digest = hashlib.sha256()
    for kind in KINDS:
        values = measure(fleet_of(kind, seed=seed), [0, 1], a_week(), seed)
        for metric in kind.metrics:
            digest.update(metric.encode() + np.ascontiguousarray(values[metric]).tobytes())
    return digest.hexdigest()


def test_the_same_seed_gives_the_same_values_and_another_seed_others() -> None:
    assert hash_of(7) == hash_of(7)
    assert hash_of(7) != hash_of(8)


def test_a_value_does_not_depend_on_what_else_is_asked_for() -> None:
    fleet = fleet_of(AIR)
    alone = measure(fleet, [5], np.asarray([MONDAY_S + 3600.0]))
    among = measure(fleet, [3, 5, 9], np.asarray([MONDAY_S, MONDAY_S + 3600.0, MONDAY_S + 7200.0]))
    for metric in AIR.metrics:
        assert alone[metric][0, 0] == among[metric][1, 1]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_value_of_a_year_is_plausible_for_its_metric(kind: Kind) -> None:
    fleet = fleet_of(kind)
    year = np.arange(MONDAY_S, MONDAY_S + 365 * DAY_S, 13 * 3600.0 + 1000.0)
    values = measure(fleet, list(range(0, len(fleet), 7)), year)
    assert set(values) == set(kind.metrics)
    for metric, found in values.items():
        assert np.isfinite(found).all()
        assert METRICS[metric].low <= found.min() <= found.max() <= METRICS[metric].high
        assert found.std() > 0 or metric == "lamp_on"


@pytest.mark.parametrize(("kind", "metric"), [(TRAFFIC, "traffic_count"), (AIR, "no2"), (NOISE, "laeq")])
def test_a_working_day_is_busy_at_rush_hour_and_quiet_at_night(kind: Kind, metric: str) -> None:
    hours = np.arange(MONDAY_S, MONDAY_S + 5 * DAY_S, 600.0)
    mean = measure(fleet_of(kind), list(range(20)), hours)[metric].mean(axis=0)
    local_hour = (hours / 3600.0 + 1) % 24  # Ghent in November is one hour ahead of UTC
    rush = mean[(local_hour >= 7.5) & (local_hour < 9)].mean()
    night = mean[(local_hour >= 2) & (local_hour < 4)].mean()
    assert rush > 1.1 * night
    if metric == "traffic_count":
        assert rush > 4 * night


def test_the_weekend_has_no_morning_rush() -> None:
    week = a_week(600)
    mean = measure(fleet_of(TRAFFIC), list(range(30)), week)["traffic_count"].mean(axis=0)
    local = week / 3600.0 + 1
    morning = (local % 24 >= 7.5) & (local % 24 < 9)
    weekend = (local // 24 - MONDAY_S / DAY_S) >= 5
    assert mean[morning & weekend].mean() < 0.5 * mean[morning & ~weekend].mean()


def test_neighbours_are_more_alike_than_the_two_ends_of_the_city() -> None:
    fleet = fleet_of(AIR)
    times = np.arange(MONDAY_S, MONDAY_S + 14 * DAY_S, 3600.0)
    noise = Noise(1)
    index = np.repeat(np.arange(len(fleet), dtype=np.int64), len(times))
    at_s = np.tile(times, len(fleet))
    field = Samples(noise, fleet, index, at_s, Weather(noise, GHENT, at_s), LampMeter(noise, GHENT)).field(
        "plume", 3600.0
    )
    together = np.asarray(np.corrcoef(field.reshape(len(fleet), -1)))
    distance = np.hypot(*(fleet.position_m[:, None] - fleet.position_m[None]).transpose(2, 0, 1))
    near = together[(distance > 0) & (distance < 500)].mean()
    far = together[distance > 5000].mean()
    assert near > 0.8
    assert far < near - 0.4


def test_lamps_burn_at_night_and_their_meters_never_run_back() -> None:
    values = measure(fleet_of(LIGHT), list(range(10)), np.arange(MONDAY_S, MONDAY_S + 3 * DAY_S, 300.0))
    lamp = values["lamp_on"]
    assert 0.4 < lamp.mean() < 0.75  # a November night in Ghent
    assert (np.diff(values["energy_total"], axis=1) >= 0).all()
    assert (values["active_power"][lamp == 0] < 1.0).all()
    kwh = (values["active_power"] / 1000.0 * 300 / 3600).sum(axis=1)
    grown = values["energy_total"][:, -1] - values["energy_total"][:, 0]
    assert np.allclose(kwh, grown, rtol=0.05, atol=0.06)


def test_rain_comes_and_goes_and_raises_the_rivers() -> None:
    times = np.arange(MONDAY_S, MONDAY_S + 60 * DAY_S, 900.0)
    weather = Weather(Noise(1), GHENT, times)
    assert 0.03 < (weather.rain_mm_h > 0).mean() < 0.4
    assert weather.soaked_mm[weather.rain_mm_h > 2].mean() > 3 * weather.soaked_mm[weather.rain_mm_h == 0].mean()
