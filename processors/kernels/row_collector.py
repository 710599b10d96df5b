"""Window rows gathered block by block into columns that are written once."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
import numpy.typing as npt

from processors.contract.binary_column import BinaryColumn
from processors.contract.rows import WindowRows

_COLUMN_TYPES: dict[type, tuple[str, ...]] = {
    np.int32: ("series_id", "count", "expected", "valid", "late", "flagged"),
    np.int64: ("start_us", "first_time_us", "last_time_us"),
    np.float64: ("mean", "min", "max", "std", "first", "last", "p50", "p95", "p99", "special", "sum_sin", "sum_cos"),
}
_WRITTEN = tuple(name for names in _COLUMN_TYPES.values() for name in names)
_NAMES = tuple(field.name for field in fields(WindowRows))


def no_rows(room: int) -> WindowRows:
    """Columns of their types with room for that many rows, not filled; revision 0, no sketches."""
    columns: dict[str, npt.NDArray[Any]] = {
        name: np.empty(room, kind) for kind, names in _COLUMN_TYPES.items() for name in names
    }
    return WindowRows(**columns, revision=np.zeros(room, np.int32), sketch=BinaryColumn.of([]))


def rows_at(rows: WindowRows, part: slice) -> WindowRows:
    """The rows of a range, without copying them."""
    return WindowRows(**{name: getattr(rows, name)[part] for name in _NAMES})


class RowCollector:
    """Takes rows of revision 0, block after block. Concatenating the blocks at the end would write twice as much fresh memory."""

    def __init__(self, most: int) -> None:
        """`most`: rows there can be at most. Room for them is reserved when a second block comes, and only used as it fills."""
        self._most = most
        self._rows: WindowRows | None = None
        self._used = 0
        self._sketches: list[BinaryColumn] = []

    def add(self, block: WindowRows) -> None:
        """Append rows; a single block is kept as it is."""
        self._sketches.append(block.sketch)
        if self._rows is None:
            self._rows, self._used = block, len(block)
            return
        if len(self._sketches) == 2:
            held, self._used = self._rows, 0
            self._rows = no_rows(self._most)
            self._write(held)
        self._write(block)

    def collected(self) -> WindowRows:
        """All rows so far."""
        if self._rows is None:
            return no_rows(0)
        columns = {name: getattr(self._rows, name)[: self._used] for name in (*_WRITTEN, "revision")}
        return WindowRows(**columns, sketch=BinaryColumn.concatenate(self._sketches))

    def _write(self, block: WindowRows) -> None:
        end = self._used + len(block)
        for name in _WRITTEN:
            getattr(self._rows, name)[self._used : end] = getattr(block, name)
        self._used = end
