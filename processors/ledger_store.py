"""The ledger in SQL: frame sequences read and written, dead letters, the gateways' statements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import TypeAlias

import asyncpg

from processors.columns import Statement
from processors.frame_sequence import FrameSequence, Gap
from processors.ledger import Counts, LedgerKey, Letter

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"


async def load_sequences(connection: Connection, keys: Sequence[LedgerKey]) -> dict[LedgerKey, FrameSequence]:
    """The stored sequences of `keys`; a key without a row starts at frame 0."""
    columns = _columns(keys)
    found = {key: FrameSequence() for key in keys}
    for row in await connection.fetch(
        "SELECT l.gateway, l.epoch, l.topic, l.partition, l.next_seq, l.sent_before FROM city.ledger l "
        "JOIN unnest($1::text[], $2::bigint[], $3::text[], $4::int[]) AS k(gateway, epoch, topic, partition) "
        "USING (gateway, epoch, topic, partition)",
        *columns,
    ):
        sequence = found[LedgerKey(row["gateway"], row["epoch"], row["topic"], row["partition"])]
        sequence.next_seq, sequence.sent_before = row["next_seq"], row["sent_before"]
    for row in await connection.fetch(
        "SELECT g.* FROM city.ledger_gaps g "
        "JOIN unnest($1::text[], $2::bigint[], $3::text[], $4::int[]) AS k(gateway, epoch, topic, partition) "
        "USING (gateway, epoch, topic, partition)",
        *columns,
    ):
        sequence = found[LedgerKey(row["gateway"], row["epoch"], row["topic"], row["partition"])]
        sequence.gaps[row["from_seq"]] = Gap(row["from_seq"], row["to_seq"], row["sent_before"], row["readings"])
    return found


async def write_ledger(
    connection: Connection, counts: Mapping[LedgerKey, Counts], sequences: Mapping[LedgerKey, FrameSequence]
) -> None:
    """Add a batch's counts, and bring the sequences and their gaps up to date."""
    if not counts:
        return
    keys = sorted(counts)
    await connection.execute(
        """
        INSERT INTO city.ledger AS l (gateway, epoch, topic, partition, next_seq, sent_before, n_in, n_stored, n_duplicate, n_dead,
            n_redelivered, last_frame_at)
        SELECT gateway, epoch, topic, partition, next_seq, sent_before, stored + duplicate + dead, stored, duplicate, dead, redelivered, at
        FROM unnest($1::text[], $2::bigint[], $3::text[], $4::int[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bigint[],
            $10::bigint[], $11::timestamptz[])
            AS n(gateway, epoch, topic, partition, next_seq, sent_before, stored, duplicate, dead, redelivered, at)
        ON CONFLICT (gateway, epoch, topic, partition) DO UPDATE SET next_seq = excluded.next_seq, sent_before = excluded.sent_before,
            n_in = l.n_in + excluded.n_in, n_stored = l.n_stored + excluded.n_stored, n_duplicate = l.n_duplicate + excluded.n_duplicate,
            n_dead = l.n_dead + excluded.n_dead, n_redelivered = l.n_redelivered + excluded.n_redelivered,
            last_frame_at = greatest(l.last_frame_at, excluded.last_frame_at)
        """,
        *_columns(keys),
        [sequences[key].next_seq for key in keys],
        [sequences[key].sent_before for key in keys],
        [counts[key].stored for key in keys],
        [counts[key].duplicate for key in keys],
        [counts[key].dead for key in keys],
        [counts[key].redelivered for key in keys],
        [counts[key].last_frame_us for key in keys],
    )
    for key in keys:
        await _write_gaps(connection, key, sequences[key])


