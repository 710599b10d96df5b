"""Rules and conditions in SQL: rules and states read, changes and states written in the transaction of the readings that did it."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import asyncpg
from pydantic import ValidationError

from processors.condition_changes import Change
from processors.condition_pairs import ConditionRow
from processors.contract.rules import Rule
from processors.contract.tables import CONDITIONS_CHANNEL

log = logging.getLogger(__name__)
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def rules_version(connection: Connection) -> tuple[int, ...]:
    """Differs whenever rules were added, changed or removed."""
    row = await connection.fetchrow(
        "SELECT count(*), coalesce(max(version), 0), coalesce(sum(version), 0)::bigint FROM city.rules"
    )
    assert row is not None  # noqa: S101 - an aggregate without GROUP BY always has a row
    return tuple(row)


async def load_rules(connection: Connection) -> list[Rule]:
    """All rules. One that this version cannot read is left out with a line in the log; the others must go on being judged."""
    rules = []
    for row in await connection.fetch("SELECT rule_id, body FROM city.rules ORDER BY rule_id"):
        try:
            rules.append(Rule.model_validate_json(row["body"]))
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            log.error(  # noqa: TRY400 - a user's rule, no traceback
                "rule %s cannot be read and is not judged: %s", row["rule_id"], first["msg"]
            )
    return rules


async def load_conditions(connection: Connection, partition: int) -> list[ConditionRow]:
    """The stored states of a partition."""
    rows = await connection.fetch(
        "SELECT rule_id, subject, active, pending_since, since, value, value_time FROM city.conditions WHERE partition = $1",
        partition,
    )
    return [ConditionRow(*row) for row in rows]


async def write_conditions(connection: Connection, partition: int, rows: Sequence[ConditionRow]) -> None:
    """Bring states up to date."""
    if not rows:
        return
    ordered = sorted(rows, key=lambda row: (row.rule_id, row.subject))
    await connection.execute(
        """
        INSERT INTO city.conditions (rule_id, subject, partition, active, pending_since, since, value, value_time)
        SELECT rule_id, subject, $1, active, pending_since, since, value, value_time
        FROM unnest($2::text[], $3::text[], $4::bool[], $5::timestamptz[], $6::timestamptz[], $7::float8[], $8::timestamptz[])
            AS n(rule_id, subject, active, pending_since, since, value, value_time)
        ON CONFLICT (rule_id, subject) DO UPDATE SET partition = excluded.partition, active = excluded.active,
            pending_since = excluded.pending_since, since = excluded.since, value = excluded.value, value_time = excluded.value_time
        """,
        partition,
        [row.rule_id for row in ordered],
        [row.subject for row in ordered],
        [row.active for row in ordered],
        [row.pending_since_us for row in ordered],
        [row.since_us for row in ordered],
        [row.value for row in ordered],
        [row.value_time_us for row in ordered],
    )


async def forget_conditions(connection: Connection, keys: Iterable[tuple[str, str]]) -> None:
    """Remove the states of pairs that no rule watches any more."""
    pairs = sorted(keys)
    if pairs:
        await connection.execute(
            "DELETE FROM city.conditions c USING unnest($1::text[], $2::text[]) AS k(rule_id, subject) "
            "WHERE c.rule_id = k.rule_id AND c.subject = k.subject",
            [rule_id for rule_id, _ in pairs],
            [subject for _, subject in pairs],
        )


async def write_changes(connection: Connection, changes: Sequence[Change]) -> None:
    """Put changes into the outbox, in their order: the control center takes them from there. It is woken by the commit."""
    if not changes:
        return
    await connection.execute(
        f"""
        WITH outbox AS (
            INSERT INTO city.condition_changes (rule_id, subject, active, at, value, detail)
            SELECT rule_id, subject, active, at, value, detail::jsonb
            FROM unnest($1::text[], $2::text[], $3::bool[], $4::timestamptz[], $5::float8[], $6::text[])
                WITH ORDINALITY AS n(rule_id, subject, active, at, value, detail, position) ORDER BY position
        )
        SELECT pg_notify('{CONDITIONS_CHANNEL}', '')
        """,
        [change.rule_id for change in changes],
        [change.subject for change in changes],
        [change.active for change in changes],
        [change.at_us for change in changes],
        [change.value for change in changes],
        [json.dumps(dict(change.detail)) for change in changes],
    )
