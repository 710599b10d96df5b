"""Dead letters in SQL: read with filters, claimed into the outbox, marked as retried."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, Final, TypeAlias

import asyncpg

from deploy.dead_letters import StoredLetter
from ingest.contract.frame import FrameHeader
from ingest.frames import OutFrame
from ingest.settings import RETRY_GATEWAY

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LOCK: Final = 0x0C17_DEAD  # any fixed number: whoever retries takes it first
_LOCK_WAIT_S: Final = 3.0  # the session of a run that was killed a moment ago ends within this
_COLUMNS: Final = ", ".join(
    ("letter_id", "gateway", "epoch", "ordinal", "received", "reason", "detail", "mqtt_topic", "payload", "readings",
     "retry_epoch", "retried_at", "retried_readings")
)  # fmt: skip

_LETTERS: Final = f"""
SELECT {_COLUMNS} FROM city.dead_letters
WHERE ($1::text IS NULL OR reason = $1) AND ($2::timestamptz IS NULL OR received >= $2) AND ($3::text IS NULL OR gateway = $3)
  AND ($4::bigint[] IS NULL OR letter_id = ANY($4)) AND {{place}}
ORDER BY letter_id {{order}} LIMIT $6
"""
_NEWEST: Final = _LETTERS.format(place="($5::bigint IS NULL OR letter_id < $5)", order="DESC")
_WAITING: Final = _LETTERS.format(place="letter_id > coalesce($5::bigint, 0) AND retry_epoch IS NULL", order="")
# found by the time of receipt, which has an index and is hardly ever shared by two messages
_SIBLINGS: Final = """
SELECT letter_id, reason, readings, gateway, epoch, received, mqtt_topic, sha256(payload) AS digest
FROM city.dead_letters WHERE received = ANY($1::timestamptz[]) AND ordinal >= 0
"""


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which letters are meant; None: all."""

    reason: str | None = None
    since: datetime | None = None
    gateway: str | None = None
    ids: tuple[int, ...] | None = None


async def newest_letters(connection: Connection, chosen: Chosen, limit: int) -> list[StoredLetter]:
    """The letters chosen, whatever their state, newest first."""
    return await _fetch(connection, _NEWEST, chosen, None, limit)


async def waiting_letters(connection: Connection, chosen: Chosen, after: int, limit: int) -> list[StoredLetter]:
    """The letters chosen that no retry has claimed, by id, beginning after the id `after`."""
    return await _fetch(connection, _WAITING, chosen, after, limit)


async def _fetch(connection: Connection, sql: str, chosen: Chosen, place: int | None, limit: int) -> list[StoredLetter]:
    ids = None if chosen.ids is None else list(chosen.ids)
    rows = await connection.fetch(sql, chosen.reason, chosen.since, chosen.gateway, ids, place, limit)
    messages: dict[tuple[Any, ...], list[asyncpg.Record]] = {}
    for row in await connection.fetch(_SIBLINGS, list({row["received"] for row in rows})):
        messages.setdefault(_message(row, row["digest"]), []).append(row)
    return [_letter(row, messages.get(_message(row, sha256(row["payload"]).digest()), [])) for row in rows]


def _message(row: asyncpg.Record, digest: bytes) -> tuple[Any, ...]:
    return row["gateway"], row["epoch"], row["received"], row["mqtt_topic"], digest


def _letter(row: asyncpg.Record, of_message: Sequence[asyncpg.Record]) -> StoredLetter:
    siblings: Counter[str] = Counter()
    for other in of_message:
        if other["letter_id"] != row["letter_id"]:
            siblings[other["reason"]] += other["readings"]
    received_us = (row["received"] - _EPOCH) // timedelta(microseconds=1)
    return StoredLetter(**dict(row.items()), received_us=received_us, siblings=siblings)


async def lock(connection: Connection) -> bool:
    """Become the one that retries; False when another is at it. The lock goes with the connection."""
    ends = time.monotonic() + _LOCK_WAIT_S
    while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", _LOCK):
        if time.monotonic() > ends:
            return False
        await asyncio.sleep(0.2)
    return True


async def last_epoch(connection: Connection) -> int:
    """The newest epoch that a retry has used, 0 where there was none."""
    found = await connection.fetchval(
        "SELECT greatest((SELECT max(retry_epoch) FROM city.dead_letters), "
        "(SELECT max(epoch) FROM city.gateway_statements WHERE gateway = $1), (SELECT max(epoch) FROM city.ledger WHERE gateway = $1))",
        RETRY_GATEWAY,
    )
    return int(found or 0)


