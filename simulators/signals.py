"""What the devices measure: one function a kind, all devices of a moment at once. Every value is a function of (seed, device, time).

Argument `at` holds n samples as columns; the answer is a mapping metric -> values of shape [n], in canonical units and rounded to the
instrument's resolution (so that the printed decimal and the number in the ledger are the same double).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from simulators.fleet import AIR, LIGHT, NOISE, TRAFFIC, WATER, Fleet
from simulators.noise import Floats, Ints, Noise
from simulators.weather import Place, Weather

Values = dict[str, Floats]
_FIELD_MODES = 6
_FIELD_LENGTH_M = 2500.0
_METER_START_S = 1_577_836_800  # 2020-01-01: the street lights' meters were installed at zero
_METER_STEP_S = 600


@dataclass(frozen=True)
class Samples:
    """n samples: `who` indexes the fleet, `time_s` is Unix time; `weather` is the city's at those times."""

    noise: Noise
    fleet: Fleet
    who: Ints
    time_s: Floats
    weather: Weather
    meter: LampMeter

    @property
    def key(self) -> Ints:
        """The devices' random-number keys."""
        return self.fleet.key[self.who]

    @property
    def tick(self) -> Ints:
        """The samples' moments as integers, for numbers that are new at each sample."""
        return np.round(self.time_s).astype(np.int64)

    def trait(self, name: str, low: float, high: float) -> Floats:
        """A fixed property of each device, even between `low` and `high`."""
        return low + (high - low) * self.noise.uniform(name, self.key)

    def jitter(self, name: str, scale: float) -> Floats:
        """Instrument noise, new at each sample."""
        return scale * self.noise.normal(name, self.key, self.tick)

    def drift(self, name: str, period_s: float, scale: float) -> Floats:
        """A slow curve of each device's own."""
        return scale * self.noise.smooth(name, self.key, self.time_s, period_s)

    def field(self, name: str, period_s: float) -> Floats:
        """A smooth field over the city and time, unit variance: near devices get near values.

        A sum of plane waves with slowly changing amplitudes (a spectral simulation of a Gaussian field).
        """
        mode = np.arange(_FIELD_MODES, dtype=np.int64)
        angle = 2 * np.pi * self.noise.uniform(f"{name} angle", mode)
        wave = 2 * np.pi / (_FIELD_LENGTH_M * (1.0 + 3.0 * self.noise.uniform(f"{name} length", mode)))
        phase = 2 * np.pi * self.noise.uniform(f"{name} phase", mode)
        east, north = self.fleet.position_m[self.who].T
        moments, inverse = np.unique(self.tick, return_inverse=True)
        seconds = np.broadcast_to(moments[:, None].astype(np.float64), (len(moments), _FIELD_MODES))
        cosine = self.noise.smooth(f"{name} cos", mode, seconds, period_s)[inverse]
        sine = self.noise.smooth(f"{name} sin", mode, seconds, period_s)[inverse]
        turn = wave * (east[:, None] * np.cos(angle) + north[:, None] * np.sin(angle)) + phase
        return np.asarray((cosine * np.cos(turn) + sine * np.sin(turn)).sum(axis=1) / np.sqrt(_FIELD_MODES * 0.75))


