"""Series and devices in the database: created in bulk, loaded when a partition is taken over."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import asyncpg
import numpy as np
import numpy.typing as npt

from processors.series import KnownSeries, NewSeries, SeriesTable

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_SELECT_SERIES = (
    "SELECT s.series_id, s.device_id, d.device, s.metric, s.mean_kind, s.interval_s, s.partition "
    "FROM city.series s JOIN city.devices d USING (device_id) "
)


async def load_partition(connection: Connection, table: SeriesTable, partition: int) -> npt.NDArray[np.intp]:
    """Learn all series of a partition; returns their local indices. What is stored of them is read when they are first needed."""
    rows = await connection.fetch(_SELECT_SERIES + "WHERE s.partition = $1 ORDER BY s.series_id", partition)
    table.learn([KnownSeries(**row) for row in rows], fresh=False)
    table.column("loaded")[table.column("partition") == partition] = False
    return np.flatnonzero(table.column("partition") == partition)


async def load_device(connection: Connection, table: SeriesTable, device: str | None) -> npt.NDArray[np.intp]:
    """Learn the series of one device, or of all; returns their local indices."""
    rows = await connection.fetch(
        _SELECT_SERIES + "WHERE $1::text IS NULL OR d.device = $1 ORDER BY s.series_id", device
    )
    table.learn([KnownSeries(**row) for row in rows], fresh=False)
    return np.arange(len(table), dtype=np.intp)


async def create_waiting(connection: Connection, table: SeriesTable) -> None:
    """Give every waiting series of `table` its row and id.

    Committed by itself, before the batch's transaction: a series without readings harms nobody, and a rolled back id would.
    """
    waiting = table.take_waiting()
    if not waiting:
        return
    waiting.sort(
        key=lambda new: (new.device, new.metric.name)
    )  # one order for all, so that two processes cannot deadlock
    async with connection.transaction():
        await connection.execute(
            # not just ON CONFLICT: that would use up an identity number for every row that exists
            "INSERT INTO city.devices (device) SELECT DISTINCT n.device FROM unnest($1::text[]) AS n(device) "
            "WHERE NOT EXISTS (SELECT FROM city.devices d WHERE d.device = n.device) ORDER BY n.device ON CONFLICT DO NOTHING",
            [new.device for new in waiting],
        )
        created = {row["series_id"] for row in await connection.fetch(_INSERT_SERIES, *_new_columns(waiting))}
        rows = await connection.fetch(
            _SELECT_SERIES
            + "JOIN unnest($1::text[], $2::text[]) AS n(device, metric) ON n.device = d.device AND n.metric = s.metric",
            [new.device for new in waiting],
            [new.metric.name for new in waiting],
        )
    known = [KnownSeries(**row) for row in rows]
    table.learn([row for row in known if row.series_id in created], fresh=True)
    table.learn([row for row in known if row.series_id not in created], fresh=False)


_INSERT_SERIES = """
INSERT INTO city.series (device_id, metric, unit, mean_kind, interval_s, partition)
SELECT d.device_id, n.metric, n.unit, n.mean_kind, coalesce(d.expected_interval_s, n.interval_s), n.partition
FROM unnest($1::text[], $2::text[], $3::text[], $4::smallint[], $5::int[], $6::smallint[])
    AS n(device, metric, unit, mean_kind, interval_s, partition)
JOIN city.devices d USING (device)
WHERE NOT EXISTS (SELECT FROM city.series s WHERE s.device_id = d.device_id AND s.metric = n.metric)
ORDER BY d.device_id, n.metric ON CONFLICT DO NOTHING RETURNING series_id
"""


def _new_columns(
    waiting: Sequence[NewSeries],
) -> tuple[list[str], list[str], list[str], list[int], list[int], list[int]]:
    return (
        [new.device for new in waiting],
        [new.metric.name for new in waiting],
        [new.metric.unit for new in waiting],
        [int(new.metric.mean) for new in waiting],
        [new.metric.interval_s for new in waiting],
        [new.partition for new in waiting],
    )


async def load_stored_ends(
    connection: Connection, table: SeriesTable, series: npt.NDArray[np.intp], closed_until_us: npt.NDArray[np.int64]
) -> None:
    """For local series not read yet: the newest stored reading, and the last one before their partition's open windows.

    `closed_until_us` is per series. One index probe each, in the newest chunk that holds the series.
    """
    unread = ~table.column("loaded")[series]
    series, closed_until_us = series[unread], closed_until_us[unread]
    if len(series) == 0:
        return
    rows = await connection.fetch(
        """
        SELECT k.series_id, newest.time AS last_time, previous.time AS previous_time, previous.value AS previous_value
        FROM unnest($1::int[], $2::timestamptz[]) AS k(series_id, closed_until)
        CROSS JOIN LATERAL (SELECT time FROM city.readings r WHERE r.series_id = k.series_id ORDER BY time DESC LIMIT 1) newest
        LEFT JOIN LATERAL (SELECT time, value FROM city.readings r WHERE r.series_id = k.series_id AND r.time < k.closed_until
            ORDER BY time DESC LIMIT 1) previous ON true
        """,
        table.column("series_id")[series].tolist(),
        closed_until_us.tolist(),
    )
    index_of = dict(zip(table.column("series_id")[series].tolist(), series.tolist(), strict=True))
    for row in rows:
        index = index_of[row["series_id"]]
        table.column("last_time_us")[index] = row["last_time"]
        if row["previous_time"] is not None:
            table.column("previous_time_us")[index] = row["previous_time"]
            table.column("previous_value")[index] = row["previous_value"]
    table.column("loaded")[series] = True
