"""The catalogue of metrics: canonical unit, plausible range, how a window of it is averaged, and which units convert.

A metric that is not listed here cannot be stored: the unit of a number must be known before it is averaged.
Plausible ranges are the instrument's physical limits, not alarm thresholds ("high" is not "wrong": Beijing saw 999 ug/m3).
Units are written as UCUM codes with a few customary ones (vehicles, dB).
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


class Mean(enum.IntEnum):
    """Which special aggregate a window of the metric carries beside the arithmetic columns."""

    ARITHMETIC = 0  # none: `special` stays null
    CIRCULAR = 1  # degrees: `special` is the circular mean, 0 <= x < 360
    ENERGETIC = 2  # decibels: `special` is the Leq, 10 log10(mean(10^(L/10)))
    COUNTER = 3  # a meter that only grows: `special` is the increase, resets counted from 0


@dataclass(frozen=True, slots=True)
class Metric:
    """One canonical metric. `low`/`high` are in `unit`, inclusive. `interval_s` is the expected seconds between readings."""

    name: str
    unit: str
    low: float
    high: float
    mean: Mean = Mean.ARITHMETIC
    interval_s: int = 300


def _table(*metrics: Metric) -> Mapping[str, Metric]:
    return MappingProxyType({metric.name: metric for metric in metrics})


METRICS: Mapping[str, Metric] = _table(
    # weather
    Metric("air_temperature", "Cel", -60, 60),
    Metric("globe_temperature", "Cel", -60, 90),
    Metric("dew_point", "Cel", -90, 60),
    Metric("relative_humidity", "%", 0, 100),
    Metric("air_pressure", "hPa", 800, 1100),
    Metric("sea_level_pressure", "hPa", 850, 1100),
    Metric("precipitation", "mm", 0, 500),
    Metric("precipitation_rate", "mm/h", 0, 1000),
    Metric("precipitation_total", "mm", 0, 1e7, Mean.COUNTER),
    Metric("wind_speed", "m/s", 0, 110),
    Metric("wind_gust", "m/s", 0, 130),
    Metric("wind_direction", "deg", 0, 360, Mean.CIRCULAR),
    Metric("solar_radiation", "W/m2", 0, 2000),
    Metric("illuminance", "lx", 0, 200_000),
    Metric("light_level", "1", 0, 1e6),
    # air quality
    Metric("pm1", "ug/m3", 0, 2000, interval_s=60),
    Metric("pm2_5", "ug/m3", 0, 2000, interval_s=60),
    Metric("pm4", "ug/m3", 0, 2000, interval_s=60),
    Metric("pm10", "ug/m3", 0, 5000, interval_s=60),
    Metric("no2", "ug/m3", 0, 4000, interval_s=60),
    Metric("no", "ug/m3", 0, 4000, interval_s=60),
    Metric("o3", "ug/m3", 0, 2000, interval_s=60),
    Metric("so2", "ug/m3", 0, 10_000, interval_s=60),
    Metric("co", "ug/m3", 0, 200_000, interval_s=60),
    Metric("co2", "ppm", 0, 50_000, interval_s=60),
    Metric("eco2", "ppm", 0, 65_000, interval_s=60),
    Metric("tvoc", "ppb", 0, 65_000, interval_s=60),
    Metric("hcho", "ppb", 0, 10_000, interval_s=60),
    Metric("nh3", "ppm", 0, 1000, interval_s=60),
    Metric("h2s", "ppm", 0, 1000, interval_s=60),
    # noise
    Metric("sound_level", "dB", 0, 194, Mean.ENERGETIC, 60),
    Metric("laeq", "dB", 0, 194, Mean.ENERGETIC, 60),
    Metric("lamax", "dB", 0, 194, interval_s=60),
    # traffic, people, parking
    Metric("traffic_count", "1", 0, 100_000, interval_s=60),
    Metric("traffic_volume", "1/h", 0, 100_000, interval_s=3600),
    Metric("vehicle_speed", "km/h", 0, 300, interval_s=60),
    Metric("lane_occupancy", "%", 0, 100, interval_s=60),
    Metric("people_in", "1", 0, 1e6),
    Metric("people_out", "1", 0, 1e6),
    Metric("parking_occupied", "1", 0, 1),
    Metric("parking_occupancy", "1", -1000, 1e5, interval_s=1800),
    # water
    Metric("water_level", "m", -50, 100),
    Metric("water_flow", "m3/h", 0, 1e6),
    Metric("water_temperature", "Cel", -5, 60),
    Metric("water_leak", "1", 0, 1),
    Metric("conductivity", "S/m", 0, 20),
    Metric("turbidity", "NTU", 0, 10_000),
    Metric("ph", "[pH]", 0, 14),
    Metric("dissolved_oxygen", "mg/L", 0, 50),
    Metric("pipe_pressure", "kPa", 0, 10_000),
    Metric("distance", "mm", 0, 100_000),
    Metric("fill_level", "%", 0, 100),
    # soil
    Metric("soil_temperature", "Cel", -50, 80),
    Metric("soil_moisture", "%", 0, 100),
    # energy and light
    Metric("active_power", "W", -1e9, 1e9, interval_s=60),
    Metric("reactive_power", "var", -1e9, 1e9, interval_s=60),
    Metric("voltage", "V", 0, 500_000, interval_s=60),
    Metric("current", "A", -100_000, 100_000, interval_s=60),
    Metric("frequency", "Hz", 0, 1000, interval_s=60),
    Metric("energy_total", "kWh", 0, 1e12, Mean.COUNTER, 60),
    Metric("energy", "Wh", 0, 1e9, interval_s=60),
    Metric("dimming_level", "%", 0, 100),
    Metric("lamp_on", "1", 0, 1),
    # buildings and devices
    Metric("temperature", "Cel", -100, 200),
    Metric("presence", "1", 0, 1),
    Metric("motion_count", "1", 0, 1e7),
    Metric("door_open", "1", 0, 1),
    Metric("tamper", "1", 0, 1),
    Metric("device_temperature", "Cel", -60, 150),
    Metric("battery_voltage", "V", 0, 60, interval_s=3600),
    Metric("battery_level", "%", 0, 100, interval_s=3600),
    Metric("signal_strength", "dBm", -200, 20),
    Metric("signal_to_noise", "dB", -40, 60),
)


@dataclass(frozen=True, slots=True)
class Conversion:
    """canonical = given * scale + offset."""

    scale: float
    offset: float = 0.0


_CONVERSIONS: Mapping[tuple[str, str], Conversion] = MappingProxyType(
    {
        ("K", "Cel"): Conversion(1.0, -273.15),
        ("[degF]", "Cel"): Conversion(5 / 9, -160 / 9),
        ("Pa", "hPa"): Conversion(0.01),
        ("kPa", "hPa"): Conversion(10.0),
        ("bar", "hPa"): Conversion(1000.0),
        ("mbar", "hPa"): Conversion(1.0),
        ("hPa", "kPa"): Conversion(0.1),
        ("bar", "kPa"): Conversion(100.0),
        ("Pa", "kPa"): Conversion(0.001),
        ("km/h", "m/s"): Conversion(1 / 3.6),
        ("m/s", "km/h"): Conversion(3.6),
        ("kn", "m/s"): Conversion(1852 / 3600),
        ("1", "%"): Conversion(100.0),
        ("mm", "m"): Conversion(0.001),
        ("cm", "m"): Conversion(0.01),
        ("m", "mm"): Conversion(1000.0),
        ("cm", "mm"): Conversion(10.0),
        ("kW", "W"): Conversion(1000.0),
        ("mW", "W"): Conversion(0.001),
        ("kvar", "var"): Conversion(1000.0),
        ("Wh", "kWh"): Conversion(0.001),
        ("kWh", "Wh"): Conversion(1000.0),
        ("J", "kWh"): Conversion(1 / 3_600_000),
        ("mV", "V"): Conversion(0.001),
        ("mA", "A"): Conversion(0.001),
        ("mg/m3", "ug/m3"): Conversion(1000.0),
        ("ng/m3", "ug/m3"): Conversion(0.001),
        ("ppm", "ppb"): Conversion(1000.0),
        ("ppb", "ppm"): Conversion(0.001),
        ("uS/cm", "S/m"): Conversion(1e-4),
        ("mS/cm", "S/m"): Conversion(0.1),
        ("rad", "deg"): Conversion(57.29577951308232),
        ("L/s", "m3/h"): Conversion(3.6),
        ("L/min", "m3/h"): Conversion(0.06),
        ("m3/s", "m3/h"): Conversion(3600.0),
        ("min-1", "1/h"): Conversion(60.0),
        ("s-1", "1/h"): Conversion(3600.0),
    }
)

_SAME_UNIT: Mapping[str, str] = MappingProxyType(
    {
        "℃": "Cel", "°C": "Cel", "C": "Cel", "degC": "Cel", "celsius": "Cel", "°F": "[degF]", "F": "[degF]", "degF": "[degF]",
        "%RH": "%", "%EL": "%", "pct": "%", "percent": "%", "lux": "lx", "us/cm": "uS/cm", "µS/cm": "uS/cm", "μS/cm": "uS/cm",
        "µg/m³": "ug/m3", "μg/m³": "ug/m3", "µg/m3": "ug/m3", "μg/m3": "ug/m3", "ug/m³": "ug/m3", "mg/m³": "mg/m3",
        "W/m²": "W/m2", "W/m^2": "W/m2", "°": "deg", "degrees": "deg", "dBA": "dB", "dB(A)": "dB", "dBW": "dBW",
        "kmh": "km/h", "kph": "km/h", "mps": "m/s", "knots": "kn", "mbar": "hPa", "hpa": "hPa", "pa": "Pa",
        "pH": "[pH]", "count": "1", "/": "1", "l/s": "L/s", "m³/h": "m3/h", "m³/s": "m3/s", "vehicles": "1",
    }
)  # fmt: skip


def canonical_unit(unit: str) -> str:
    """The UCUM spelling of a unit as vendors write it; an unknown spelling comes back unchanged."""
    stripped = unit.strip()
    return _SAME_UNIT.get(stripped, stripped)


def conversion(metric: Metric, unit: str) -> Conversion | None:
    """How a value in `unit` becomes one in `metric.unit`; None where no exact conversion is known (never a guess).

    ppb <-> ug/m3 is deliberately absent: it depends on a reference temperature, so a device profile must state the factor.
    """
    given = canonical_unit(unit)
    if given == metric.unit:
        return Conversion(1.0)
    return _CONVERSIONS.get((given, metric.unit))
