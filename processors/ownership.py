"""The partitions this process owns: claimed in the database, their open windows rebuilt from what is stored."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias
from zoneinfo import ZoneInfo

import asyncpg
import numpy as np
import numpy.typing as npt

from ingest.contract.topics import Topics
from processors.columns import Partition
from processors.cursors import Cursor, claim
from processors.event_time import WatermarkPolicy
from processors.kernels.windows_of import empty_rows
from processors.partition_clock import PartitionClock
from processors.row_store import RowStore
from processors.series import SeriesTable
from processors.series_store import load_partition
from processors.window_store import WindowStore
from processors.windows import (
    HELD_ROWS_MOST,
    MINUTE_US,
    QUARTER_US,
    OpenReadings,
    PartitionWindows,
    joined,
    no_readings,
)

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
_FAR_US = 1 << 60
_SERIES_AT_ONCE = 20_000  # whose readings come as records, a few hundred bytes each


@dataclass(slots=True)
class Owned:
    """A claimed partition. `clock` and `windows` only where it carries readings.

    `may_jump`: the next record may lie beyond `next_offset`, because the position was just sought; at any other time a jump would be
    our own mistake, and skipping records in silence is the one thing that must not happen.
    `gap_from`: where the gap begins that the next batch lies behind, None where it lies behind none.
    """

    next_offset: int
    may_jump: bool = True
    gap_from: int | None = None
    last_append_ms: int = 0
    clock: PartitionClock | None = None
    windows: PartitionWindows | None = None


async def take_over(
    connection: Connection,
    table: SeriesTable,
    earliest: Mapping[Partition, int],
    *,
    owner: uuid.UUID,
    name: str,
    topics: Topics,
    policy: WatermarkPolicy,
    zone: ZoneInfo,
    now_us: int,
) -> dict[Partition, Owned]:
    """Claim the cursors, then rebuild what memory must hold. The order matters: after the claim nobody else writes any more."""
    cursors = await claim(connection, earliest, owner, name)
    owned: dict[Partition, Owned] = {}
    for partition, cursor in cursors.items():
        owned[partition] = Owned(cursor.next_offset)
        if partition[0] == topics.readings:
            owned[partition].clock = PartitionClock(policy, cursor.watermark_us, now_us)
            owned[partition].windows = await _rebuild(connection, table, partition[1], cursor, zone)
    return owned


async def _rebuild(
    connection: Connection, table: SeriesTable, number: int, cursor: Cursor, zone: ZoneInfo
) -> PartitionWindows:
    series = await load_partition(connection, table, number)
    return await rebuild_windows(WindowStore(connection), table, series, cursor.closed_until_us, zone)


async def rebuild_windows(
    store: RowStore,
    table: SeriesTable,
    series: npt.NDArray[np.intp],
    closed_us: int | None,
    zone: ZoneInfo,
    *,
    held_rows_most: int | None = None,
) -> PartitionWindows:
    """The open windows of `series` (all of one partition) from what is stored."""
    held_rows_most = HELD_ROWS_MOST if held_rows_most is None else held_rows_most
    if closed_us is None or len(series) == 0:
        return PartitionWindows(table, zone, closed_until_us=closed_us, held_rows_most=held_rows_most)
    parts = [no_readings()]
    for some in np.array_split(series, len(series) // _SERIES_AT_ONCE + 1):
        ids = table.column("series_id")[some].tolist()
        stored = await store.fetch_readings(ids, [closed_us] * len(ids), [_FAR_US] * len(ids))
        local = some[stored.series].astype(np.int32)
        parts.append(OpenReadings(local, stored.time_us, stored.values, stored.flags))
    readings = joined(parts)
    quarter_us = closed_us - closed_us % QUARTER_US
    if len(series) * ((closed_us - quarter_us) // MINUTE_US) > held_rows_most:
        return PartitionWindows(
            table,
            zone,
            closed_until_us=closed_us,
            readings=readings,
            minutes_are_held=False,
            held_rows_most=held_rows_most,
        )
    ids = table.column("series_id")[series].tolist()
    minutes = (
        await store.fetch_rows("windows_1m", ids, [quarter_us] * len(ids), [closed_us] * len(ids))
        if quarter_us < closed_us
        else empty_rows()
    )
    return PartitionWindows(
        table,
        zone,
        closed_until_us=closed_us,
        readings=readings,
        unclosed_minutes=minutes,
        held_rows_most=held_rows_most,
    )
