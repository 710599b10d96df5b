"""The cursor: who owns a partition, and the offset and event time it stands at. Claimed, fenced and moved in PostgreSQL."""

from __future__ import annotations

import enum
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import asyncpg

from processors.columns import Partition

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


class GapReason(enum.StrEnum):
    """Why Kafka no longer has offsets that the cursor had not passed (`city.offset_gaps.reason`)."""

    RETENTION = "retention"  # the log's beginning passed the cursor
    DAMAGED = "damaged"  # no replica had the batch whole
    RECREATED = "recreated"  # the topic was deleted and made anew


class FencedError(Exception):
    """Another process has claimed a partition of this batch, or its cursor stands elsewhere: nothing of the batch may be kept."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A claimed cursor. Times in microseconds, None where nothing is known yet."""

    next_offset: int
    watermark_us: int | None
    closed_until_us: int | None


@dataclass(frozen=True, slots=True)
class Progress:
    """What a batch did to one cursor; the five counts add up (the table checks it)."""

    partition: Partition
    watermark_us: int | None
    closed_until_us: int | None
    stored: int = 0
    duplicate: int = 0
    dead: int = 0

    @property
    def arrived(self) -> int:
        """Readings this batch accounts for on this partition."""
        return self.stored + self.duplicate + self.dead


async def claim(
    connection: Connection, earliest: Mapping[Partition, int], owner: uuid.UUID, owner_name: str
) -> dict[Partition, Cursor]:
    """Take the partitions over under a fresh token; `earliest` is where one that nobody has read yet begins.

    From here on no transaction of a former owner commits: its fence finds another token. An open one is waited for.
    """
    partitions = sorted(earliest)
    rows = await connection.fetch(
        """
        INSERT INTO city.offsets (topic, partition, owner, owner_name, next_offset)
        SELECT topic, partition, $4, $5, next_offset FROM unnest($1::text[], $2::int[], $3::bigint[]) AS n(topic, partition, next_offset)
        ORDER BY topic, partition
        ON CONFLICT (topic, partition) DO UPDATE SET owner = excluded.owner, owner_name = excluded.owner_name, updated_at = now()
        RETURNING topic, partition, next_offset, watermark, closed_until
        """,
        [topic for topic, _ in partitions],
        [number for _, number in partitions],
        [earliest[partition] for partition in partitions],
        owner,
        owner_name,
    )
    return {
        (row["topic"], row["partition"]): Cursor(row["next_offset"], row["watermark"], row["closed_until"])
        for row in rows
    }


async def fence(connection: Connection, owner: uuid.UUID, moves: Mapping[Partition, tuple[int, int]]) -> None:
    """First statement of a batch's transaction: move each cursor from its expected offset to the next, under our token.

    Its row locks make a zombie wait and then see another token or offset (READ COMMITTED looks again).

    Raises:
        FencedError: not every cursor was ours and where we left it.
    """
    partitions = sorted(moves)
    moved = await connection.fetch(
        """
        WITH mine AS (
            SELECT o.topic, o.partition, n.next_offset
            FROM city.offsets o JOIN unnest($1::text[], $2::int[], $3::bigint[], $4::bigint[]) AS n(topic, partition, expected, next_offset)
              ON o.topic = n.topic AND o.partition = n.partition AND o.next_offset = n.expected
            WHERE o.owner = $5 ORDER BY o.topic, o.partition FOR UPDATE OF o
        )
        UPDATE city.offsets o SET next_offset = mine.next_offset, updated_at = now()
        FROM mine WHERE o.topic = mine.topic AND o.partition = mine.partition AND o.owner = $5
        RETURNING o.topic, o.partition
        """,
        [topic for topic, _ in partitions],
        [number for _, number in partitions],
        [moves[partition][0] for partition in partitions],
        [moves[partition][1] for partition in partitions],
        owner,
    )
    if len(moved) != len(partitions):
        lost = set(partitions) - {(row["topic"], row["partition"]) for row in moved}
        raise FencedError(f"no longer the owner of {', '.join(f'{topic}/{number}' for topic, number in sorted(lost))}")


async def record_progress(connection: Connection, progress: Sequence[Progress]) -> None:
    """Last statement on the cursors: event time and counts. The rows are locked since `fence`."""
    await connection.execute(
        """
        UPDATE city.offsets o SET watermark = coalesce(n.watermark, o.watermark), closed_until = coalesce(n.closed_until, o.closed_until),
            n_in = n_in + n.stored + n.duplicate + n.dead, n_stored = n_stored + n.stored,
            n_duplicate = n_duplicate + n.duplicate, n_dead = n_dead + n.dead
        FROM unnest($1::text[], $2::int[], $3::timestamptz[], $4::timestamptz[], $5::bigint[], $6::bigint[], $7::bigint[])
            AS n(topic, partition, watermark, closed_until, stored, duplicate, dead)
        WHERE o.topic = n.topic AND o.partition = n.partition
        """,
        [item.partition[0] for item in progress],
        [item.partition[1] for item in progress],
        [item.watermark_us for item in progress],
        [item.closed_until_us for item in progress],
        [item.stored for item in progress],
        [item.duplicate for item in progress],
        [item.dead for item in progress],
    )


async def record_offset_gap(
    connection: Connection, partition: Partition, first: int, last: int | None, reason: GapReason = GapReason.RETENTION
) -> None:
    """Note offsets Kafka no longer has; `last` is None where nobody knows how far they went (`RECREATED`)."""
    await connection.execute(
        "INSERT INTO city.offset_gaps (topic, partition, from_offset, to_offset, reason) VALUES ($1, $2, $3, $4, $5) "
        "ON CONFLICT (topic, partition, from_offset) DO UPDATE SET to_offset = excluded.to_offset, reason = excluded.reason, "
        "readings = NULL, seen_at = now()",
        *partition,
        first,
        last,
        reason.value,
    )


async def record_gap_readings(connection: Connection, partition: Partition, first: int, readings: int) -> None:
    """Note how many readings were in the gap that begins at `first`."""
    await connection.execute(
        "UPDATE city.offset_gaps SET readings = $4 WHERE topic = $1 AND partition = $2 AND from_offset = $3",
        *partition,
        first,
        readings,
    )
