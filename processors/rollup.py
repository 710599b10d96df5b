"""Rows of windows that close now, written: 1m and 15m from memory, 1h and local days merged from 15m rows."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from processors.contract.rows import WindowRows
from processors.kernels.windows_of import empty_rows
from processors.row_store import RowStore
from processors.series import SeriesTable
from processors.windows import MINUTE_US, Closing, CoarseSpan, merge_days, merge_hours, merge_quarters

_ROWS_A_STEP = 50_000  # 15m rows merged at a time: about 25 MB while a local day of many series closes


async def write_closings(
    store: RowStore, table: SeriesTable, zone: ZoneInfo, closings: Mapping[int, Closing]
) -> dict[int, dict[str, WindowRows]]:
    """Write everything that closed in the partitions of a batch; the rows by partition and table.

    1m and 15m rows of all partitions go in one statement for each table: a COPY has a cost of its own, whatever it carries.
    """
    written: dict[int, dict[str, WindowRows]] = {
        number: {"windows_1m": closing.minutes, "windows_15m": closing.quarters} for number, closing in closings.items()
    }
    for name in ("windows_1m", "windows_15m"):
        parts = [rows[name] for rows in written.values() if len(rows[name])]
        if parts:
            await store.insert_rows(name, parts[0] if len(parts) == 1 else WindowRows.concatenate(parts))
    for number, closing in closings.items():
        rows = written[number]
        series = np.flatnonzero(table.column("partition") == number)
        series = series[(series >= closing.first_series) & (series < closing.until_series)]
        if closing.stored_quarters:
            rows["windows_15m"] = await _write_quarters(store, table, closing.stored_quarters, series)
        for name, span in (("windows_1h", closing.hours), ("windows_1d", closing.days)):
            rows[name] = await _write_coarse(
                store, table, zone=zone, due=(name, span), quarters=rows["windows_15m"], series=series
            )
    return written


async def _write_quarters(
    store: RowStore, table: SeriesTable, span: CoarseSpan, series: npt.NDArray[np.intp]
) -> WindowRows:
    """Quarters whose 1m rows are too many to be held, merged from what is stored."""
    minutes_a_series = (span.until_us - span.first_us) // MINUTE_US
    parts = [empty_rows()]
    for some in np.array_split(series, max(1, len(series) * minutes_a_series // _ROWS_A_STEP + 1)):
        ids = table.column("series_id")[some]
        n = len(ids)
        minutes = await store.fetch_rows("windows_1m", ids.tolist(), [span.first_us] * n, [span.until_us] * n)
        if len(minutes):
            rows = await asyncio.to_thread(merge_quarters, table, minutes)
            await store.insert_rows("windows_15m", rows)
            parts.append(rows)
    return WindowRows.concatenate(parts)


async def _write_coarse(
    store: RowStore,
    table: SeriesTable,
    *,
    zone: ZoneInfo,
    due: tuple[str, CoarseSpan],
    quarters: WindowRows,
    series: npt.NDArray[np.intp],
) -> WindowRows:
    name, span = due
    if not span:
        return empty_rows()
    fresh = quarters.take(quarters.start_us < span.until_us)
    parts = [empty_rows()]
    stored_a_series = max(1, (span.stored_until_us - span.first_us) // 900_000_000)
    for some in np.array_split(series, max(1, len(series) * stored_a_series // _ROWS_A_STEP + 1)):
        ids = table.column("series_id")[some]
        mine = fresh.take(np.isin(fresh.series_id, ids))
        if span.first_us < span.stored_until_us:
            n = len(ids)
            stored = await store.fetch_rows(
                "windows_15m", ids.tolist(), [span.first_us] * n, [span.stored_until_us] * n
            )
            mine = WindowRows.concatenate([stored, mine])
        if len(mine) == 0:
            continue
        rows = (
            await asyncio.to_thread(merge_hours, table, mine)
            if name == "windows_1h"
            else await asyncio.to_thread(merge_days, table, mine, zone)
        )
        await store.insert_rows(name, rows)
        parts.append(rows)
    return WindowRows.concatenate(parts)
