"""Rows of the month as binary COPY streams, written by numpy in the order in which time brings them: by start, then by series.

Four kinds of devices take turns in the order of the series, so one structured record holds four rows, one of each kind: only noise has
a `special`, and its row is eight bytes longer.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from processors.contract.tables import WINDOW_COLUMNS
from processors.pgcopy import PG_EPOCH_US, READING_COLUMNS

KINDS: Final = (
    ("air_quality", "pm2_5", "ug/m3", 0),
    ("noise", "laeq", "dB", 2),
    ("traffic", "traffic_count", "1", 0),
    ("water_level", "water_level", "m", 0),
)
"""Kind, metric, unit and `Mean` of a device's one series; the n-th device is of kind n % 4."""
QUARTER_S: Final = 900
SIZES_S: Final = {"windows_1m": 60, "windows_15m": 900, "windows_1h": 3600, "windows_1d": 86_400}
HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER: Final = struct.pack(">h", -1)
Floats = npt.NDArray[np.float64]

_NOISE: Final = 1
_STEPS: Final = {"windows_1d": 1, "windows_1h": 4}
"""Windows a block; days and hours hold many readings each, so fewer fit into memory at once."""
_STEPS_OF_ONE: Final = 8
_SKETCH_BYTES: Final = {"windows_1m": 4, "windows_15m": 4, "windows_1h": 16, "windows_1d": 128}
"""As long as the kernels' sketches of one, four and ninety-six such readings."""
_TIMES: Final = ("start", "first_time", "last_time")
_INTS: Final = ("series_id", "count", "expected", "valid", "late", "flagged", "revision")
_ALWAYS_NULL: Final = ("sum_sin", "sum_cos")


@dataclass(frozen=True)
class Fleet:
    """The series of the city: `series_id` (int32[n]), n a multiple of the number of kinds."""

    series_id: npt.NDArray[np.int32]

    def values(self, quarter: npt.NDArray[np.int64]) -> Floats:
        """One value a series and quarter of an hour since 1970, shape (quarters, series): a day's swing of each series' own phase."""
        angle, phase = quarter * (QUARTER_S / 13_751), (self.series_id % 97) * 0.065
        swing = np.outer(np.sin(angle), np.cos(phase)) + np.outer(np.cos(angle), np.sin(phase))
        return 30 + 10 * swing + self.series_id % 17


def readings_stream(fleet: Fleet, first_s: int, until_s: int) -> Iterator[bytes]:
    """Readings with first <= time < until, as COPY of `READING_COLUMNS`."""
    yield HEADER
    layout = _layout(READING_COLUMNS, (), 0)
    quarters = np.arange(first_s, until_s, QUARTER_S) // QUARTER_S
    for block in _blocks(quarters, _STEPS_OF_ONE):
        rows = np.empty((len(block), len(fleet.series_id)), layout)
        _lengths(rows, layout, len(READING_COLUMNS))
        rows["series_id"] = fleet.series_id
        rows["time"] = _wire_us(block * QUARTER_S)[:, None]
        rows["value"] = fleet.values(block)
        rows["flags"] = 0
        yield rows.tobytes()
    yield TRAILER


def windows_stream(fleet: Fleet, table: str, first_s: int, until_s: int) -> Iterator[bytes]:
    """Windows with first < end <= until, as COPY of `WINDOW_COLUMNS`. `first` and `until` lie on quarters of an hour."""
    yield HEADER
    width_s = SIZES_S[table]
    step_s = max(width_s, QUARTER_S)  # one reading in 15 minutes: one window of a minute in 15
    starts = np.arange(first_s // step_s * step_s, until_s - step_s + 1, step_s)
    for block in _blocks(starts, _STEPS.get(table, _STEPS_OF_ONE)):
        yield _windows(fleet, table, block)
    yield TRAILER


def _windows(fleet: Fleet, table: str, starts: npt.NDArray[np.int64]) -> bytes:
    readings = max(1, SIZES_S[table] // QUARTER_S)
    quarters = (starts // QUARTER_S)[:, None] + np.arange(readings)
    values = fleet.values(quarters.ravel()).reshape(len(starts), readings, -1)
    last_s = starts + (readings - 1) * QUARTER_S
    columns: dict[str, Any] = {
        "series_id": np.broadcast_to(fleet.series_id, values[:, 0].shape), "start": _wire_us(starts)[:, None],
        "first_time": _wire_us(starts)[:, None], "last_time": _wire_us(last_s)[:, None],
        "count": readings, "expected": readings, "valid": readings, "late": 0, "flagged": 0, "revision": 0,
        "mean": values.mean(axis=1), "min": values.min(axis=1), "max": values.max(axis=1), "std": values.std(axis=1),
        "first": values[:, 0], "last": values[:, -1],
    }  # fmt: skip
    columns |= {"p50": columns["mean"], "p95": columns["max"], "p99": columns["max"]}
    noise = values[:, :, _NOISE :: len(KINDS)]
    columns["special"] = 10 * np.log10((10 ** (noise / 10)).mean(axis=1))
    layouts = [
        _layout(WINDOW_COLUMNS, _ALWAYS_NULL if kind == _NOISE else (*_ALWAYS_NULL, "special"), _SKETCH_BYTES[table])
        for kind in range(len(KINDS))
    ]
    records = np.empty(
        (len(starts), len(fleet.series_id) // len(KINDS)),
        np.dtype([(f"of_{kind}", layout) for kind, layout in enumerate(layouts)]),
    )
    for kind, layout in enumerate(layouts):
        _fill(records[f"of_{kind}"], layout, columns, kind)
    return records.tobytes()


def _fill(rows: npt.NDArray[Any], layout: np.dtype[Any], columns: dict[str, Any], kind: int) -> None:
    _lengths(rows, layout, len(WINDOW_COLUMNS))
    for column in WINDOW_COLUMNS:
        if column == "sketch":
            rows[column] = np.void(b"\xd0\x00\x03\x00" * (layout[column].itemsize // 4))
        elif column in (layout.names or ()):
            given = columns[column]
            whole = column != "special" and np.ndim(given) == 2 and given.shape[1] > 1
            rows[column] = given[:, kind :: len(KINDS)] if whole else given


def _layout(columns: tuple[str, ...], absent: tuple[str, ...], sketch_bytes: int) -> np.dtype[Any]:
    """One row of binary COPY: the number of fields, then a length before each value; an absent one has only its length."""
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for column in columns:
        fields.append((f"{column}_length", ">i4"))
        if column == "sketch":
            fields.append((column, f"V{sketch_bytes}"))
        elif column not in absent:
            whole = column in _INTS or column == "flags"
            fields.append((column, ">i4" if whole else ">i8" if column in _TIMES or column == "time" else ">f8"))
    return np.dtype(fields)


def _lengths(rows: npt.NDArray[Any], layout: np.dtype[Any], fields: int) -> None:
    names = layout.names or ()
    rows["fields"] = fields
    for name in names:
        if name.endswith("_length"):
            column = name.removesuffix("_length")
            rows[name] = layout[column].itemsize if column in names else -1


def _blocks(steps: npt.NDArray[np.int64], size: int) -> Iterator[npt.NDArray[np.int64]]:
    for at in range(0, len(steps), size):
        yield steps[at : at + size]


def _wire_us(time_s: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    return time_s * 1_000_000 - PG_EPOCH_US
