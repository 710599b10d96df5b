"""The fleet's sums (`city.fleet_15m`, `city.fleet_1h`) follow the windows: what is marked is made anew, one processor at a time.

Marks are written in the transaction of the windows, and read before the windows are: a window committed later leaves a mark for the
next round, so no revision is missed and none is added twice. Sums moved along in the transaction of the windows were rejected: every
partition would wait for the others' rows, and a sum that is only ever added to cannot be held against anything.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias

import asyncpg

from ingest.contract.sensor_kinds import Mean
from processors.contract.database import DatabaseSettings
from processors.metrics import ProcessorMetrics

log = logging.getLogger(__name__)
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Span: TypeAlias = tuple[int, int]
"""Quarters of an hour since 1970: first, and the one after the last."""

_LOCK: Final = 0x0C17_F1EE  # any fixed number: who sums takes it first
QUARTER_S: Final = 900
QUARTERS_A_ROUND: Final = 96
_WINDOWS_A_ROUND: Final = 1_000_000
"""A day of 10,000 series, two seconds; one quarter of a million series."""
_BUDGET_S: Final = 600.0
_SHARE: Final = 1 / 5
"""At most this part of the time is spent summing, however much waits: readings come first. A month of 10,000 series after an upgrade is 90
seconds of work, so seven minutes."""
_FAST_S: Final = 900  # a series slower than a quarter of an hour says nothing about a quarter; as the dashboards count

_STAGING = "CREATE TEMP TABLE IF NOT EXISTS fleet_made (LIKE city.fleet_15m) ON COMMIT DELETE ROWS"
_TAKE = f"""
WITH taken AS (DELETE FROM city.fleet_marks RETURNING first, until)
SELECT floor(extract(epoch FROM first) / {QUARTER_S})::bigint AS first,
       ceil(extract(epoch FROM coalesce(until, newest)) / {QUARTER_S})::bigint AS until
FROM taken CROSS JOIN (SELECT max(range_end) AS newest FROM timescaledb_information.chunks
                       WHERE hypertable_schema = 'city' AND hypertable_name = 'windows_15m') chunks
WHERE coalesce(until, newest) > first"""
_SERIES = "SELECT reltuples::bigint FROM pg_class WHERE oid = 'city.series'::regclass"  # an estimate: counting takes as long as a quarter
_PUT_BACK = "INSERT INTO city.fleet_marks (first, until) SELECT * FROM unnest($1::timestamptz[], $2::timestamptz[])"
# OFFSET 0: each series is asked for its range by the primary key; joined freely, the planner walks whole chunks of seven days
_SUM = f"""
INSERT INTO pg_temp.fleet_made (start, metric, kind, district, width_s, windows, count, total, energy, min, max, came)
SELECT w.start, s.metric, d.kind, d.district, {QUARTER_S}, count(*), sum(w.count),
       sum(greatest(-1e290, least(1e290, w.mean)) * w.count),
       sum(w.count * power(10, greatest(-2900, least(2900, w.special)) / 10))
           FILTER (WHERE s.mean_kind = {int(Mean.ENERGETIC)} AND w.special IS NOT NULL),
       min(w.min), max(w.max), coalesce(sum(least(w.count, w.expected)) FILTER (WHERE s.interval_s <= {_FAST_S}), 0)
FROM city.series s JOIN city.devices d USING (device_id) CROSS JOIN LATERAL (
    SELECT start, count, mean, special, min, max, expected FROM city.windows_15m
    WHERE series_id = s.series_id AND start >= $1 AND start < $2 OFFSET 0
) w GROUP BY 1, 2, 3, 4"""
# readings are never taken back: fewer than before are those of chunks that retention dropped, and the sums outlive them
_KEEP_DROPPED = """
DELETE FROM pg_temp.fleet_made m USING (
    SELECT start, metric, sum(count) AS count FROM city.fleet_15m WHERE start >= $1 AND start < $2 GROUP BY 1, 2
) had, (SELECT start, metric, sum(count) AS count FROM pg_temp.fleet_made GROUP BY 1, 2) has
WHERE had.start = m.start AND had.metric = m.metric AND has.start = m.start AND has.metric = m.metric AND has.count < had.count"""
_REPLACE = """
DELETE FROM city.fleet_15m f USING (SELECT DISTINCT start, metric FROM pg_temp.fleet_made) m
WHERE f.start = m.start AND f.metric = m.metric AND f.start >= $1 AND f.start < $2"""
_INSERT = "INSERT INTO city.fleet_15m SELECT * FROM pg_temp.fleet_made"
_HOURS_AWAY = "DELETE FROM city.fleet_1h WHERE start >= date_trunc('hour', $1::timestamptz, 'UTC') AND start < $2"
_HOURS = """
INSERT INTO city.fleet_1h (start, metric, kind, district, width_s, windows, count, total, energy, min, max, came)
SELECT date_trunc('hour', start, 'UTC'), metric, kind, district, sum(width_s), sum(windows), sum(count), sum(total), sum(energy),
       min(min), max(max), sum(came)
