"""Windows computed the slow way: plain Python over one window's readings, straight from the definitions."""

from __future__ import annotations

import datetime as dt
import math
from collections import defaultdict
from collections.abc import Iterable
from zoneinfo import ZoneInfo

from ingest.contract.reading import Reading
from ingest.contract.sensor_kinds import METRICS, Mean

SIZES_US = {"1m": 60_000_000, "15m": 900_000_000, "1h": 3_600_000_000}
Key = tuple[str, str, int]


def window_start(time_us: int, size: str, zone: ZoneInfo) -> int:
    """Start of the window a moment belongs to."""
    if size != "1d":
        return time_us - time_us % SIZES_US[size]
    local = dt.datetime.fromtimestamp(time_us / 1e6, zone)
    midnight = dt.datetime(local.year, local.month, local.day, tzinfo=zone)
    return int(midnight.timestamp()) * 1_000_000


def reference_windows(readings: Iterable[Reading], size: str, zone: ZoneInfo) -> dict[Key, dict[str, float | None]]:
    """(device, metric, start) -> columns, over the distinct readings (the first of equal ones counts)."""
    distinct: dict[tuple[str, str, int], Reading] = {}
    for reading in readings:
        distinct.setdefault((reading.device, reading.metric, reading.time_us), reading)
    ordered = sorted(distinct.values(), key=lambda reading: (reading.device, reading.metric, reading.time_us))
    groups: dict[Key, list[tuple[Reading, float]]] = defaultdict(list)
    before: Reading | None = None
    for reading in ordered:
        same = before is not None and (before.device, before.metric) == (reading.device, reading.metric)
        step = _step(before.value if before is not None and same else None, reading.value)
        groups[reading.device, reading.metric, window_start(reading.time_us, size, zone)].append((reading, step))
        before = reading
    return {
        key: _columns([reading.value for reading, _ in rows], [step for _, step in rows], key[1])
        for key, rows in groups.items()
    }


def _step(before: float | None, value: float) -> float:
    if before is None:
        return 0.0
    return value - before if value >= before else value


def _columns(values: list[float], steps: list[float], metric: str) -> dict[str, float | None]:
    n = len(values)
    mean = math.fsum(values) / n
    ordered = sorted(values)
    return {
        "count": n,
        "mean": mean,
        "min": ordered[0],
        "max": ordered[-1],
        "std": math.sqrt(math.fsum((value - mean) ** 2 for value in values) / n),
        "first": values[0],
        "last": values[-1],
        "p50": ordered[math.floor(0.50 * (n - 1))],
        "p95": ordered[math.floor(0.95 * (n - 1))],
        "p99": ordered[math.floor(0.99 * (n - 1))],
        "special": _special(values, steps, METRICS[metric].mean),
    }


def _special(values: list[float], steps: list[float], mean: Mean) -> float | None:
    if mean is Mean.COUNTER:
        return math.fsum(steps)
    if mean is Mean.ENERGETIC:
        return 10 * math.log10(math.fsum(10 ** (value / 10) for value in values) / len(values))
    if mean is Mean.CIRCULAR:
        sine = math.fsum(math.sin(math.radians(value)) for value in values)
        cosine = math.fsum(math.cos(math.radians(value)) for value in values)
        return None if math.hypot(sine, cosine) / len(values) < 1e-9 else math.degrees(math.atan2(sine, cosine)) % 360
    return None