class LampMeter:
    """The integral of the lights' schedule since their installation, hours at full power; tabulated once and interpolated."""

    def __init__(self, noise: Noise, place: Place) -> None:
        self._noise, self._place = noise, place
        self._hours: Floats = np.zeros(1)

    def full_power_hours(self, time_s: Floats) -> Floats:
        """Hours at full power from 2020 to `time_s`; 0 before."""
        need = int((np.max(time_s, initial=_METER_START_S) - _METER_START_S) // _METER_STEP_S) + 2
        if need > len(self._hours):
            steps = np.arange(need + 1008) * float(_METER_STEP_S) + _METER_START_S
            level = Weather(self._noise, self._place, np.asarray(steps, np.float64)).dimming_percent / 100.0
            self._hours = np.concatenate([[0.0], np.cumsum(level[:-1]) * _METER_STEP_S / 3600.0])
        position = np.clip((time_s - _METER_START_S) / _METER_STEP_S, 0.0, len(self._hours) - 1.001)
        below = position.astype(np.int64)
        part = position - below
        return self._hours[below] * (1 - part) + self._hours[below + 1] * part


def _demand(at: Samples) -> Floats:
    """Traffic at each device, 0 to about 1.2: the city's rhythm, the neighbourhood's mood, less in the rain."""
    local = 1.0 + 0.18 * at.field("demand", 2 * 3600.0) + at.drift("own demand", 1800.0, 0.06)
    return np.clip(at.weather.traffic * local * (1.0 - 0.04 * np.minimum(at.weather.rain_mm_h, 3.0)), 0.01, 1.3)


def traffic(at: Samples) -> Values:
    """Counter loops: count in the interval, mean speed, occupancy (speed falls as the lanes fill, after Greenshields 1935)."""
    interval_s = at.fleet.kind.interval_s
    capacity_h = at.trait("capacity", 300.0, 1900.0)
    incident = np.clip(at.drift("incident", 2400.0, 1.0) - 2.35, 0.0, 1.0)
    load = np.clip(_demand(at) * at.trait("popular", 0.55, 1.0) + incident, 0.0, 1.15)
    mean = capacity_h * np.minimum(load, 1.0) * (1.0 - 0.7 * incident) * interval_s / 3600.0
    count = np.clip(np.round(mean + np.sqrt(mean) * at.noise.normal("count", at.key, at.tick)), 0, None)
    occupancy = np.clip(3.0 + 34.0 * load**2 + 40.0 * incident + at.jitter("occupancy", 1.0), 0.0, 98.0)
    free = at.trait("free speed", 38.0, 72.0)
    speed = np.clip(
        free * (1.0 - occupancy / 130.0) - 1.5 * np.minimum(at.weather.rain_mm_h, 3) + at.jitter("speed", 1.6),
        3.0,
        120.0,
    )
    return {"traffic_count": count, "vehicle_speed": np.round(speed, 1), "lane_occupancy": np.round(occupancy, 1)}


def air_quality(at: Samples) -> Values:
    """Street and background stations: traffic makes NO2, calm air keeps it, sun turns it to O3, cold evenings and fronts bring dust."""
    weather = at.weather
    calm = 1.0 / (0.6 + 0.22 * weather.wind_m_s)
    kerb = at.trait("kerb", 0.35, 1.25)
    no2 = (9.0 + 62.0 * _demand(at) * kerb) * calm * (1.0 + 0.2 * at.field("plume", 3600.0)) + at.jitter("no2", 0.8)
    no2 = np.clip(no2, 0.5, None)
    sun = np.clip(weather.sun_elevation_deg, 0.0, 60.0) / 60.0
    o3 = 38.0 + 74.0 * sun * (1.2 - weather.cloud) - 0.42 * no2 + 5.0 * at.field("ozone", 3 * 3600.0)
    o3 = np.clip(o3 + at.jitter("o3", 0.9), 1.0, None)
    region = np.exp(2.1 + 0.55 * at.noise.smooth("haze", 0, at.time_s, 20 * 3600.0))
    heating = (
        9.0
        * np.clip((14.0 - weather.temperature_cel) / 14.0, 0, 1.5)
        * np.exp(-0.5 * ((weather.local_hour - 20.5) / 2.4) ** 2)
    )
    wash = 1.0 / (1.0 + 0.35 * weather.rain_mm_h)
    pm2_5 = (
        (region + heating * kerb + 7.0 * _demand(at) * kerb)
        * (0.5 + 0.5 * calm)
        * wash
        * np.exp(0.18 * at.field("dust", 3600.0))
    )
    pm2_5 = np.clip(pm2_5 + at.jitter("pm2_5", 0.5), 0.5, None)
    pm10 = pm2_5 * at.trait("coarse", 1.25, 1.7) + 0.7 * weather.wind_m_s + np.abs(at.jitter("pm10", 1.0))
    temperature = weather.temperature_cel + 1.5 * np.exp(-((np.hypot(*at.fleet.position_m[at.who].T) / 2500.0) ** 2))
    temperature = (
        temperature
        + 0.5 * at.field("warmth", 4 * 3600.0)
        + at.trait("siting", -0.4, 0.4)
        + at.jitter("temperature", 0.05)
    )
    humidity = np.clip(
        weather.humidity_percent - 2.5 * (temperature - weather.temperature_cel) + at.jitter("humidity", 0.7),
        10.0,
        100.0,
    )
    return {
        "pm2_5": np.round(pm2_5, 1), "pm10": np.round(pm10, 1), "no2": np.round(no2, 1), "o3": np.round(o3, 1),
        "air_temperature": np.round(temperature, 1), "relative_humidity": np.round(humidity, 1),
    }  # fmt: skip


def noise_level(at: Samples) -> Values:
    """Sound level meters: 10 dB a decade of traffic, weekend nights in the middle of town, rain on the housing."""
    hour = at.weather.local_hour
    night_life = at.weather.weekend * np.exp(-0.5 * (((hour - 0.8 + 12) % 24 - 12) / 2.2) ** 2)
    centre = np.exp(-((np.hypot(*at.fleet.position_m[at.who].T) / 1500.0) ** 2))
    energy = 10 ** (at.trait("quiet", 3.3, 4.0)) + 10 ** (at.trait("road", 5.7, 6.9)) * _demand(at) ** 1.1
    energy = energy + 10**6.2 * night_life * centre + 10**4.8 * at.weather.rain_mm_h
    laeq = 10.0 * np.log10(energy) + 1.2 * at.field("sound", 1200.0) + at.jitter("laeq", 1.1)
    laeq = np.clip(laeq, 28.0, 110.0)
    lamax = np.clip(laeq + 5.0 - 4.5 * np.log(1.0 - 0.999 * at.noise.uniform("peak", at.key, at.tick)), laeq, 125.0)
    return {"laeq": np.round(laeq, 1), "lamax": np.round(lamax, 1)}


def water_level(at: Samples) -> Values:
    """Gauges on small rivers and a tidal one: rain of the last hours, a tide for some, the season's warmth; a battery fed by the sun."""
    catchment = at.trait("catchment", 0.015, 0.06)
    tide_m = np.where(at.trait("tidal", 0.0, 1.0) < 0.3, 0.55, 0.0)
    tide = tide_m * np.sin(2 * np.pi * at.time_s / 44_714.2 + 0.0004 * at.fleet.position_m[at.who, 1])  # M2: 12.42 h
    level = at.trait("datum", 0.6, 2.4) + catchment * at.weather.soaked_mm + tide + at.drift("weir", 6 * 3600.0, 0.03)
    level = level + at.jitter("level", 0.004)
    water = (
        11.0
        + 0.45 * (at.weather.temperature_cel - 11.0)
        + at.drift("water", 12 * 3600.0, 0.5)
        + at.jitter("water cel", 0.03)
    )
    sun = np.clip(at.weather.sun_elevation_deg, 0.0, 45.0) / 45.0
    battery = 3.62 + 0.18 * sun + at.trait("cell", -0.05, 0.05) + at.jitter("battery", 0.004)
    return {
        "water_level": np.round(level, 3),
        "water_temperature": np.round(np.clip(water, 0.0, 40.0), 2),
        "battery_voltage": np.round(battery, 3),
    }


def street_light(at: Samples) -> Values:
    """Lamps on one schedule, each with its own power; the meter is the schedule's integral, so it never runs backwards."""
    level = at.weather.dimming_percent
    watt = at.trait("watt", 42.0, 118.0)
    power = np.where(level > 0, watt * level / 100.0 * (1.0 + at.jitter("supply", 0.01)), 0.4)
    energy = watt / 1000.0 * at.meter.full_power_hours(at.time_s)
    return {
        "lamp_on": np.where(level > 0, 1.0, 0.0),
        "dimming_level": level,
        "active_power": np.round(power, 1).astype(np.float64),
        "energy_total": np.round(energy, 3),
    }


SIGNALS: Mapping[str, Callable[[Samples], Values]] = MappingProxyType(
    {
        AIR.name: air_quality,
        NOISE.name: noise_level,
        TRAFFIC.name: traffic,
        WATER.name: water_level,
        LIGHT.name: street_light,
    }
)
"""Kind -> what its devices measure."""
