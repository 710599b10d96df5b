"""The alarms' own tables. Every function is one transaction: what an alarm became and why are committed together or not at all.

Condition changes are deleted in the transaction that changes the alarm, so a crash at any point neither loses nor repeats one.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

import asyncpg
import msgspec

from control_center.alarms.lifecycle import Alarm, Book, Change, Event, RuleTexts, State, Subject, acknowledged
from control_center.alarms.rules import INTERNAL_RULES, INTERNAL_SUBJECT, rule_texts
from control_center.metrics import ControlMetrics
from processors.contract.rules import Rule

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
PoolConnection: TypeAlias = "asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
CHANNEL: Final = "citynerve_alarms"
BATCH: Final = 500
_IDS_A_NOTIFY: Final = 300  # a NOTIFY payload ends at 8000 bytes

_COLUMNS: Final = (
    "alarm_id, rule_id, subject, device, metric, severity, state, raised_at, raised_value, raised_detail, "
    "acknowledged_at, acknowledged_by, cleared_at, cleared_value, cleared_detail"
)


@dataclass(frozen=True, slots=True)
class Taken:
    """What one batch did: changes consumed, alarm events by name, changes that changed nothing by reason."""

    changes: int
    events: Counter[str]
    ignored: Counter[str]


async def take_changes(connection: Connection, now: datetime) -> Taken:
    """Turn up to `BATCH` waiting condition changes into alarms, in the order they were judged. Only the leading replica calls this."""
    async with connection.transaction():
        records = await connection.fetch(
            f"""SELECT change_id, rule_id, subject, active, at, value, detail FROM city.condition_changes
                ORDER BY change_id LIMIT {BATCH}"""
        )
        if not records:
            return Taken(0, Counter(), Counter())
        changes = [
            Change(r["rule_id"], r["subject"], r["active"], r["at"], r["value"], json.loads(r["detail"]))
            for r in records
        ]
        taken = await _apply(connection, changes, now)
        ids = [record["change_id"] for record in records]
        await connection.execute("DELETE FROM city.condition_changes WHERE change_id = ANY($1)", ids)
    return taken


async def take_internal(connection: Connection, changes: Sequence[Change], now: datetime) -> Taken:
    """The same for changes the control center found itself."""
    async with connection.transaction():
        return await _apply(connection, changes, now)


async def open_subjects(connection: Connection, rule_id: str) -> set[str]:
    """The subjects with an open alarm of a rule."""
    records = await connection.fetch(
        "SELECT subject FROM city.alarms WHERE rule_id = $1 AND state <> 'cleared'", rule_id
    )
    return {record["subject"] for record in records}


async def sync_rules(connection: Connection, rules: Sequence[Rule], now: datetime) -> Taken:
    """Make city.rules what the rules file says; open alarms of rules that are gone or off are cleared."""
    bodies = {rule.rule_id: rule.model_dump(mode="json") for rule in rules}
    async with connection.transaction():
        records = await connection.fetch("SELECT rule_id, body FROM city.rules FOR UPDATE")
        stored = {record["rule_id"]: json.loads(record["body"]) for record in records}
        # a rule that is gone is switched off, not deleted: processors look again when the highest version grows, and a deletion lowers it
        bodies |= {rule_id: {**body, "enabled": False} for rule_id, body in stored.items() if rule_id not in bodies}
        changed = [rule_id for rule_id in bodies if stored.get(rule_id) != bodies[rule_id]]
        await connection.executemany(
            """INSERT INTO city.rules (rule_id, body) VALUES ($1, $2)
               ON CONFLICT (rule_id) DO UPDATE SET body = excluded.body, version = DEFAULT, updated_at = now()""",
            [(rule_id, json.dumps(bodies[rule_id])) for rule_id in changed],
        )
        live = [rule.rule_id for rule in rules if rule.enabled] + list(INTERNAL_RULES)
        orphans = await connection.fetch(
            "SELECT rule_id, subject FROM city.alarms WHERE state <> 'cleared' AND rule_id <> ALL($1)", live
        )
        reason = {"reason": "the rule was removed or switched off"}
        clears = [
            Change(record["rule_id"], record["subject"], active=False, at=now, value=None, detail=reason)
            for record in orphans
        ]
        return await _apply(connection, clears, now)


async def _apply(connection: Connection, changes: Sequence[Change], now: datetime) -> Taken:
    raises = sum(change.active for change in changes)
    ids = await connection.fetch(
        "SELECT nextval(pg_get_serial_sequence('city.alarms', 'alarm_id')) AS id FROM generate_series(1, $1::int)",
        raises,
    )
    book = Book(
        open_alarms=await _open_alarms(connection, changes),
        rules=await _rules(connection, changes),
        subjects=await _subjects(connection, changes),
        ids=iter([record["id"] for record in ids]),
    )
    book.apply(changes, now)
    await _write(connection, [book.changed[alarm_id] for alarm_id in sorted(book.changed)], book.events)
    return Taken(len(changes), Counter(event.event for event in book.events), Counter(book.ignored))


async def _open_alarms(connection: Connection, changes: Sequence[Change]) -> dict[tuple[str, str], Alarm]:
    # FOR UPDATE: an acknowledgement in flight must not be overwritten by the batch
    records = await connection.fetch(
        f"""SELECT {_COLUMNS} FROM city.alarms
            WHERE state <> 'cleared' AND (rule_id, subject) IN (SELECT * FROM unnest($1::text[], $2::text[]))
            ORDER BY alarm_id FOR UPDATE""",
        [change.rule_id for change in changes],
        [change.subject for change in changes],
    )
    return {(record["rule_id"], record["subject"]): _alarm(record) for record in records}


async def _rules(connection: Connection, changes: Sequence[Change]) -> dict[str, RuleTexts]:
    wanted = list({change.rule_id for change in changes})
    records = await connection.fetch("SELECT rule_id, body FROM city.rules WHERE rule_id = ANY($1)", wanted)
    parsed = [Rule.model_validate_json(record["body"]) for record in records]
    return {**INTERNAL_RULES, **{rule.rule_id: rule_texts(rule) for rule in parsed if rule.enabled}}


async def _subjects(connection: Connection, changes: Sequence[Change]) -> dict[str, Subject]:
    series = _numbers("series:", changes)
    devices = _numbers("device:", changes)
    records = await connection.fetch(
        """SELECT 'series:' || s.series_id AS subject, d.device, s.metric FROM city.series s JOIN city.devices d USING (device_id)
           WHERE s.series_id = ANY($1)
           UNION ALL SELECT 'device:' || device_id, device, NULL FROM city.devices WHERE device_id = ANY($2)""",
        series,
        devices,
    )
    found = {record["subject"]: Subject(record["device"], record["metric"]) for record in records}
    return {INTERNAL_SUBJECT: Subject(INTERNAL_SUBJECT, None), **found}


def _numbers(prefix: str, changes: Iterable[Change]) -> list[int]:
    tails = (change.subject[len(prefix) :] for change in changes if change.subject.startswith(prefix))
    return sorted({int(tail) for tail in tails if tail.isascii() and tail.isdigit() and len(tail) <= 9})


async def _write(connection: Connection | PoolConnection, alarms: Sequence[Alarm], events: Sequence[Event]) -> None:
    if not events:
        return
    # an alarm cleared and one newly raised of the same subject meet the unique index in this order, so they are sorted by id
    await connection.execute(
        f"""INSERT INTO city.alarms ({_COLUMNS}) OVERRIDING SYSTEM VALUE
            SELECT {_COLUMNS} FROM jsonb_populate_recordset(NULL::city.alarms, $1::jsonb) ORDER BY alarm_id
            ON CONFLICT (alarm_id) DO UPDATE SET state = excluded.state, acknowledged_at = excluded.acknowledged_at,
                acknowledged_by = excluded.acknowledged_by, cleared_at = excluded.cleared_at,
                cleared_value = excluded.cleared_value, cleared_detail = excluded.cleared_detail""",
        _json([asdict(alarm) for alarm in alarms]),
    )
    await connection.execute(
        """INSERT INTO city.alarm_events (alarm_id, at, event, by_whom, detail)
           SELECT (e->>'alarm_id')::bigint, (e->>'at')::timestamptz, e->>'event', e->>'by_whom', e->'detail'
           FROM jsonb_array_elements($1::jsonb) WITH ORDINALITY AS list(e, place) ORDER BY place""",
        _json([asdict(event) for event in events]),
    )
    for ids in _batches([alarm.alarm_id for alarm in alarms]):
        await connection.execute("SELECT pg_notify($1, $2)", CHANNEL, ",".join(map(str, ids)))


def _batches(ids: Sequence[int]) -> Iterable[Sequence[int]]:
    return (ids[start : start + _IDS_A_NOTIFY] for start in range(0, len(ids), _IDS_A_NOTIFY))


def _json(content: object) -> str:
    return msgspec.json.encode(content).decode()


def _alarm(record: asyncpg.Record) -> Alarm:
    values: dict[str, Any] = dict(record.items())
    values["state"] = State(values["state"])
    values["raised_detail"] = json.loads(values["raised_detail"])
    if values["cleared_detail"] is not None:
        values["cleared_detail"] = json.loads(values["cleared_detail"])
    return Alarm(**values)


class AlarmDesk:
    """What a person may do to an alarm; any replica serves it."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record], metrics: ControlMetrics) -> None:
        self._pool = pool
        self._metrics = metrics

    async def acknowledge(
        self, alarm_id: int, *, by: str, comment: str, now: datetime
    ) -> Literal["acknowledged", "already_acknowledged", "cleared", "unknown"]:
        """Acknowledge an alarm; the answer says what was found."""
        async with self._pool.acquire(timeout=5) as connection, connection.transaction():
            record = await connection.fetchrow(
                f"SELECT {_COLUMNS} FROM city.alarms WHERE alarm_id = $1 FOR UPDATE", alarm_id
            )
            if record is None:
                return "unknown"
            outcome = acknowledged(_alarm(record), by=by, comment=comment, now=now)
            if isinstance(outcome, str):
                return "already_acknowledged" if outcome == "already_acknowledged" else "cleared"
            alarm, event = outcome
            await _write(connection, [alarm], [event])
        self._metrics.alarm_changes.labels("acknowledged").inc()
        return "acknowledged"