async def _write_gaps(connection: Connection, key: LedgerKey, sequence: FrameSequence) -> None:
    if not sequence.changed_gaps:
        return
    kept = [gap for gap in sequence.changed_gaps.values() if gap is not None]
    where = (key.gateway, key.epoch, key.topic, key.partition)
    await connection.execute(
        "DELETE FROM city.ledger_gaps WHERE gateway = $1 AND epoch = $2 AND topic = $3 AND partition = $4 AND from_seq = any($5::bigint[])",
        *where,
        list(sequence.changed_gaps),
    )
    await connection.execute(
        "INSERT INTO city.ledger_gaps (gateway, epoch, topic, partition, from_seq, to_seq, sent_before, readings) "
        "SELECT $1, $2, $3, $4, * FROM unnest($5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])",
        *where,
        [gap.from_seq for gap in kept],
        [gap.to_seq for gap in kept],
        [gap.sent_before for gap in kept],
        [gap.readings for gap in kept],
    )
    sequence.changed_gaps.clear()


async def write_letters(connection: Connection, letters: Sequence[Letter]) -> None:
    """Store dead letters. Text that PostgreSQL cannot hold (NUL) is made visible, the payload keeps its raw bytes."""
    if not letters:
        return
    await connection.execute(
        """
        INSERT INTO city.dead_letters (gateway, epoch, partition, seq, ordinal, received, reason, detail, mqtt_topic, payload, readings)
        SELECT * FROM unnest($1::text[], $2::bigint[], $3::int[], $4::bigint[], $5::int[], $6::timestamptz[], $7::text[], $8::text[],
            $9::text[], $10::bytea[], $11::int[])
        ON CONFLICT (gateway, epoch, partition, seq, ordinal) DO NOTHING
        """,
        [letter.gateway for letter in letters],
        [letter.epoch for letter in letters],
        [letter.partition for letter in letters],
        [letter.seq for letter in letters],
        [letter.ordinal for letter in letters],
        [letter.received_us for letter in letters],
        [_storable(letter.reason) for letter in letters],
        [_storable(letter.detail) for letter in letters],
        [_storable(letter.mqtt_topic) for letter in letters],
        [letter.payload for letter in letters],
        [letter.readings for letter in letters],
    )


async def write_statements(connection: Connection, statements: Sequence[Statement]) -> None:
    """Keep each gateway's newest words."""
    newest = {(said.gateway, said.epoch): said for said in sorted(statements, key=lambda said: said.at_us)}
    if not newest:
        return
    kept = [newest[key] for key in sorted(newest)]
    await connection.execute(
        """
        INSERT INTO city.gateway_statements AS s (gateway, epoch, at, received, refused, acked_kafka, spooled, messages, partitions)
        SELECT gateway, epoch, at, received, refused, acked, spooled, messages, said::jsonb
        FROM unnest($1::text[], $2::bigint[], $3::timestamptz[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[],
            $9::text[]) AS n(gateway, epoch, at, received, refused, acked, spooled, messages, said)
        ON CONFLICT (gateway, epoch) DO UPDATE SET at = excluded.at, received = excluded.received, refused = excluded.refused,
            acked_kafka = excluded.acked_kafka, spooled = excluded.spooled, messages = excluded.messages, partitions = excluded.partitions
        WHERE s.at <= excluded.at
        """,
        [said.gateway for said in kept],
        [said.epoch for said in kept],
        [said.at_us for said in kept],
        [said.received for said in kept],
        [said.refused for said in kept],
        [said.acked_kafka for said in kept],
        [said.spooled for said in kept],
        [said.messages for said in kept],
        [said.partitions for said in kept],
    )


async def write_stored_days(connection: Connection, days: Mapping[tuple[date, int], int]) -> None:
    """Count what the batch stored, by day and partition: what the audit holds the rows against."""
    if not days:
        return
    await connection.execute(
        "INSERT INTO city.stored_by_day AS s (day, partition, readings) SELECT * FROM unnest($1::date[], $2::int[], $3::bigint[]) "
        "ON CONFLICT (day, partition) DO UPDATE SET readings = s.readings + excluded.readings",
        [day for day, _ in days],
        [partition for _, partition in days],
        list(days.values()),
    )


def _storable(text: str) -> str:
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")


def _columns(keys: Sequence[LedgerKey]) -> tuple[list[str], list[int], list[str], list[int]]:
    return (
        [key.gateway for key in keys],
        [key.epoch for key in keys],
        [key.topic for key in keys],
        [key.partition for key in keys],
    )
