"""What windows need of stored rows. Pure: the database is one implementation, the memory of a test another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from processors.contract.rows import WindowRows
from processors.windows import OpenReadings


class RowStore(Protocol):
    """Stored window rows (by the tables of `contract.tables`) and readings. Times in microseconds."""

    async def insert_rows(self, table: str, rows: WindowRows) -> None:
        """Write rows of windows that close now. They are new by the life cycle; should one be there after all, it is replaced."""

    async def replace_rows(self, table: str, rows: WindowRows) -> None:
        """Write rows, each in the place of the one with its key if there is one; the revision is the caller's."""

    async def fetch_rows(
        self, table: str, series_id: Sequence[int], first_us: Sequence[int], until_us: Sequence[int]
    ) -> WindowRows:
        """The stored rows with first <= start < until, per series asked for."""

    async def fetch_readings(
        self, series_id: Sequence[int], first_us: Sequence[int], until_us: Sequence[int]
    ) -> OpenReadings:
        """Stored readings with first <= time < until, per range asked for; `series` of the result is the position of the range."""

    async def values_before(self, series_id: Sequence[int], time_us: Sequence[int]) -> npt.NDArray[np.float64]:
        """The newest value stored before each moment, NaN where there is none."""

    async def times_after(self, series_id: Sequence[int], time_us: Sequence[int]) -> npt.NDArray[np.int64]:
        """The time of the next reading stored after each moment, `series.NEVER_US` where there is none."""
