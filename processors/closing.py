"""Windows that the watermarks have passed: closed, written and judged, in the batch's transaction."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, TypeAlias
from zoneinfo import ZoneInfo

from ingest.contract.memory import give_back
from processors.contract.rows import WindowRows
from processors.judge import Judge
from processors.off_loop import off_loop
from processors.rollup import write_closings
from processors.row_store import RowStore
from processors.series import SeriesTable
from processors.windows import Closing, OpenReadings, PartitionWindows

Due: TypeAlias = Mapping[int, tuple[PartitionWindows, int]]
"""Number of each partition that has a watermark -> its windows, its watermark."""

ROWS_AT_ONCE: Final = 100_000
"""1-minute rows that close in one part: about 70 MB on their way to the database."""


class Closer:
    """One table's windows."""

    def __init__(self, store: RowStore, table: SeriesTable, zone: ZoneInfo, judge: Judge) -> None:
        self._store, self._table, self._zone, self._judge = store, table, zone, judge

    async def close(
        self, due: Due, readings_of: Callable[[int], OpenReadings], count: Callable[[dict[str, WindowRows], str], None]
    ) -> int:
        """Close what is due and judge it with the new readings of each partition; how many conditions changed.

        `count` is told the rows written, by table, and that they are "closed".
        """
        changes, closings = 0, dict[int, Closing]()
        if sum(windows.rows_of_close(watermark_us) for windows, watermark_us in due.values()) > ROWS_AT_ONCE:
            changes = await self._in_parts(due, count)
        else:
            size = sum(windows.size_of_close(watermark_us) for windows, watermark_us in due.values())
            closings = await off_loop(size, _close, due)
        closed = await write_closings(self._store, self._table, self._zone, closings)
        for rows in closed.values():
            count(rows, "closed")
        for number, (_, watermark_us) in due.items():
            changes += await self._judge.judge(number, readings_of(number), closed.get(number, {}), watermark_us)
        return changes

    async def _in_parts(self, due: Due, count: Callable[[dict[str, WindowRows], str], None]) -> int:
        """Very many windows, with memory for some of them."""
        changes = 0
        for number, (windows, watermark_us) in due.items():
            parts = windows.close_in_parts(watermark_us, ROWS_AT_ONCE)
            while (closing := await asyncio.to_thread(next, parts, None)) is not None:
                closed = await write_closings(self._store, self._table, self._zone, {number: closing})
                count(closed[number], "closed")
                changes += await self._judge.judge_part(number, closed[number])
        await asyncio.to_thread(give_back)
        return changes


def _close(due: Due) -> dict[int, Closing]:
    """Close what the watermarks have passed; partitions where nothing closes are left out."""
    closings = {}
    for number, (windows, watermark_us) in due.items():
        closing = windows.close(watermark_us) if windows.is_due(watermark_us) else None
        if closing is not None:
            closings[number] = closing
    return closings
