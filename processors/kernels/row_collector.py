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
_SPARE, _SPARE_ROWS = 1.1, 1000
_WRITTEN = tuple(name for names in _COLUMN_TYPES.values() for name in names)
_NAMES = tuple(field.name for field in fields(WindowRows))


def no_rows(room: int) -> WindowRows:
    """Columns of their types with room for that many rows, not filled; revision 0, no sketches.

    Columns of a type share one array: a large one is fresh memory in pages of 2 MB, twenty small ones are thousands of page faults.
    """
    columns: dict[str, npt.NDArray[Any]] = {}
    for kind, names in _COLUMN_TYPES.items():
        columns |= zip(names, np.empty((len(names), room), kind), strict=True)
    return WindowRows(**columns, revision=np.zeros(room, np.int32), sketch=BinaryColumn.of([]))


def rows_at(rows: WindowRows, part: slice) -> WindowRows:
    """The rows of a range, without copying them."""
    return WindowRows(**{name: getattr(rows, name)[part] for name in _NAMES})


class RowCollector:
    """Takes rows of revision 0, block after block, for `n` readings in all.

    Concatenating the blocks at the end would write twice as much fresh memory; room for n rows would take n rows of memory for each
    column, be they few, because memory comes in pages of 2 MB.
    """

    def __init__(self, n: int) -> None:
        self._n = n
        self._seen = 0
        self._used = 0
        self._rows = no_rows(0)
        self._sketches: list[BinaryColumn] = []

    def add(self, block: WindowRows, readings: int) -> None:
        """Append the rows of that many readings. All are taken to make as many rows as those seen; where they make more, room grows."""
        self._seen += readings
        self._sketches.append(block.sketch)
        if self._seen == self._n and self._used == 0:
            self._rows, self._used = block, len(block)
            return
        if self._used + len(block) > len(self._rows):
            share = (self._used + len(block)) / self._seen
            held, used = self._rows, self._used
            self._rows, self._used = no_rows(min(self._n, int(share * self._n * _SPARE) + _SPARE_ROWS)), 0
            self._write(held, used)
        self._write(block, len(block))

    def collected(self) -> WindowRows:
        """All rows so far."""
        if not self._sketches:
            return no_rows(0)
        columns = {name: getattr(self._rows, name)[: self._used] for name in (*_WRITTEN, "revision")}
        return WindowRows(**columns, sketch=BinaryColumn.concatenate(self._sketches))

    def _write(self, block: WindowRows, many: int) -> None:
        end = self._used + many
        for name in _WRITTEN:
            getattr(self._rows, name)[self._used : end] = getattr(block, name)[:many]
        self._used = end
