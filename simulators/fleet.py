"""The city's devices: five kinds, spread over named districts around the centre. The same seed gives the same fleet."""

from __future__ import annotations

import csv
import io
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from simulators.noise import Floats, Ints, Noise
from simulators.weather import Place

_METRES_PER_DEGREE = 111_320.0
_DISTRICT_SPREAD_M = 450.0


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of device. `share` of the fleet; a sample every `interval_s`; one message carries `pack` samples."""

    name: str
    title: str
    share: float
    interval_s: int
    pack: int
    metrics: tuple[str, ...]


AIR = Kind("air_quality", "Air", 0.20, 300, 1, ("pm2_5", "pm10", "no2", "o3", "air_temperature", "relative_humidity"))
NOISE = Kind("noise", "Noise", 0.17, 120, 1, ("laeq", "lamax"))
TRAFFIC = Kind("traffic", "Traffic", 0.21, 120, 1, ("traffic_count", "vehicle_speed", "lane_occupancy"))
WATER = Kind("water_level", "Water", 0.10, 300, 1, ("water_level", "water_temperature", "battery_voltage"))
LIGHT = Kind("street_light", "Light", 0.32, 300, 1, ("lamp_on", "dimming_level", "active_power", "energy_total"))
KINDS: tuple[Kind, ...] = (AIR, NOISE, TRAFFIC, WATER, LIGHT)

DISTRICTS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "Centre": (0, 0),
        "Old Harbour": (900, 1700),
        "Station": (400, -1600),
        "University": (-700, -900),
        "Mill Quarter": (-1500, 700),
        "North Docks": (1300, 3900),
        "Riverside": (2300, 300),
        "Garden Suburb": (-2600, -2300),
        "East Market": (3300, -1100),
        "West Fields": (-3800, 600),
        "Hospital Hill": (-500, -3300),
        "Industry Park": (3100, 3000),
    }
)
"""District -> its centre, metres east and north of the city's."""


@dataclass(frozen=True)
class Fleet:
    """The devices of one kind, as columns of length n. `position_m` is [n, 2], metres east and north of the centre.

    `key` numbers the device within the whole city and is what its random numbers hang on; `phase_s` is when, in the period of its
    messages, it takes its first sample.
    """

    kind: Kind
    devices: tuple[str, ...]
    names: tuple[str, ...]
    districts: tuple[str, ...]
    key: Ints
    position_m: Floats
    latitude: Floats
    longitude: Floats
    phase_s: Ints

    def __len__(self) -> int:
        return len(self.devices)


def build(count: int, seed: int, place: Place, id_prefix: str = "") -> tuple[Fleet, ...]:
    """A city of `count` devices of all kinds, one `Fleet` a kind.

    Raises:
        ValueError: fewer devices than kinds.
    """
    if count < len(KINDS):
        raise ValueError(f"a city needs at least {len(KINDS)} devices, one of each kind; {count} were asked for")
    sizes = [max(1, int(kind.share * count)) for kind in KINDS]
    sizes[-1] += count - sum(sizes)
    starts = np.cumsum([0, *sizes])
    noise = Noise(seed)
    return tuple(
        _fleet(kind, np.arange(start, start + size, dtype=np.int64), noise, place, id_prefix)
        for kind, start, size in zip(KINDS, starts, sizes, strict=False)
    )


def _fleet(kind: Kind, key: Ints, noise: Noise, place: Place, id_prefix: str) -> Fleet:
    names = list(DISTRICTS)
    home = (np.arange(len(key)) + key[0]) % len(names)
    centre = np.asarray([DISTRICTS[name] for name in names])[home]
    offset = np.stack([noise.normal("east", key), noise.normal("north", key)], axis=1) * _DISTRICT_SPREAD_M
    position = centre + offset
    latitude = place.latitude + position[:, 1] / _METRES_PER_DEGREE
    longitude = place.longitude + position[:, 0] / (_METRES_PER_DEGREE * max(0.05, np.cos(np.radians(place.latitude))))
    return Fleet(
        kind=kind,
        devices=tuple(_device_id(kind, number + 1, id_prefix) for number in range(len(key))),
        names=tuple(f"{kind.title} {names[home[i]]} {i + 1}" for i in range(len(key))),
        districts=tuple(names[h] for h in home),
        key=key,
        position_m=position,
        latitude=np.clip(np.round(latitude, 6), -90, 90),
        longitude=np.clip(np.round(longitude, 6), -180, 180),
        phase_s=(noise.uniform("phase", key) * kind.interval_s * kind.pack).astype(np.int64),
    )


def _device_id(kind: Kind, number: int, id_prefix: str) -> str:
    if kind is AIR:  # a LoRaWAN EUI-64: vendor part, then the city's, then a running number
        return f"a84041{zlib.crc32(id_prefix.encode()) & 0xFFFF if id_prefix else 0xC17E:04x}{number:06x}"
    return f"{id_prefix}{kind.name.replace('_', '-')}-{number:04d}"


def devices_csv(fleets: tuple[Fleet, ...]) -> str:
    """The fleet as `citynerve devices import` reads it."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["device", "name", "kind", "district", "latitude", "longitude", "expected_interval_s"])
    for fleet in fleets:
        places = zip(fleet.devices, fleet.names, fleet.districts, fleet.latitude, fleet.longitude, strict=True)
        for device, name, district, latitude, longitude in places:
            writer.writerow(
                [device, name, fleet.kind.name, district, f"{latitude:.6f}", f"{longitude:.6f}", fleet.kind.interval_s]
            )
    return text.getvalue()