FROM city.fleet_15m WHERE start >= date_trunc('hour', $1::timestamptz, 'UTC')
    AND start < date_trunc('hour', $2::timestamptz + interval '59 minutes 59 seconds', 'UTC')
GROUP BY 1, 2, 3, 4"""


@dataclass(frozen=True, slots=True)
class Round:
    """Quarters summed, and quarters that wait for the next round."""

    summed: int
    waiting: int


class FleetSums:
    """Sums for as long as it runs. Trouble is counted and never ends it."""

    def __init__(self, database: DatabaseSettings, metrics: ProcessorMetrics, *, interval_s: float) -> None:
        self._database, self._metrics, self._interval_s = database, metrics, interval_s

    async def run(self) -> None:
        """Until cancelled."""
        failing = False
        while True:
            try:
                await self._rounds()
            except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError) as error:
                self._metrics.fleet_rounds.labels("failed").inc()
                if not failing:  # one line an outage
                    log.warning("sums of the fleet interrupted", extra={"fields": {"error": repr(error)}})
                failing = True
            else:
                failing = False
            await asyncio.sleep(self._interval_s)

    async def _rounds(self) -> None:
        """Rounds on one connection until something fails."""
        connection = await self._database.connect("citynerve fleet")
        try:
            while True:
                began = time.monotonic()
                done = await sum_marked(connection)
                took_s = time.monotonic() - began
                if done is not None and done.summed:
                    self._metrics.fleet_rounds.labels("summed").inc()
                    self._metrics.fleet_quarters.inc(done.summed)
                self._metrics.fleet_waiting.set(done.waiting if done else 0)
                rest_s = took_s * (1 / _SHARE - 1)
                await asyncio.sleep(rest_s if done and done.waiting else max(self._interval_s, rest_s))
        finally:
            connection.terminate()


async def sum_marked(connection: Connection, quarters: int = QUARTERS_A_ROUND) -> Round | None:
    """Make at most so many of the marked quarters anew, fewer where series are many, the newest first, in one transaction.

    None: another processor is at it.
    """
    await connection.execute(_STAGING)
    async with connection.transaction():
        if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1)", _LOCK):
            return None
        series = max(1, await connection.fetchval(_SERIES))
        quarters = max(1, min(quarters, _WINDOWS_A_ROUND // series))
        taken, rest = newest_first(((row["first"], row["until"]) for row in await connection.fetch(_TAKE)), quarters)
        for span in taken:
            await _sum(connection, span)
        if rest:
            await connection.execute(
                _PUT_BACK, [_time(first) for first, _ in rest], [_time(until) for _, until in rest]
            )
    return Round(_quarters(taken), _quarters(rest))


async def _sum(connection: Connection, span: Span) -> None:
    first, until = _time(span[0]), _time(span[1])
    await connection.execute("DELETE FROM pg_temp.fleet_made")
    for statement in (_SUM, _KEEP_DROPPED, _REPLACE):
        await connection.execute(statement, first, until, timeout=_BUDGET_S)
    await connection.execute(_INSERT)
    await connection.execute(_HOURS_AWAY, first, until)
    await connection.execute(_HOURS, first, until)


def newest_first(marks: Iterable[Span], quarters: int) -> tuple[list[Span], list[Span]]:
    """The marked quarters without repetition as spans, the newest first: those to do now, `quarters` of them at most, and the rest."""
    taken: list[Span] = []
    rest: list[Span] = []
    left = quarters
    for first, until in reversed(_joined(sorted(marks))):
        cut = max(first, until - left)
        if cut < until:
            taken.append((cut, until))
        if first < cut:
            rest.append((first, cut))
        left -= until - cut
    return taken, rest


def _joined(spans: Sequence[Span]) -> list[Span]:
    joined: list[Span] = []
    for first, until in spans:
        if joined and first <= joined[-1][1]:
            joined[-1] = (joined[-1][0], max(joined[-1][1], until))
        else:
            joined.append((first, until))
    return joined


def _quarters(spans: Iterable[Span]) -> int:
    return sum(until - first for first, until in spans)


def _time(quarter: int) -> datetime:
    return datetime.fromtimestamp(quarter * QUARTER_S, UTC)