async def claim(connection: Connection, epoch: int, letters: Mapping[int, int], frames: Sequence[OutFrame]) -> None:
    """Claim letters (id -> readings sent for it) and lay their frames into the outbox: one transaction, so both or neither."""
    count = sum(frame.header.count for frame in frames)
    async with connection.transaction():
        claimed = await connection.fetch(
            "UPDATE city.dead_letters l SET retry_epoch = $1, retried_readings = n.readings "
            "FROM unnest($2::bigint[], $3::int[]) AS n(letter_id, readings) "
            "WHERE l.letter_id = n.letter_id AND l.retry_epoch IS NULL RETURNING l.letter_id",
            epoch,
            list(letters),
            list(letters.values()),
        )
        if len(claimed) != len(letters):  # the lock makes this impossible; without it two would send the same letter
            msg = f"{len(letters) - len(claimed)} letters were claimed by another retry meanwhile"
            raise RuntimeError(msg)
        await connection.executemany(
            "INSERT INTO city.retry_frames (epoch, topic, partition, seq, before, count, received_us, sent_us, body) "
            "VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            [
                (f.header.epoch, f.topic, f.partition, f.header.seq, f.header.before, f.header.count, f.header.received_us,
                 f.header.sent_us, f.body)
                for f in frames
            ],
        )  # fmt: skip
        await connection.execute(
            "INSERT INTO city.gateway_statements AS s (gateway, epoch, at, received, refused, acked_kafka, spooled, messages) "
            "VALUES ($1, $2, now(), $3, 0, 0, $3, $4) ON CONFLICT (gateway, epoch) DO UPDATE SET at = now(), "
            "received = s.received + excluded.received, spooled = s.spooled + excluded.spooled, messages = s.messages + excluded.messages",
            RETRY_GATEWAY,
            epoch,
            count,
            len(letters),
        )


async def outbox(connection: Connection) -> list[OutFrame]:
    """The frames that Kafka has not acknowledged, in the order in which they were numbered."""
    rows = await connection.fetch("SELECT * FROM city.retry_frames ORDER BY epoch, topic, partition, seq")
    return [
        OutFrame(
            row["topic"],
            row["partition"],
            FrameHeader(
                RETRY_GATEWAY, row["epoch"], row["seq"], row["before"], row["count"], row["received_us"], row["sent_us"]
            ),
            row["body"],
        )
        for row in rows
    ]


async def finish(connection: Connection, acknowledged: Sequence[tuple[OutFrame, int]]) -> int:
    """Kafka has every frame of the outbox, each at an offset: state it, empty the outbox, mark the letters. Returns their number."""
    async with connection.transaction():
        for epoch in sorted({frame.header.epoch for frame, _ in acknowledged}):
            await _state(connection, epoch, [(f, offset) for f, offset in acknowledged if f.header.epoch == epoch])
        await connection.execute("DELETE FROM city.retry_frames")
        done = await connection.fetch(
            "UPDATE city.dead_letters SET retried_at = now() WHERE retry_epoch IS NOT NULL AND retried_at IS NULL RETURNING letter_id"
        )
    return len(done)


async def _state(connection: Connection, epoch: int, acknowledged: Sequence[tuple[OutFrame, int]]) -> None:
    """What a gateway says of itself in its custody statements: acknowledged readings, and where the last of them lie."""
    row = await connection.fetchrow(
        "SELECT partitions FROM city.gateway_statements WHERE gateway = $1 AND epoch = $2 FOR UPDATE",
        RETRY_GATEWAY,
        epoch,
    )
    said = [] if row is None else json.loads(row["partitions"])
    newest = {(entry["topic"], entry["partition"]): entry for entry in said}
    for frame, offset in acknowledged:
        key = (frame.topic, frame.partition)
        acked = frame.header.before + frame.header.count
        newest[key] = {"topic": frame.topic, "partition": frame.partition, "acked": acked, "offset": offset}
    count = sum(frame.header.count for frame, _ in acknowledged)
    await connection.execute(
        "UPDATE city.gateway_statements SET at = now(), acked_kafka = acked_kafka + $3, spooled = spooled - $3, partitions = $4::jsonb "
        "WHERE gateway = $1 AND epoch = $2",
        RETRY_GATEWAY,
        epoch,
        count,
        json.dumps(list(newest.values())),
    )
