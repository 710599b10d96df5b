"""Series and devices in the database: created in bulk, loaded when a partition is taken over."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any, TypeAlias, TypeVar

import asyncpg
import numpy as np
import numpy.typing as npt

from processors.series import METRIC_CODES, METRIC_LIST, KnownSeries, NewSeries, SeriesTable

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Number = TypeVar("Number", bound=np.integer[Any])

_NAMES_AT_ONCE = 20_000
_ENDS_AT_ONCE = 20_000

_METRICS = ", ".join(f"('{metric.name}', {code})" for code, metric in enumerate(METRIC_LIST))
_SELECT_CODES = (
    "SELECT s.series_id, s.device_id, coalesce(m.code, -1), s.mean_kind::int, s.interval_s, s.partition::int FROM city.series s "
    f"LEFT JOIN (VALUES {_METRICS}) AS m(metric, code) USING (metric) "
)
_CODE_NAMES = ("series_id", "device_id", "metric", "mean_kind", "interval_s", "partition")
_ROW = np.dtype([("fields", ">i2"), *((name, [("bytes", ">i4"), ("value", ">i4")]) for name in _CODE_NAMES)])
"""A row of binary COPY whose columns are all int4 (PostgreSQL's documentation of COPY, "Binary Format"): a count, then length and value."""
_COPY_HEAD, _COPY_TAIL = 19, 2


async def load_partition(connection: Connection, table: SeriesTable, partition: int) -> npt.NDArray[np.intp]:
    """Learn all series of a partition; returns their local indices. What is stored of them is read when they are first needed."""
    await _load(connection, table, f"WHERE s.partition = {int(partition)}")
    table.column("loaded")[table.column("partition") == partition] = False
    return np.flatnonzero(table.column("partition") == partition)


async def load_device(connection: Connection, table: SeriesTable, device: str | None) -> npt.NDArray[np.intp]:
    """Learn the series of one device, or of all; returns their local indices."""
    if device is None:
        await _load(connection, table, "")
    elif (
        number := await connection.fetchval("SELECT device_id FROM city.devices WHERE device = $1", device)
    ) is not None:
        await _load(connection, table, f"WHERE s.device_id = {int(number)}")
    return np.arange(len(table), dtype=np.intp)


async def _load(connection: Connection, table: SeriesTable, where: str) -> None:
    """As columns: a million rows as records took 1 kB each."""
    received = io.BytesIO()
    await connection.copy_from_query(f"{_SELECT_CODES} {where} ORDER BY s.series_id", output=received, format="binary")
    rows = np.frombuffer(received.getbuffer()[_COPY_HEAD:-_COPY_TAIL], _ROW)
    device_id, device_code = np.unique(rows["device_id"]["value"].astype(np.int32), return_inverse=True)
    devices: list[str] = []
    for some in np.array_split(device_id, len(device_id) // _NAMES_AT_ONCE + 1):
        devices += (
            await connection.fetchval(
                "SELECT array_agg(d.device ORDER BY k.position) FROM unnest($1::int[]) WITH ORDINALITY AS k(device_id, position) "
                "JOIN city.devices d USING (device_id)",
                some.tolist(),
            )
            or []
        )
    values = {name: rows[name]["value"].astype(np.int32) for name in _CODE_NAMES}
    table.learn(
        KnownSeries(
            devices,
            device_code.astype(np.int32),
            values["series_id"],
            values["device_id"],
            values["metric"].astype(np.int16),
            values["mean_kind"].astype(np.int8),
            values["interval_s"],
            values["partition"],
        ),
        fresh=False,
    )


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
            "SELECT s.series_id, s.device_id, d.device, s.metric, s.mean_kind, s.interval_s, s.partition "
            "FROM city.series s JOIN city.devices d USING (device_id) "
            "JOIN unnest($1::text[], $2::text[]) AS n(device, metric) ON n.device = d.device AND n.metric = s.metric",
            [new.device for new in waiting],
            [new.metric.name for new in waiting],
        )
    table.learn(_known([row for row in rows if row["series_id"] in created]), fresh=True)
    table.learn(_known([row for row in rows if row["series_id"] not in created]), fresh=False)


def _known(rows: Sequence[asyncpg.Record]) -> KnownSeries:
    """Records as columns."""
    devices = {device: code for code, device in enumerate(dict.fromkeys(row["device"] for row in rows))}

    def column(values: Iterable[int], kind: type[Number]) -> npt.NDArray[Number]:
        return np.fromiter(values, kind, len(rows))

    return KnownSeries(
        list(devices),
        column((devices[row["device"]] for row in rows), np.int32),
        column((row["series_id"] for row in rows), np.int32),
        column((row["device_id"] for row in rows), np.int32),
        column((METRIC_CODES.get(row["metric"], -1) for row in rows), np.int16),
        column((row["mean_kind"] for row in rows), np.int8),
        column((row["interval_s"] for row in rows), np.int32),
        column((row["partition"] for row in rows), np.int32),
    )


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

    `closed_until_us` is per series. One index probe each, in the newest chunk that holds the series, of a bounded number at a time.
    """
    unread = ~table.column("loaded")[series]
    series, closed_until_us = series[unread], closed_until_us[unread]
    if len(series) == 0:
        return
    for some in np.array_split(np.arange(len(series)), len(series) // _ENDS_AT_ONCE + 1):
        await _load_ends(connection, table, series[some], closed_until_us[some])
    table.column("loaded")[series] = True


async def _load_ends(
    connection: Connection, table: SeriesTable, series: npt.NDArray[np.intp], closed_until_us: npt.NDArray[np.int64]
) -> None:
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
