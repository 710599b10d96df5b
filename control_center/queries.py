"""Every SELECT on the pipeline's tables; each returns typed rows. Alarms' own writes are in alarms/store.py, nowhere else is SQL."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import fields
from datetime import datetime
from typing import Any, Final, TypeAlias, TypeVar

import asyncpg

from control_center.device_clocks import DeviceClock
from control_center.rows import (
    AlarmEvent,
    AlarmRow,
    CursorRow,
    DeadLetterReason,
    DeadLetterRow,
    Device,
    GatewayWord,
    LastValue,
    LatestValue,
    LedgerAudit,
    LedgerRow,
    LedgerTotals,
    OffsetGap,
    Overview,
    Series,
    StoredReading,
    Window,
)
from control_center.where import Where

DATABASE_AWAY: Final = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that broke in the middle of COMMIT: "cannot switch to state 15"
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    OSError,
    TimeoutError,
)
"""What asyncpg raises while the database is away, restarting, full, or slower than our deadline."""

Row = TypeVar("Row")
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

WINDOW_VIEWS: Final = {size: f"city_view.windows_{size}" for size in ("1m", "15m", "1h", "1d")}
PAYLOAD_BYTES: Final = 16 * 1024
"""As much of a dead letter as a list shows; a page of whole ones could be hundreds of megabytes."""

_ACQUIRE_TIMEOUT_S: Final = 5.0
_SERIES_AT_ONCE: Final = 10_000
"""Whose newest values are asked for in one statement: a fraction of a second."""
_JSON_COLUMNS: Final = frozenset({"raised_detail", "cleared_detail", "detail"})


def _columns(kind: type[Any]) -> str:
    return ", ".join(field.name for field in fields(kind))


def _typed(kind: type[Row], record: asyncpg.Record) -> Row:
    values = dict(record.items())
    if kind in {AlarmRow, AlarmEvent}:
        values |= {key: json.loads(values[key]) for key in _JSON_COLUMNS & values.keys() if values[key] is not None}
    return kind(**values)


class Queries:
    """Reads for the API, the status line and the live table.

    Methods raise asyncpg's errors and TimeoutError; api/errors.py answers them.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def _fetch(self, kind: type[Row], sql: str, *arguments: object) -> list[Row]:
        async with self._pool.acquire(timeout=_ACQUIRE_TIMEOUT_S) as connection:
            return [_typed(kind, record) for record in await connection.fetch(sql, *arguments)]

    async def devices(
        self,
        *,
        limit: int,
        after: str | None = None,
        kind: str | None = None,
        district: str | None = None,
        q: str | None = None,
    ) -> list[Device]:
        """Devices by id, beginning after the id `after`; `q` is a part of the id or name, in any case."""
        where = Where()
        if after is not None:
            where.add("device > {0}", after)
        if kind is not None:
            where.add("kind = {0}", kind)
        if district is not None:
            where.add("district = {0}", district)
        if q is not None:
            where.add("(position(lower({0}) in lower(device)) > 0 OR position(lower({0}) in lower(name)) > 0)", q)
        sql = f"SELECT {_columns(Device)} FROM city_view.devices WHERE {where} ORDER BY device LIMIT {int(limit)}"
        return await self._fetch(Device, sql, *where.arguments)

    async def device(self, device: str) -> Device | None:
        """The device with this id."""
        found = await self._fetch(Device, f"SELECT {_columns(Device)} FROM city_view.devices WHERE device = $1", device)
        return found[0] if found else None

    async def last_values(self, device: str) -> list[LastValue]:
        """The newest stored value of each series of a device."""
        sql = """
            SELECT s.metric, s.unit, r.time AS last_time, r.value AS last_value FROM city_view.series s
            LEFT JOIN LATERAL (SELECT time, value FROM city.readings WHERE series_id = s.series_id ORDER BY time DESC LIMIT 1) r ON true
            WHERE s.device = $1 ORDER BY s.metric"""
        return await self._fetch(LastValue, sql, device)

    async def latest(self, since: datetime) -> AsyncIterator[list[LatestValue]]:
        """The newest stored value of every series that has one at or after `since`, some series after the others.

        In one statement a million series took longer than a statement may, again and again, and a gigabyte.
        """
        sql = """
            SELECT s.device, s.metric, r.time, r.value FROM city_view.series s
            JOIN LATERAL (SELECT time, value FROM city.readings WHERE series_id = s.series_id AND time >= $1
                          ORDER BY time DESC LIMIT 1) r ON true
            WHERE s.series_id > $2 AND s.series_id <= $3"""
        async with self._pool.acquire(timeout=_ACQUIRE_TIMEOUT_S) as connection:
            last = await connection.fetchval("SELECT coalesce(max(series_id), 0) FROM city_view.series")
        for after in range(0, last, _SERIES_AT_ONCE):
            yield await self._fetch(LatestValue, sql, since, after, after + _SERIES_AT_ONCE)

    async def device_intervals(self) -> dict[str, int | None]:
        """The registered interval of every device in seconds, None where each metric's own holds."""
        async with self._pool.acquire(timeout=_ACQUIRE_TIMEOUT_S) as connection:
            records = await connection.fetch("SELECT device, expected_interval_s FROM city_view.devices")
        return {record["device"]: record["expected_interval_s"] for record in records}

    async def series(
        self, *, limit: int, after: int | None = None, device: str | None = None, metric: str | None = None
    ) -> list[Series]:
        """Series by id, beginning after the id `after`."""
        where = Where()
        if after is not None:
            where.add("series_id > {0}", after)
        if device is not None:
            where.add("device = {0}", device)
        if metric is not None:
            where.add("metric = {0}", metric)
        sql = f"SELECT {_columns(Series)} FROM city_view.series WHERE {where} ORDER BY series_id LIMIT {int(limit)}"
        return await self._fetch(Series, sql, *where.arguments)

    async def readings(self, series_id: int, start: datetime, end: datetime, *, limit: int) -> list[StoredReading]:
        """Readings of one series with start <= time < end, oldest first."""
        sql = f"""SELECT {_columns(StoredReading)} FROM city_view.readings
            WHERE series_id = $1 AND time >= $2 AND time < $3 ORDER BY time LIMIT {int(limit)}"""
        return await self._fetch(StoredReading, sql, series_id, start, end)

    async def windows(self, size: str, series_id: int, start: datetime, end: datetime, *, limit: int) -> list[Window]:
        """Windows of one series with start <= their start < end, oldest first."""
        sql = f"""SELECT {_columns(Window)} FROM {WINDOW_VIEWS[size]}
            WHERE series_id = $1 AND time >= $2 AND time < $3 ORDER BY time LIMIT {int(limit)}"""
        return await self._fetch(Window, sql, series_id, start, end)

    async def alarms(
        self,
        *,
        limit: int,
        states: tuple[str, ...] | None = None,
        severity: str | None = None,
        device: str | None = None,
        before: tuple[datetime, int] | None = None,
    ) -> list[AlarmRow]:
        """Alarms, newest first (raised_at, then id), beginning after the key `before`."""
        where = Where()
        if states is not None:
            where.add("state = ANY({0})", list(states))
        if severity is not None:
            where.add("severity = {0}", severity)
        if device is not None:
            where.add("device = {0}", device)
        if before is not None:
            where.add("(raised_at, alarm_id) < ({0}, {1})", *before)
        sql = f"""SELECT {_columns(AlarmRow)} FROM city_view.alarms WHERE {where}
            ORDER BY raised_at DESC, alarm_id DESC LIMIT {int(limit)}"""
        return await self._fetch(AlarmRow, sql, *where.arguments)

    async def alarms_by_id(self, alarm_ids: list[int]) -> list[AlarmRow]:
        """The alarms with these ids, by id."""
        sql = f"SELECT {_columns(AlarmRow)} FROM city_view.alarms WHERE alarm_id = ANY($1) ORDER BY alarm_id"
        return await self._fetch(AlarmRow, sql, alarm_ids)

    async def alarm_events(self, alarm_id: int) -> list[AlarmEvent]:
        """The newest 1000 entries of an alarm's history, in the order they happened."""
        sql = f"""SELECT {_columns(AlarmEvent)} FROM
            (SELECT * FROM city.alarm_events WHERE alarm_id = $1 ORDER BY event_id DESC LIMIT 1000) newest ORDER BY event_id"""
        return await self._fetch(AlarmEvent, sql, alarm_id)

    async def ledger(
        self,
        *,
        limit: int,
        gateway: str | None = None,
        after: tuple[str, int] | None = None,
        since: datetime | None = None,
    ) -> list[LedgerRow]:
        """Lives of gateways, by gateway and newest first, beginning after the key `after`; only those heard of at or after `since`."""
        where = Where()
        if since is not None:
            where.add("last_seen >= {0}", since)
        if gateway is not None:
            where.add("gateway = {0}", gateway)
        if after is not None:
            where.add("(gateway > {0} OR (gateway = {0} AND epoch < {1}))", *after)
        sql = f"SELECT {_columns(LedgerRow)} FROM city_view.ledger WHERE {where} ORDER BY gateway, epoch DESC LIMIT {int(limit)}"
        return await self._fetch(LedgerRow, sql, *where.arguments)

    async def ledger_totals(self, gateway: str | None = None, since: datetime | None = None) -> LedgerTotals:
        """The ledger summed over one gateway, or over all with the audit applied."""
        sql = f"""SELECT {_TOTALS} FROM city_view.ledger
            WHERE ($1::text IS NULL OR gateway = $1) AND ($2::timestamptz IS NULL OR last_seen >= $2)"""
        totals = (await self._fetch(LedgerTotals, sql, gateway, since))[0]
        return totals if gateway is not None else (await self.ledger_audit()).applied_to(totals)

    async def ledger_audit(self) -> LedgerAudit:
        """The last audit of every day, summed."""
        return (await self._fetch(LedgerAudit, f"SELECT {_AUDIT} FROM city_view.ledger_audit"))[0]

    async def offset_gaps(self) -> list[OffsetGap]:
        """The newest of what Kafka no longer had, newest first."""
        return await self._fetch(OffsetGap, f"SELECT {_columns(OffsetGap)} FROM city_view.offset_gaps {_NEWEST_GAPS}")

    async def read_offsets(self) -> list[tuple[str, int, int]]:
        """(topic, partition, the offset that is to be read next) of every cursor."""
        async with self._pool.acquire(timeout=_ACQUIRE_TIMEOUT_S) as connection:
            return [
                tuple(row) for row in await connection.fetch("SELECT topic, partition, next_offset FROM city.offsets")
            ]

    async def dead_letters(
        self, *, limit: int, reason: str | None = None, before: int | None = None
    ) -> list[DeadLetterRow]:
        """Dead letters, newest first, beginning after the id `before`."""
        where = Where()
        if reason is not None:
            where.add("reason = {0}", reason)
        if before is not None:
            where.add("letter_id < {0}", before)
        sql = f"""SELECT letter_id, received, gateway, reason, detail, mqtt_topic, readings,
                substring(payload FROM 1 FOR {PAYLOAD_BYTES}) AS payload, octet_length(payload) AS payload_bytes
            FROM city.dead_letters WHERE {where} ORDER BY letter_id DESC LIMIT {int(limit)}"""
        return await self._fetch(DeadLetterRow, sql, *where.arguments)

    async def device_clocks(
        self, *, limit: int, device: str | None = None, after: tuple[str, str] | None = None
    ) -> list[DeviceClock]:
        """Devices whose clock is wrong, heard of within a day, by (device, kind), beginning after the key `after`."""
        where = Where()
        where.add("last_seen > now() - interval '1 day'")
        if device is not None:
            where.add("device = {0}", device)
        if after is not None:
            where.add("(device, kind) > ({0}, {1})", *after)
        sql = f"SELECT {_columns(DeviceClock)} FROM city_view.device_clocks WHERE {where} ORDER BY device, kind LIMIT {int(limit)}"
        return await self._fetch(DeviceClock, sql, *where.arguments)

    async def dead_letter_reasons(self, since: datetime, gateway: str | None = None) -> list[DeadLetterReason]:
        """Dead letters received at or after `since` by reason, the most readings first."""
        sql = """
            SELECT r.reason, r.letters, r.readings, r.waiting, r.newest_id, d.received AS newest_received, d.gateway AS newest_gateway,
                   d.mqtt_topic AS newest_topic, d.detail AS newest_detail
            FROM (SELECT reason, count(*) AS letters, sum(readings)::bigint AS readings,
                         count(*) FILTER (WHERE retried_at IS NULL) AS waiting,
                         max(letter_id) AS newest_id
                  FROM city.dead_letters WHERE received >= $1 AND ($2::text IS NULL OR gateway = $2) GROUP BY reason) r
            JOIN city.dead_letters d ON d.letter_id = r.newest_id ORDER BY r.readings DESC, r.reason"""
        return await self._fetch(DeadLetterReason, sql, since, gateway)

    async def overview(self, readings_topic: str) -> Overview:
        """Ledger totals, cursors, open alarms and the number of devices, all of one moment, in one query."""
        async with self._pool.acquire(timeout=_ACQUIRE_TIMEOUT_S) as connection:
            record = await connection.fetchrow(_OVERVIEW, readings_topic)
        assert record is not None  # noqa: S101 - a SELECT without FROM always gives one row
        cursors = json.loads(record["cursors"])
        audit = _audit(json.loads(record["audit"]))
        return Overview(
            totals=audit.applied_to(LedgerTotals(**json.loads(record["totals"]))),
            audit=audit,
            cursors=tuple(
                CursorRow(
                    row["partition"],
                    row["next_offset"],
                    None if row["watermark"] is None else datetime.fromisoformat(row["watermark"]),
                    datetime.fromisoformat(row["updated_at"]),
                )
                for row in cursors
            ),
            active_alarms=json.loads(record["alarms"]),
            devices=record["devices"],
            gateways=tuple(
                GatewayWord(row["gateway"], datetime.fromisoformat(row["at"]), row["spooled"])
                for row in json.loads(record["gateways"])
            ),
            recent_gaps=tuple(
                OffsetGap(**(row | {"seen_at": datetime.fromisoformat(row["seen_at"])}))
                for row in json.loads(record["gaps"])
            ),
        )


