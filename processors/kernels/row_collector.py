"""Window rows gathered block by block into columns that are written once."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from processors.contract.rows import WindowRows

_COLUMN_TYPES: dict[type, tuple[str, ...]] = {
    np.int32: ("series_id", "count", "expected", "valid", "late", "flagged", "revision"),
    np.int64: ("start_us", "first_time_us", "last_time_us"),
    np.float64: ("mean", "min", "max", "std", "first", "last", "p50", "p95", "p99", "special", "sum_sin", "sum_cos"),
    np.object_: ("sketch",),
}
_NAMES = tuple(field.name for field in fields(WindowRows))


def no_rows(room: int) -> WindowRows:
    """Columns of their types with room for that many rows, not filled."""
    return WindowRows(**{name: np.empty(room, kind) for kind, names in _COLUMN_TYPES.items() for name in names})


def rows_at(rows: WindowRows, part: slice) -> WindowRows:
    """The rows of a range, without copying them."""
    return WindowRows(**{name: getattr(rows, name)[part] for name in _NAMES})


class RowCollector:
    """Takes rows block after block. Concatenating the blocks at the end would write twice as much fresh memory."""

    def __init__(self, most: int) -> None:
        """`most`: rows there can be at most. Room for them is reserved when a second block comes, and only used as it fills."""
        self._most = most
        self._rows: WindowRows | None = None
        self._used = 0

    def add(self, block: WindowRows) -> None:
        """Append rows; a single block is kept as it is."""
        if self._rows is None:
            self._rows, self._used = block, len(block)
            return
        if len(self._rows) == self._used:
            held, self._used = self._rows, 0
            self._rows = no_rows(self._most)
            self._write(held)
        self._write(block)

    def collected(self) -> WindowRows:
        """All rows so far."""
        return no_rows(0) if self._rows is None else rows_at(self._rows, slice(0, self._used))

    def _write(self, block: WindowRows) -> None:
        end = self._used + len(block)
        for name in _NAMES:
            getattr(self._rows, name)[self._used : end] = getattr(block, name)
        self._used = end
