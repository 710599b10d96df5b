"""The audit: the rows that are there, held against what the processors say they stored, a UTC day at a time."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import asyncpg

AUDIT_LOCK = 0x0C17_A0D1
"""Advisory lock (any fixed number): who audits holds it, and so does who drops a part of a day and adds it to `ledger_audit.removed`."""
_TIMEOUT_S = 600.0

_DAYS = """
SELECT day FROM city.stored_by_day
UNION SELECT generate_series(range_start AT TIME ZONE 'UTC', (range_end AT TIME ZONE 'UTC') - interval '1 microsecond', '1 day')::date
      FROM timescaledb_information.chunks WHERE hypertable_schema = 'city' AND hypertable_name = 'readings'
ORDER BY day DESC
"""

# one statement is one snapshot: a batch committed meanwhile is in both numbers or in neither
_AUDIT = """
WITH bounds AS (
    SELECT $1::date::timestamp AT TIME ZONE 'UTC' AS lo, ($1::date + 1)::timestamp AT TIME ZONE 'UTC' AS hi
), said AS (
    SELECT coalesce(sum(readings), 0)::bigint AS n FROM city.stored_by_day WHERE day = $1
), there AS (
    SELECT count(*) AS n FROM city.readings
    WHERE time >= $1::date::timestamp AT TIME ZONE 'UTC' AND time < ($1::date + 1)::timestamp AT TIME ZONE 'UTC'
), chunk AS (
    SELECT EXISTS (SELECT FROM timescaledb_information.chunks c, bounds
                   WHERE hypertable_schema = 'city' AND hypertable_name = 'readings' AND range_start < hi AND range_end > lo) AS stands
)
INSERT INTO city.ledger_audit AS a (day, expected, found, removed, at)
SELECT $1, said.n, there.n,
       CASE WHEN chunk.stands THEN coalesce((SELECT removed FROM city.ledger_audit WHERE day = $1), 0) ELSE said.n END,
       statement_timestamp()
FROM said, there, chunk
ON CONFLICT (day) DO UPDATE SET expected = excluded.expected, found = excluded.found, removed = excluded.removed, at = excluded.at
RETURNING expected, found, removed
"""


@dataclass(frozen=True, slots=True)
class DayAudit:
    """One day: readings stored by the processors' count, rows found, and readings gone with a chunk dropped whole."""

    day: date
    expected: int
    found: int
    removed: int

    @property
    def missing(self) -> int:
        """Readings that were stored and are not there."""
        return max(0, self.expected - self.removed - self.found)

    @property
    def doubled(self) -> int:
        """Rows that no processor stored."""
        return max(0, self.found + self.removed - self.expected)


async def days_stored(connection: asyncpg.Connection[asyncpg.Record]) -> list[date]:
    """Every day that has readings or should have, newest first."""
    return [row["day"] for row in await connection.fetch(_DAYS)]


async def audit_day(connection: asyncpg.Connection[asyncpg.Record], day: date) -> DayAudit:
    """Count a day's rows and write the result to city.ledger_audit; walks the whole chunk of that day."""
    row = await connection.fetchrow(_AUDIT, day, timeout=_TIMEOUT_S)
    assert row is not None  # noqa: S101 - the INSERT returns its row
    return DayAudit(day, row["expected"], row["found"], row["removed"])
