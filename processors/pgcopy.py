"""Columns as PostgreSQL's binary COPY format, built by numpy: no Python object per reading.

Format: https://www.postgresql.org/docs/17/sql-copy.html ("Binary Format"): a 19 byte header, per row a field count and per field a
length (-1 for NULL) and the value in network byte order, at the end a field count of -1.
"""

from __future__ import annotations

import struct
from typing import Final

import numpy as np
import numpy.typing as npt

from processors.contract.rows import WindowRows

PG_EPOCH_US: Final = 946_684_800_000_000
"""Microseconds from 1970 to 2000, where PostgreSQL counts from."""

READING_COLUMNS: Final = ("series_id", "time", "value", "flags")
_HEADER: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_TRAILER: Final = struct.pack(">h", -1)
_READING: Final = np.dtype(
    [
        ("fields", ">i2"),
        ("series_id_length", ">i4"), ("series_id", ">i4"),
        ("time_length", ">i4"), ("time", ">i8"),
        ("value_length", ">i4"), ("value", ">f8"),
        ("flags_length", ">i4"), ("flags", ">i4"),
    ]
)  # fmt: skip

_INTS: Final = ("series_id", "count", "expected", "valid", "late", "flagged", "revision")
_TIMES: Final = {"start": "start_us", "first_time": "first_time_us", "last_time": "last_time_us"}
_NULLABLE: Final = ("special", "sum_sin", "sum_cos")
_FIXED_COLUMNS: Final = (
    "series_id", "start", "count", "mean", "min", "max", "std", "first", "last", "p50", "p95", "p99", "special",
    "expected", "valid", "late", "flagged", "revision", "first_time", "last_time", "sum_sin", "sum_cos",
)  # fmt: skip


def readings_copy(
    series_id: npt.NDArray[np.int32],
    time_us: npt.NDArray[np.int64],
    values: npt.NDArray[np.float64],
    flags: npt.NDArray[np.integer],
) -> memoryview:
    """n readings as one COPY stream of `READING_COLUMNS` (42 bytes a reading)."""
    rows = np.empty(len(series_id), _READING)
    rows["fields"] = len(READING_COLUMNS)
    for column, given in (
        ("series_id", series_id),
        ("time", time_us - PG_EPOCH_US),
        ("value", values),
        ("flags", flags),
    ):
        rows[f"{column}_length"] = _READING[column].itemsize
        rows[column] = given
    return memoryview(b"".join((_HEADER, rows.tobytes(), _TRAILER)))  # asyncpg takes plain bytes for a file name


def windows_copy(rows: WindowRows) -> memoryview:
    """Window rows as one COPY stream of `tables.WINDOW_COLUMNS`; NaN in special, sum_sin and sum_cos becomes NULL."""
    heads: npt.NDArray[np.object_] = np.empty(len(rows), np.object_)
    sketch_bytes = rows.sketch.sizes.astype(np.int32)
    nulls = np.stack([np.isnan(getattr(rows, name)) for name in _NULLABLE]) if len(rows) else np.empty((3, 0), np.bool_)
    pattern = nulls[0] + 2 * nulls[1] + 4 * nulls[2]
    for kind in np.unique(pattern):
        of_kind = np.flatnonzero(pattern == kind)
        absent = {name for bit, name in enumerate(_NULLABLE) if int(kind) >> bit & 1}
        heads[of_kind] = _heads(rows.take(of_kind), sketch_bytes[of_kind], absent)
    pieces = [piece for pair in zip(heads.tolist(), rows.sketch.tolist(), strict=True) for piece in pair]
    return memoryview(b"".join((_HEADER, *pieces, _TRAILER)))


def _heads(rows: WindowRows, sketch_bytes: npt.NDArray[np.int32], absent: set[str]) -> list[bytes]:
    """Per row everything before the sketch's own bytes; all rows have the same columns absent, so one layout fits them."""
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for column in _FIXED_COLUMNS:
        fields.append((f"{column}_length", ">i4"))
        if column not in absent:
            fields.append((column, ">i4" if column in _INTS else ">i8" if column in _TIMES else ">f8"))
    layout = np.dtype([*fields, ("sketch_length", ">i4")])
    heads = np.empty(len(rows), layout)
    heads["fields"] = len(_FIXED_COLUMNS) + 1
    heads["sketch_length"] = sketch_bytes
    for column in _FIXED_COLUMNS:
        heads[f"{column}_length"] = -1 if column in absent else layout[column].itemsize
        if column in absent:
            continue
        heads[column] = getattr(rows, _TIMES[column]) - PG_EPOCH_US if column in _TIMES else getattr(rows, column)
    flat, size = heads.tobytes(), layout.itemsize
    return [flat[at : at + size] for at in range(0, len(flat), size)]
