"""Columns as PostgreSQL's binary COPY format, built by numpy: no Python object per reading.

Format: https://www.postgresql.org/docs/17/sql-copy.html ("Binary Format"): a 19 byte header, per row a field count and per field a
length (-1 for NULL) and the value in network byte order, at the end a field count of -1.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from processors.contract.binary_column import BinaryColumn
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
NULLABLE: Final = ("special", "sum_sin", "sum_cos")
_OF_ONE_LAYOUT: Final = 64  # rows below which an array costs more than its rows one by one
FIXED_COLUMNS: Final = (
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
    """Window rows as one COPY stream of `tables.WINDOW_COLUMNS`; NaN in special, sum_sin and sum_cos becomes NULL.

    Rows of one layout (the same columns NULL, sketches of one size) are written as one array: they stand together in the stream, each
    layout's in the order given. Where layouts are many for the rows, the rest goes row by row.
    """
    n, sizes = len(rows), rows.sketch.sizes
    layout = sizes * (1 << len(NULLABLE))
    for bit, name in enumerate(NULLABLE):
        layout += np.isnan(getattr(rows, name)) << bit
    kinds, of, many = np.unique(layout, return_inverse=True, return_counts=True)
    if len(kinds) == 1:
        return _stream([_same_layout(rows, int(kinds[0]))])
    often = many >= _OF_ONE_LAYOUT
    pieces = [
        _same_layout(rows.take(np.flatnonzero(of == kind)), int(kinds[kind])) for kind in np.flatnonzero(often).tolist()
    ]
    rest = np.flatnonzero(~often[of]) if n else np.empty(0, np.intp)
    if len(rest):
        pieces += _row_by_row(rows.take(rest), layout[rest] % (1 << len(NULLABLE)))
    return _stream(pieces)


def window_rows(stream: memoryview, sketches: bytes) -> WindowRows:
    """The rows of a COPY stream of `FIXED_COLUMNS` without NULL and the length of the sketch; `sketches` are all of theirs."""
    wire = np.dtype(
        [("fields", ">i2"), *((name, [("bytes", ">i4"), ("value", _wire_type(name))]) for name in FIXED_COLUMNS),
         ("sketch", [("bytes", ">i4"), ("value", ">i4")])]
    )  # fmt: skip
    rows = np.frombuffer(stream[len(_HEADER) : -len(_TRAILER)], wire)
    columns: dict[str, npt.NDArray[np.generic]] = {}
    for name in FIXED_COLUMNS:
        values = rows[name]["value"].astype(wire[name]["value"].newbyteorder("="))
        columns[_TIMES.get(name, name)] = values + PG_EPOCH_US if name in _TIMES else values
    offset = np.concatenate([[0], np.cumsum(rows["sketch"]["value"], dtype=np.intp)])
    return WindowRows(**columns, sketch=BinaryColumn(np.frombuffer(sketches, np.uint8), offset))  # type: ignore[arg-type]  # by `_wire_type`


def _wire_type(column: str) -> str:
    return ">i4" if column in _INTS else ">i8" if column in _TIMES else ">f8"


def _stream(pieces: Sequence[bytes]) -> memoryview:
    return memoryview(b"".join((_HEADER, *pieces, _TRAILER)))


def _absent(kind: int) -> set[str]:
    return {name for bit, name in enumerate(NULLABLE) if kind >> bit & 1}


def _same_layout(rows: WindowRows, layout: int) -> bytes:
    """Rows with the same columns absent and sketches of one size, not zero rows."""
    size = layout >> len(NULLABLE)
    out = _filled(rows, _absent(layout), np.full(len(rows), size, np.int32), size)
    if size:
        out["sketch"] = rows.sketch.packed().data.view(f"V{size}")
    return out.tobytes()


def _row_by_row(rows: WindowRows, pattern: npt.NDArray[np.intp]) -> list[bytes]:
    heads: npt.NDArray[np.object_] = np.empty(len(rows), np.object_)
    sketch_bytes = rows.sketch.sizes.astype(np.int32)
    for kind in np.unique(pattern):
        of_kind = np.flatnonzero(pattern == kind)
        filled = _filled(rows.take(of_kind), _absent(int(kind)), sketch_bytes[of_kind], 0)
        flat, size = filled.tobytes(), filled.dtype.itemsize
        heads[of_kind] = [flat[at : at + size] for at in range(0, len(flat), size)]
    return [piece for pair in zip(heads.tolist(), rows.sketch.tolist(), strict=True) for piece in pair]


def _filled(
    rows: WindowRows, absent: set[str], sketch_bytes: npt.NDArray[np.int32], sketch_size: int
) -> npt.NDArray[np.void]:
    """Every column but the sketch, whose length stands last, with room for `sketch_size` bytes behind it."""
    fields: list[tuple[str, str]] = [("fields", ">i2")]
    for column in FIXED_COLUMNS:
        fields.append((f"{column}_length", ">i4"))
        if column not in absent:
            fields.append((column, _wire_type(column)))
    fields.append(("sketch_length", ">i4"))
    layout = np.dtype([*fields, ("sketch", f"V{sketch_size}")] if sketch_size else fields)
    out = np.empty(len(rows), layout)
    out["fields"] = len(FIXED_COLUMNS) + 1
    out["sketch_length"] = sketch_bytes
    for column in FIXED_COLUMNS:
        out[f"{column}_length"] = -1 if column in absent else layout[column].itemsize
        if column in absent:
            continue
        out[column] = getattr(rows, _TIMES[column]) - PG_EPOCH_US if column in _TIMES else getattr(rows, column)
    return out
