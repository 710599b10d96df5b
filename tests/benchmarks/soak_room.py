"""Room on the disk for an endless load: short chunks of `city.readings`, counted and dropped as they grow old, short retention in Kafka.

700 million rows of an hour at 200,000 readings/s take 70 GB. What is dropped is told to the audit (`city.ledger_audit.removed`, in the
transaction that drops it and under the lock that audits take), so that the audit goes on agreeing with the ledger. Debian's TimescaleDB
has no compression.
"""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from types import TracebackType

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from processors.contract.audit import AUDIT_LOCK, audit_day, days_stored

CHUNK = timedelta(minutes=5)
KEEP = timedelta(minutes=10)
"""Rows and Kafka records younger than this stay."""
_EVERY_S = 30.0
_COUNT_TIMEOUT_S = 300.0
_OLD_CHUNKS = """
SELECT format('%I.%I', chunk_schema, chunk_name) AS name, range_start, range_end FROM timescaledb_information.chunks
WHERE hypertable_schema = 'city' AND hypertable_name = 'readings' AND range_end < now() - $1::interval ORDER BY range_start
"""
_TELL_AUDIT = """
INSERT INTO city.ledger_audit AS a (day, expected, found, removed, at) VALUES (($1::timestamptz AT TIME ZONE 'UTC')::date, $2, 0, $2, now())
ON CONFLICT (day) DO UPDATE SET removed = a.removed + excluded.removed
"""


async def prepare(dsn: str, bootstrap: str, topic: str, keep: timedelta) -> None:
    """Before the first reading: chunks of CHUNK instead of a day (a day is a multiple of it, so no chunk belongs to two)."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await connection.execute("SELECT set_chunk_time_interval('city.readings', $1::interval)", CHUNK)
    finally:
        await connection.close(timeout=10)
    await shorten_retention(bootstrap, topic, keep)


async def shorten_retention(bootstrap: str, topic: str, keep: timedelta) -> None:
    """Let Kafka forget after `keep`, in segments of a fifth of it. A processor further behind would lose readings and the soak fail."""
    keep_ms = int(keep.total_seconds() * 1000)
    settings = {"retention.ms": str(keep_ms), "segment.ms": str(keep_ms // 5)}
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        resource = ConfigResource(ConfigResourceType.TOPIC, topic, configs=settings)
        for answer in await admin.alter_configs([resource]):
            for error_code, message, *_ in answer.resources:
                if error_code:
                    raise RuntimeError(f"Kafka does not take {settings} for {topic}: {message}")
    finally:
        await admin.close()


async def drop_old(dsn: str, keep: timedelta) -> int:
    """Drop the chunks of readings that ended more than `keep` ago; the rows that were in them."""
    connection = await asyncpg.connect(dsn, timeout=10)
    dropped = 0
    try:
        for chunk in await connection.fetch(_OLD_CHUNKS, keep):
            async with connection.transaction():
                await connection.execute("SELECT pg_advisory_xact_lock($1)", AUDIT_LOCK, timeout=_COUNT_TIMEOUT_S)
                rows = await connection.fetchval(f"SELECT count(*) FROM {chunk['name']}", timeout=_COUNT_TIMEOUT_S)
                await connection.fetch(
                    "SELECT drop_chunks('city.readings', older_than => $1::timestamptz)", chunk["range_end"]
                )
                await connection.execute(_TELL_AUDIT, chunk["range_start"], rows)
            dropped += rows
    finally:
        await connection.close(timeout=10)
    return dropped


async def audited(dsn: str) -> tuple[int, int]:
    """Audit every day now: rows missing and rows doubled."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await connection.execute("SELECT pg_advisory_lock($1)", AUDIT_LOCK, timeout=_COUNT_TIMEOUT_S)
        days = [await audit_day(connection, day) for day in await days_stored(connection)]
    finally:
        await connection.close(timeout=10)
    return sum(day.missing for day in days), sum(day.doubled for day in days)


class Room:
    """Makes room in a thread of its own for as long as the `with` lasts; `dropped`: rows so far; `failed`: why it ended early."""

    def __init__(self, dsn: str) -> None:
        self.dropped = 0
        self._dsn, self._over = dsn, threading.Event()
        self.failed: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="room", daemon=True)

    def _run(self) -> None:
        try:
            while not self._over.wait(_EVERY_S):
                self.dropped += asyncio.run(drop_old(self._dsn, KEEP))
        except Exception as error:
            self.failed = error

    def __enter__(self) -> Room:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join(_COUNT_TIMEOUT_S)
        if self.failed is not None and error is None:
            raise self.failed
