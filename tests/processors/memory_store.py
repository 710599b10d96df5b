"""A `RowStore` in memory, for proofs that need thousands of runs. tests/processors/test_pipeline.py proves the same on PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from processors.contract.rows import WindowRows
from processors.contract.tables import WINDOW_TABLES
from processors.kernels.windows_of import empty_rows
from processors.series import NEVER_US
from processors.windows import OpenReadings, no_readings


class MemoryStore:
    """`readings`: (series_id, time_us) -> (value, flags); `rows`: table -> (series_id, start_us) -> one row."""

    def __init__(self) -> None:
        self.readings: dict[tuple[int, int], tuple[float, int]] = {}
        self.rows: dict[str, dict[tuple[int, int], WindowRows]] = {table: {} for table in WINDOW_TABLES}

    async def insert_rows(self, table: str, rows: WindowRows) -> None:
        """See `RowStore`; unlike the database this one does not forgive a row that is there."""
        for key, row in _each(rows):
            assert key not in self.rows[table], f"{table} {key} was closed twice"
            self.rows[table][key] = row

    async def replace_rows(self, table: str, rows: WindowRows) -> None:
        """See `RowStore`."""
        self.rows[table].update(_each(rows))

    async def fetch_rows(
        self, table: str, series_id: Sequence[int], first_us: Sequence[int], until_us: Sequence[int]
    ) -> WindowRows:
        """See `RowStore`."""
        found = [
            row
            for wanted, first, until in zip(series_id, first_us, until_us, strict=True)
            for (series, start), row in self.rows[table].items()
            if series == wanted and first <= start < until
        ]
        return WindowRows.concatenate(found) if found else empty_rows()

    async def fetch_readings(
        self, series_id: Sequence[int], first_us: Sequence[int], until_us: Sequence[int]
    ) -> OpenReadings:
        """See `RowStore`."""
        found = [
            (position, time_us, value, flags)
            for position, (wanted, first, until) in enumerate(zip(series_id, first_us, until_us, strict=True))
            for (series, time_us), (value, flags) in self.readings.items()
            if series == wanted and first <= time_us < until
        ]
        if not found:
            return no_readings()
        position, time_us, values, flags = zip(*found, strict=True)
        return OpenReadings(
            np.array(position, np.int32), np.array(time_us, np.int64), np.array(values), np.array(flags, np.int32)
        )

    async def values_before(self, series_id: Sequence[int], time_us: Sequence[int]) -> npt.NDArray[np.float64]:
        """See `RowStore`."""
        found = [self._newest(series, before) for series, before in zip(series_id, time_us, strict=True)]
        return np.array([np.nan if reading is None else reading[1] for reading in found], np.float64)

    async def times_after(self, series_id: Sequence[int], time_us: Sequence[int]) -> npt.NDArray[np.int64]:
        """See `RowStore`."""
        return np.array(
            [
                min((time for series, time in self.readings if series == wanted and time > after), default=NEVER_US)
                for wanted, after in zip(series_id, time_us, strict=True)
            ],
            np.int64,
        )

    def newest_before(self, series_id: int, time_us: int) -> tuple[int, float] | None:
        """Time and value of the last reading before a moment."""
        return self._newest(series_id, time_us)

    def _newest(self, wanted: int, before: int) -> tuple[int, float] | None:
        times = [time_us for series, time_us in self.readings if series == wanted and time_us < before]
        return (max(times), self.readings[wanted, max(times)][0]) if times else None


def _each(rows: WindowRows) -> list[tuple[tuple[int, int], WindowRows]]:
    keys = zip(rows.series_id.tolist(), rows.start_us.tolist(), strict=True)
    return [(key, rows.take(np.array([at]))) for at, key in enumerate(keys)]
