"""The fence: whoever lost the claim, or stands at another offset, commits nothing."""

from __future__ import annotations

import asyncio
import uuid

import asyncpg
import pytest
from pydantic import SecretStr

from processors.contract.database import DatabaseSettings
from processors.cursors import FencedError, Progress, claim, fence, record_progress
from processors.database_session import open_session

P = ("t.readings.v1", 0)


async def session(dsn: str) -> asyncpg.Connection[asyncpg.Record]:
    return await open_session(DatabaseSettings(dsn=SecretStr(dsn), lock_timeout_ms=2000), "test")


async def test_only_the_newest_owner_moves_the_cursor(database: str) -> None:
    old, new = await session(database), await session(database)
    first, second = uuid.uuid4(), uuid.uuid4()
    assert (await claim(old, {P: 7}, first, "old"))[P].next_offset == 7
    async with old.transaction():
        await fence(old, first, {P: (7, 10)})
    # where the partition begins matters only to the very first owner
    assert (await claim(new, {P: 0}, second, "new"))[P].next_offset == 10
    with pytest.raises(FencedError, match=r"t\.readings\.v1/0"):
        async with old.transaction():
            await fence(old, first, {P: (10, 12)})
    async with new.transaction():
        await fence(new, second, {P: (10, 12)})
    with pytest.raises(FencedError):
        async with new.transaction():
            await fence(new, second, {P: (10, 12)})
    for connection in (old, new):
        connection.terminate()


async def test_a_zombie_in_mid_transaction_finishes_before_the_claim_or_not_at_all(database: str) -> None:
    old, new = await session(database), await session(database)
    first, second = uuid.uuid4(), uuid.uuid4()
    await claim(old, {P: 0}, first, "old")
    transaction = old.transaction()
    await transaction.start()
    await fence(old, first, {P: (0, 5)})
    claiming = asyncio.create_task(claim(new, {P: 0}, second, "new"))
    await asyncio.sleep(0.3)
    assert not claiming.done()
    await transaction.commit()
    assert (await claiming)[P].next_offset == 5
    for connection in (old, new):
        connection.terminate()


async def test_one_foreign_partition_fences_the_whole_batch(database: str) -> None:
    mine, other = uuid.uuid4(), uuid.uuid4()
    q = ("t.readings.v1", 1)
    connection = await session(database)
    await claim(connection, {P: 0, q: 0}, mine, "me")
    await claim(connection, {q: 0}, other, "other")
    with pytest.raises(FencedError, match=r"v1/1$"):
        async with connection.transaction():
            await fence(connection, mine, {P: (0, 1), q: (0, 1)})
    assert await connection.fetchval("SELECT next_offset FROM city.offsets WHERE partition = 0") == 0
    connection.terminate()


async def test_the_counts_of_a_cursor_always_add_up(database: str) -> None:
    connection = await session(database)
    await claim(connection, {P: 0}, uuid.uuid4(), "me")
    await record_progress(connection, [Progress(P, 5_000_000, None, stored=3, duplicate=2, dead=1)])
    row = await connection.fetchrow("SELECT n_in, n_stored, n_duplicate, n_dead, watermark FROM city.offsets")
    assert row is not None
    assert tuple(row) == (6, 3, 2, 1, 5_000_000)
    with pytest.raises(asyncpg.CheckViolationError):
        await connection.execute("UPDATE city.offsets SET n_stored = n_stored - 1")
    connection.terminate()