RETRY_GATEWAY: Final = "retry"  # retried dead letters come again under this name; no gateway bears it

_TOTALS = ", ".join(f"coalesce(sum({field.name}), 0)::bigint AS {field.name}" for field in fields(LedgerTotals))
_AUDIT = ", ".join(
    [f"coalesce(sum({name}), 0)::bigint AS {name}" for name in ("expected", "found", "removed", "missing", "doubled")]
    + ["count(*)::int AS days", "min(at) AS oldest", "max(at) AS newest"]
)


def _audit(row: dict[str, Any]) -> LedgerAudit:
    times = {key: datetime.fromisoformat(row[key]) for key in ("oldest", "newest") if row[key] is not None}
    return LedgerAudit(**(row | times))


_NEWEST_GAPS = "ORDER BY seen_at DESC, topic, partition, from_offset DESC LIMIT 100"

_OVERVIEW = f"""
SELECT (SELECT to_json(t) FROM (SELECT {_TOTALS} FROM city_view.ledger) t)::text AS totals,
       (SELECT to_json(a) FROM (SELECT {_AUDIT} FROM city_view.ledger_audit) a)::text AS audit,
       (SELECT coalesce(json_agg(json_build_object('partition', partition, 'next_offset', next_offset,
                                                   'watermark', watermark, 'updated_at', updated_at)), '[]')
        FROM city.offsets WHERE topic = $1)::text AS cursors,
       (SELECT coalesce(json_object_agg(severity, n), '{{}}')
        FROM (SELECT severity, count(*) AS n FROM city.alarms WHERE state <> 'cleared' GROUP BY severity) a)::text AS alarms,
       (SELECT count(*) FROM city.devices)::int AS devices,
       (SELECT coalesce(json_agg(w), '[]')
        FROM (SELECT gateway, max(at) AS at, sum(spooled)::bigint AS spooled FROM city.gateway_statements
              WHERE gateway <> '{RETRY_GATEWAY}' GROUP BY gateway ORDER BY gateway) w)::text AS gateways,
       (SELECT coalesce(json_agg(g), '[]')
        FROM (SELECT {_columns(OffsetGap)} FROM city_view.offset_gaps
              WHERE seen_at > now() - interval '1 day' {_NEWEST_GAPS}) g)::text AS gaps
"""
