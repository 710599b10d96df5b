"""Readings for tests, and window rows made from them one window and one value at a time."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from ingest.contract.reading import FLAGGED_MASK, Flag
from ingest.contract.sensor_kinds import Mean
from processors.contract.rows import WindowRows
from processors.kernels.starts import FixedWindows
from processors.kernels.windows_of import PreviousReading, SeriesMeta, aggregate
from tests.kernels import references

EXACT = (
    "series_id", "start_us", "count", "min", "max", "first", "last", "p50", "p95", "p99", "expected", "valid", "late", "flagged",
    "revision", "first_time_us", "last_time_us",
)  # fmt: skip
TO_1E_9 = ("mean", "std", "special", "sum_sin", "sum_cos")


@dataclass(frozen=True)
class Readings:
    """n readings of the series of `meta`."""

    meta: SeriesMeta
    series: npt.NDArray[np.int32]
    time_us: npt.NDArray[np.int64]
    value: npt.NDArray[np.float64]
    flags: npt.NDArray[np.int32]

    def take(self, at: npt.NDArray[np.intp] | npt.NDArray[np.bool_] | slice) -> Readings:
        return Readings(self.meta, self.series[at], self.time_us[at], self.value[at], self.flags[at])

    def windows(self, size_s: int, previous: PreviousReading | None = None) -> WindowRows:
        windows = FixedWindows(size_s)
        return aggregate(self.meta, self.series, self.time_us, self.value, self.flags, windows, previous)


def meta_of(kinds: list[Mean], interval_s: int = 60) -> SeriesMeta:
    """Series with ids that do not follow their positions: 1000, 993, 986, ..."""
    m = len(kinds)
    ids = 1000 - 7 * np.arange(m)
    return SeriesMeta(ids.astype(np.int32), np.array(kinds, np.int8), np.full(m, interval_s, np.int32))


def some_readings(n: int, seed: int = 1, *, span_s: int = 7200, start_us: int = 1_661_990_400_000_000) -> Readings:
    """n readings of 8 series of all kinds of mean in random order, no moment twice in a series, with late and flagged ones."""
    rng = np.random.default_rng(seed)
    meta = meta_of([Mean.ARITHMETIC, Mean.CIRCULAR, Mean.ENERGETIC, Mean.COUNTER] * 2)
    series = rng.integers(0, 8, n).astype(np.int32)
    time_us = start_us + rng.choice(span_s * 1000, n, replace=False).astype(np.int64) * 1000
    value = np.abs(rng.normal(100, 60, n).round(1))
    flags = rng.choice([0, 0, 0, Flag.LATE, Flag.STUCK, Flag.LATE | Flag.STALE, Flag.COERCED], n).astype(np.int32)
    return Readings(meta, series, time_us, value, flags)


def slow_windows(readings: Readings, size_s: int) -> list[dict[str, float]]:
    """The rows of `readings`, by definition, as one dict each in order of (series_id, start)."""
    meta = readings.meta
    order = np.lexsort((readings.time_us, readings.series)).tolist()
    last: dict[int, float] = {}
    windows: dict[tuple[int, int], list[tuple[int, float, int, float]]] = defaultdict(list)
    for at in order:
        series, time_us, value = int(readings.series[at]), int(readings.time_us[at]), float(readings.value[at])
        start = time_us // (size_s * 1_000_000) * size_s * 1_000_000
        windows[series, start].append((time_us, value, int(readings.flags[at]), last.get(series, math.nan)))
        last[series] = value
    rows = [_slow_row(meta, series, start, size_s, entries) for (series, start), entries in windows.items()]
    return sorted(rows, key=lambda row: (row["series_id"], row["start_us"]))


def _slow_row(
    meta: SeriesMeta, series: int, start: int, size_s: int, entries: list[tuple[int, float, int, float]]
) -> dict[str, float]:
    values = [value for _, value, _, _ in entries]
    kind = int(meta.mean_kind[series])
    flagged = sum(1 for _, _, flags, _ in entries if flags & FLAGGED_MASK)
    circular = kind == Mean.CIRCULAR
    return {
        "series_id": int(meta.series_id[series]),
        "start_us": start,
        "count": len(values),
        "mean": references.mean(values),
        "min": min(values),
        "max": max(values),
        "std": references.std(values),
        "first": values[0],
        "last": values[-1],
        **{f"p{percent}": references.lower_quantile(percent)(values) for percent in (50, 95, 99)},
        "special": _slow_special(kind, values, entries[0][3]),
        "expected": max(1, size_s // int(meta.interval_s[series])),
        "valid": len(values) - flagged,
        "late": sum(1 for _, _, flags, _ in entries if flags & Flag.LATE),
        "flagged": flagged,
        "revision": 0,
        "first_time_us": entries[0][0],
        "last_time_us": entries[-1][0],
        "sum_sin": math.fsum(math.sin(math.radians(value)) for value in values) if circular else math.nan,
        "sum_cos": math.fsum(math.cos(math.radians(value)) for value in values) if circular else math.nan,
    }


def _slow_special(kind: int, values: list[float], before: float) -> float:
    if kind == Mean.CIRCULAR:
        return references.circular_mean(values)
    if kind == Mean.ENERGETIC:
        return references.leq(values)
    return references.increase(values, before) if kind == Mean.COUNTER else math.nan


def identical(one: WindowRows, other: WindowRows) -> bool:
    """Every column equal to the last bit (NaN equals NaN), sketches byte for byte."""
    names = [field.name for field in fields(WindowRows) if field.name != "sketch"]
    same = all(np.array_equal(getattr(one, name), getattr(other, name), equal_nan=True) for name in names)
    return same and one.sketch.tolist() == other.sketch.tolist()


def assert_same_windows(got: WindowRows, wanted: WindowRows) -> None:
    """Counts, extremes, first, last, quantiles and sketches exactly, sums to 1e-9."""
    assert got.sketch.tolist() == wanted.sketch.tolist()
    for name in EXACT:
        np.testing.assert_array_equal(getattr(got, name), getattr(wanted, name), err_msg=name)
    for name in TO_1E_9:
        np.testing.assert_allclose(getattr(got, name), getattr(wanted, name), rtol=1e-9, atol=1e-9, err_msg=name)
