"""Window rows gathered block by block into columns that are written once."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from processors.contract.binary_column import BinaryColumn
from processors.contract.rows import WindowRows
from processors.kernels.room import Room

_COLUMN_TYPES: dict[type, tuple[str, ...]] = {
    np.int32: ("series_id", "count", "expected", "valid", "late", "flagged"),
    np.int64: ("start_us", "first_time_us", "last_time_us"),
    np.float64: ("mean", "min", "max", "std", "first", "last", "p50", "p95", "p99", "special", "sum_sin", "sum_cos"),
}
_SPARE, _SPARE_ROWS = 1.1, 1000
_WRITTEN = tuple(name for names in _COLUMN_TYPES.values() for name in names)
_GROWING = (*(kind.__name__ for kind in _COLUMN_TYPES), "revision", "offset")
_WORD = 4
_NAMES = tuple(field.name for field in fields(WindowRows))


def no_rows(room: int, memory: Room | None = None) -> WindowRows:
    """Columns of their types with room for that many rows, not filled; revision 0, no sketches.

    Columns of a type share one array: a large one is fresh memory in pages of 2 MB, twenty small ones are thousands of page faults.
    """
    memory = memory or Room()
    columns: dict[str, npt.NDArray[Any]] = {}
    for kind, names in _COLUMN_TYPES.items():
        columns |= zip(names, memory.empty(kind.__name__, (len(names), room), kind), strict=True)
    revision = memory.empty("revision", (room,), np.int32)
    revision[:] = 0
    return WindowRows(**columns, revision=revision, sketch=BinaryColumn.of([]))


def rows_at(rows: WindowRows, part: slice) -> WindowRows:
    """The rows of a range, without copying them."""
    return WindowRows(**{name: getattr(rows, name)[part] for name in _NAMES})


class RowCollector:
    """Takes rows of revision 0, block after block, for `n` readings in all, whose sketches take at most `words` words.

    Concatenating the blocks at the end would write twice as much fresh memory; room for n rows would take n rows of memory for each
    column, be they few, because memory comes in pages of 2 MB.
    """

    def __init__(self, n: int, words: int, memory: Room) -> None:
        self._n = n
        self._words = words
        self._memory = memory
        self._seen = 0
        self._used = 0
        self._rows: WindowRows | None = None

    def add(self, block: WindowRows, readings: int) -> None:
        """Append the rows of that many readings. All are taken to make as many rows as those seen; where they make more, room grows."""
        self._seen += readings
        if self._seen == self._n and self._rows is None:
            self._rows, self._used = block, len(block)
            return
        if self._rows is None or self._used + len(block) > len(self._rows):
            share = (self._used + len(block)) / self._seen
            self._grow(min(self._n, int(share * self._n * _SPARE) + _SPARE_ROWS))
        self._write(block, len(block))

    def collected(self) -> WindowRows:
        """All rows so far."""
        if self._rows is None:
            return no_rows(0)
        used, sketch = self._used, self._rows.sketch
        columns = {name: getattr(self._rows, name)[:used] for name in (*_WRITTEN, "revision")}
        offset = sketch.offset[: used + 1]
        return WindowRows(**columns, sketch=BinaryColumn(sketch.data[: int(offset[-1])], offset))

    def _grow(self, room: int) -> None:
        held, used = self._rows, self._used
        if held is not None:
            for name in _GROWING:
                self._memory.forget(name)
        offset = self._memory.empty("offset", (room + 1,), np.intp)
        offset[0] = 0
        # touched as far as it is filled: what is not touched takes no memory
        data = self._memory.empty("sketch", (self._words * _WORD,), np.uint8)
        self._rows, self._used = replace(no_rows(room, self._memory), sketch=BinaryColumn(data, offset)), 0
        if held is not None:
            self._write(held, used)

    def _write(self, block: WindowRows, many: int) -> None:
        rows, end = self._rows, self._used + many
        assert rows is not None  # noqa: S101 - narrows for mypy: `add` has made room
        for name in _WRITTEN:
            getattr(rows, name)[self._used : end] = getattr(block, name)[:many]
        ends, before = block.sketch.offset[: many + 1], rows.sketch.offset[self._used]
        first, last = int(ends[0]), int(ends[-1])
        np.add(ends[1:], before - first, out=rows.sketch.offset[self._used + 1 : end + 1])
        if rows.sketch.data is not block.sketch.data:
            rows.sketch.data[before : before + last - first] = block.sketch.data[first:last]
        self._used = end
