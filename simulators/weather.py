"""What the whole city has in common at a moment: sun, weather, the rhythm of its people. All functions of (seed, time)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from zoneinfo import ZoneInfo

import numpy as np

from simulators.noise import Floats, Noise

DAY_S = 86_400.0
_QUARTER_S = 900
_RAIN_MEMORY_H = np.arange(0.0, 18.0, 0.5)
"""Lags over which the catchment remembers rain."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the city is and which clock it lives by."""

    latitude: float
    longitude: float
    zone: ZoneInfo


@dataclass(frozen=True)
class Weather:
    """Weather and rhythm at the moments `time_s` (Unix seconds, shape [n]); every property has that shape."""

    noise: Noise
    place: Place
    time_s: Floats

    @cached_property
    def local_s(self) -> Floats:
        """Seconds of the local clock since 1970-01-01 00:00 local."""
        quarters, inverse = np.unique(self.time_s // _QUARTER_S, return_inverse=True)  # clocks change on quarter hours
        offsets = [_utc_offset_s(self.place.zone, float(quarter) * _QUARTER_S) for quarter in quarters]
        return np.asarray(self.time_s + np.asarray(offsets, np.float64)[inverse])

    @cached_property
    def local_hour(self) -> Floats:
        """Hour of the local day, 0 <= h < 24."""
        return np.asarray(self.local_s % DAY_S / 3600.0)

    @cached_property
    def weekend(self) -> Floats:
        """1 on Saturday and Sunday, else 0 (1970-01-01 was a Thursday)."""
        return ((self.local_s // DAY_S + 3) % 7 >= 5).astype(np.float64)

    @cached_property
    def sun_elevation_deg(self) -> Floats:
        """Height of the sun (declination after Cooper 1969; the equation of time is left out: at most 16 minutes)."""
        days = self.time_s / DAY_S
        declination = np.radians(23.45) * np.sin(2 * np.pi * (days % 365.2425 - 80.0) / 365.2425)
        hour_angle = np.radians((days % 1.0) * 360.0 - 180.0 + self.place.longitude)
        latitude = np.radians(self.place.latitude)
        sine = np.sin(latitude) * np.sin(declination) + np.cos(latitude) * np.cos(declination) * np.cos(hour_angle)
        return np.asarray(np.degrees(np.arcsin(np.clip(sine, -1.0, 1.0))))

    @cached_property
    def cloud(self) -> Floats:
        """Cover, 0 clear to 1 overcast."""
        front = self.noise.smooth("front", 0, self.time_s, 9 * 3600.0)
        return np.clip(0.45 + 0.35 * front + 0.1 * self.noise.smooth("cloud", 0, self.time_s, 1800.0), 0.0, 1.0)

    @cached_property
    def rain_mm_h(self) -> Floats:
        """Rain: showers where the front is strong."""
        return rain_mm_h(self.noise, self.time_s)

    @cached_property
    def soaked_mm(self) -> Floats:
        """Rain of the last 18 hours as a small river feels it: a gamma-shaped answer with its peak after two hours."""
        answer = _RAIN_MEMORY_H / 2.0 * np.exp(1.0 - _RAIN_MEMORY_H / 2.0) * 0.5
        moments, inverse = np.unique(
            self.time_s // 60.0, return_inverse=True
        )  # minutes: the river does not know seconds
        past = rain_mm_h(self.noise, moments[:, None] * 60.0 - _RAIN_MEMORY_H * 3600.0)
        return np.asarray((past @ answer)[inverse])

    @cached_property
    def wind_m_s(self) -> Floats:
        """Mean wind, stronger by day."""
        base = (
            3.2
            + 1.6 * self.noise.smooth("wind", 0, self.time_s, 5 * 3600.0)
            + 0.8 * np.clip(self.sun_elevation_deg, 0, 40) / 40
        )
        return np.clip(base, 0.3, 25.0)

    @cached_property
    def temperature_cel(self) -> Floats:
        """Air temperature at the city's centre: season, sun two hours ago, fronts."""
        season = 11.0 - (abs(self.place.latitude) / 6.0) * np.cos(
            2 * np.pi * (self.time_s / DAY_S % 365.2425 - 20.0) / 365.2425
        )
        warmth = 12.0 - abs(self.place.latitude) * 0.22  # the tropics are warm the year round
        hour = (self.time_s / 3600.0 + self.place.longitude / 15.0) % 24.0
        day = (2.0 + 4.0 * (1.0 - self.cloud)) * -np.cos(2 * np.pi * (hour - 3.5) / 24.0)
        return season + warmth + day + 2.5 * self.noise.smooth("airmass", 0, self.time_s, 30 * 3600.0)

    @cached_property
    def humidity_percent(self) -> Floats:
        """Relative humidity: high when cold and wet."""
        base = (
            72.0
            + 18.0 * (self.cloud - 0.5)
            - 0.5 * np.clip(self.sun_elevation_deg, -10, 60)
            + 8.0 * np.minimum(self.rain_mm_h, 2.0)
        )
        return np.clip(base, 18.0, 100.0)

    @cached_property
    def traffic(self) -> Floats:
        """Demand on the streets, 0 to 1: two rush hours on a working day, one long afternoon at the weekend."""
        hour = self.local_hour
        working = 0.06 + 0.78 * _bump(hour, 8.0, 1.1) + 0.88 * _bump(hour, 17.4, 1.5) + 0.46 * _bump(hour, 12.8, 3.2)
        leisure = 0.08 + 0.58 * _bump(hour, 15.0, 3.6) + 0.12 * _bump(hour, 23.5, 1.5)
        return np.clip(working * (1 - self.weekend) + leisure * self.weekend, 0.03, 1.0)

    @cached_property
    def dimming_percent(self) -> Floats:
        """The street lights' schedule: on when the sun is down, half from 23 to 5 o'clock local."""
        night = self.sun_elevation_deg < -2.0
        late = (self.local_hour >= 23.0) | (self.local_hour < 5.0)
        return np.where(night, np.where(late, 50.0, 100.0), 0.0)


def rain_mm_h(noise: Noise, time_s: Floats) -> Floats:
    """Rain rate at `time_s` (any shape), mm/h."""
    front = noise.smooth("front", 0, time_s, 9 * 3600.0) + 0.5 * noise.smooth("shower", 0, time_s, 2400.0)
    return np.clip(front - 0.95, 0.0, None) * 6.0


def _bump(hour: Floats, centre: float, width: float) -> Floats:
    distance = (hour - centre + 12.0) % 24.0 - 12.0
    return np.asarray(np.exp(-0.5 * (distance / width) ** 2))


def _utc_offset_s(zone: ZoneInfo, at_s: float) -> float:
    offset = datetime.fromtimestamp(at_s, UTC).astimezone(zone).utcoffset()
    return offset.total_seconds() if offset is not None else 0.0
