"""Every condition of the cursor's statements is needed: each is taken away by itself, on the real database, and that is noticed.

The history below has two topics with two partitions each, all at the same offsets under the same owner, so that a statement that looks at
less than it should moves a neighbour. docs/mutation.md has the list in words.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import AsyncIterator, Coroutine, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import asyncpg
import pytest
from pydantic import SecretStr

from processors import cursors
from processors.columns import Partition
from processors.contract.database import DatabaseSettings
from processors.cursors import Cursor, FencedError, Progress
from processors.database_session import open_session
from tests.models.changed_source import changed

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
_NUMBERS = itertools.count(1)
_MINUTE_US = 60_000_000
_LOCKED = "SELECT 1 FROM city.offsets WHERE topic = $1 AND partition = $2 FOR UPDATE NOWAIT"


@dataclass
class Sessions:
    """Two processors and an onlooker."""

    a: Connection
    b: Connection
    control: Connection
    begun: list[asyncio.Task[Any]] = field(default_factory=list)

    async def rows(self, partitions: Iterable[Partition], columns: str = "next_offset") -> list[Any]:
        """The columns of each partition's cursor; the value where it is one."""
        query = f"SELECT {columns} FROM city.offsets WHERE topic = $1 AND partition = $2"
        found = [await self.control.fetchrow(query, *partition) for partition in partitions]
        return [row[0] if row is not None and len(row) == 1 else row and tuple(row) for row in found]

    async def must_wait(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Begin it; it is held up by a lock."""
        self.begun.append(task := asyncio.create_task(work))
        await asyncio.wait([task], timeout=0.05)
        assert not task.done()
        return task


@asynccontextmanager
async def sessions(dsn: str) -> AsyncIterator[Sessions]:
    # the widest choice of plans would hide a missing order: this one reads the rows as they lie
    settings = DatabaseSettings(dsn=SecretStr(dsn), lock_timeout_ms=2000)
    found = [await open_session(settings, "test") for _ in range(3)]
    for connection in found:
        await connection.execute(
            "SET enable_nestloop = off; SET enable_mergejoin = off; SET enable_indexscan = off; SET enable_bitmapscan = off"
        )
    try:
        yield (at := Sessions(found[0], found[1], found[2]))
    finally:
        for connection in found:
            connection.terminate()
        await asyncio.gather(*at.begun, return_exceptions=True)


async def neighbours_are_left_alone(to: Any, at: Sessions) -> None:
    """One cursor of four is moved, counted and fenced; the others have the same offset and owner."""
    first, second = (f"t{next(_NUMBERS)}.readings.v1" for _ in range(2))
    mine, second_part, second_topic, last = everything = [(topic, part) for topic in (first, second) for part in (0, 1)]
    owner = uuid.uuid4()
    claimed = await to.claim(at.a, dict.fromkeys(everything, 5), owner, "A")
    assert claimed == dict.fromkeys(everything, Cursor(5, None, None))
    assert await at.rows(everything, "owner, owner_name, next_offset") == [(owner, "A", 5)] * 4
    async with at.a.transaction():
        await to.fence(at.a, owner, {mine: (5, 7)})
        await to.record_progress(at.a, [Progress(mine, _MINUTE_US, 0, stored=3, duplicate=2, dead=1)])
    assert await at.rows(everything) == [7, 5, 5, 5]
    counts = "n_in, n_stored, n_duplicate, n_dead, watermark, closed_until"
    assert await at.rows(everything, counts) == [(6, 3, 2, 1, _MINUTE_US, 0), *[(0, 0, 0, 0, None, None)] * 3]
    async with at.a.transaction():
        await to.fence(at.a, owner, {mine: (7, 8), last: (5, 6)})
        await to.record_progress(
            at.a,
            [Progress(mine, None, None, stored=10, duplicate=20, dead=30), Progress(last, None, _MINUTE_US, dead=1)],
        )
    assert await at.rows(everything) == [8, 5, 5, 6]
    assert await at.rows([mine], counts) == [(66, 13, 22, 31, _MINUTE_US, 0)], "nothing known must not undo what is"
    assert await at.rows([last], counts) == [(1, 0, 0, 1, None, _MINUTE_US)]
    assert await at.rows([second_part, second_topic], counts) == [(0, 0, 0, 0, None, None)] * 2


async def only_the_owner_moves_from_where_it_stands(to: Any, at: Sessions) -> None:
    """A take-over; what the former owner, and the owner at another offset, may do after it: nothing, of no partition."""
    topic = f"t{next(_NUMBERS)}.readings.v1"
    taken, kept = (topic, 0), (topic, 1)
    former, owner = uuid.uuid4(), uuid.uuid4()
    await to.claim(at.a, {taken: 5, kept: 5}, former, "A")
    async with at.a.transaction():
        await to.fence(at.a, former, {taken: (5, 7)})
        await to.record_progress(at.a, [Progress(taken, 2 * _MINUTE_US, _MINUTE_US)])
    (before,) = await at.rows([taken], "updated_at")
    assert await to.claim(at.b, {taken: 0}, owner, "B") == {taken: Cursor(7, 2 * _MINUTE_US, _MINUTE_US)}
    assert await at.rows([taken], "owner, owner_name, next_offset") == [(owner, "B", 7)]
    (claimed,) = await at.rows([taken], "updated_at")
    assert claimed > before
    for connection, token, moves, lost in (
        (at.a, former, {taken: (7, 9)}, "/0"),
        (at.a, former, {taken: (7, 9), kept: (5, 6)}, "/0"),
        (at.b, owner, {taken: (5, 9)}, "/0"),
        (at.b, owner, {taken: (8, 9), kept: (5, 6)}, f"/0, {topic}/1"),
        (at.b, owner, {taken: (7, 9), (topic, 2): (0, 1)}, "/2"),
    ):
        with pytest.raises(FencedError) as fenced:
            async with connection.transaction():
                await to.fence(connection, token, moves)
        assert str(fenced.value) == f"no longer the owner of {topic}{lost}"
        assert await at.rows([taken, kept]) == [7, 5]
    async with at.b.transaction():
        await to.fence(at.b, owner, {taken: (7, 9)})
    (moved,) = await at.rows([taken], "updated_at")
    assert moved > claimed
    assert await at.rows([taken, kept]) == [9, 5]


async def a_claim_and_a_fence_wait_for_each_other(to: Any, at: Sessions) -> None:
    """Whichever is first: the zombie that waited finds another token, the claim that waited finds the cursor moved."""
    topic = f"t{next(_NUMBERS)}.readings.v1"
    partition, former, owner = (topic, 0), uuid.uuid4(), uuid.uuid4()
    await to.claim(at.a, {partition: 0}, former, "A")
    async with at.a.transaction():
        await to.fence(at.a, former, {partition: (0, 4)})
        claiming = await at.must_wait(to.claim(at.b, {partition: 0}, owner, "B"))
    assert (await claiming)[partition].next_offset == 4
    claim = at.a.transaction()
    await claim.start()
    await to.claim(at.a, {partition: 0}, former, "A")
    zombie = await at.must_wait(to.fence(at.b, owner, {partition: (4, 5)}))
    await claim.commit()
    with pytest.raises(FencedError):
        await zombie
    assert await at.rows([partition]) == [4]


async def locks_are_taken_in_one_order(to: Any, at: Sessions) -> None:
    """Of a batch over two partitions the first is locked before the second, however they lie on disk and are given: no deadlock."""
    topic, owner = f"t{next(_NUMBERS)}.readings.v1", uuid.uuid4()
    first, second = (topic, 0), (topic, 1)
    for partition in (second, first):  # so they lie the other way round
        await to.claim(at.a, {partition: 0}, owner, "A")
    for name in ("fence", "claim"):
        async with at.control.transaction():
            await at.control.execute(_LOCKED, *second)
            both = {second: (0, 1), first: (0, 1)} if name == "fence" else {second: 0, first: 0}
            work = to.fence(at.a, owner, both) if name == "fence" else to.claim(at.a, both, owner, "A")
            working = await at.must_wait(work)
            with pytest.raises(asyncpg.LockNotAvailableError):
                await at.b.execute(_LOCKED, *first)
        await working


async def a_gap_is_noted_once(to: Any, at: Sessions) -> None:
    """Also when the batch that notes it comes again, or knows better; its readings are its own and no other gap's."""
    first, second = (f"t{next(_NUMBERS)}.readings.v1" for _ in range(2))
    mine, others = ((first, 3), 10), (((first, 3), 30), ((first, 4), 10), ((second, 3), 10))
    for partition, begin in (mine, *others):
        await to.record_offset_gap(at.a, partition, begin, begin + 9)
    (before,) = await gaps(at, [mine], "seen_at")
    await to.record_gap_readings(at.a, *mine, 500)
    columns = "to_offset, reason, readings"
    assert await gaps(at, [mine, *others], columns) == [
        (begin + 9, "retention", 500 if (partition, begin) == mine else None) for partition, begin in (mine, *others)
    ]
    await to.record_offset_gap(at.a, *mine, 24, to.GapReason.DAMAGED)
    assert await gaps(at, [mine], columns) == [(24, "damaged", None)], "how many readings is to be found out anew"
    (after,) = await gaps(at, [mine], "seen_at")
    assert after > before
    assert await gaps(at, others, columns) == [(39, "retention", None), *[(19, "retention", None)] * 2]


async def gaps(at: Sessions, found: Iterable[tuple[Partition, int]], columns: str) -> list[Any]:
    """The columns of each gap, by partition and where it begins."""
    query = f"SELECT {columns} FROM city.offset_gaps WHERE topic = $1 AND partition = $2 AND from_offset = $3"
    return [tuple(await at.control.fetchrow(query, *partition, begin) or ()) for partition, begin in found]


_HISTORY = (
    neighbours_are_left_alone,
    only_the_owner_moves_from_where_it_stands,
    a_claim_and_a_fence_wait_for_each_other,
    locks_are_taken_in_one_order,
    a_gap_is_noted_once,
)

_BOTH_OWNERS = {"WHERE o.owner = $5 ": "WHERE $5::uuid IS NOT NULL ", "AND o.owner = $5": ""}
_WITHOUT: dict[str, tuple[str, dict[str, str]]] = {
    "claim: the new token": ("claim", {"owner = excluded.owner, owner_name": "owner_name"}),
    "claim: the owner's name": ("claim", {"owner_name = excluded.owner_name, ": ""}),
    "claim: the time of it": ("claim", {", updated_at = now()": ""}),
    "claim: keeping the stored offset": ("claim", {"SET owner": "SET next_offset = excluded.next_offset, owner"}),
    "claim: keeping the watermark": ("claim", {"SET owner": "SET watermark = NULL, owner"}),
    "claim: keeping how far windows are closed": ("claim", {"SET owner": "SET closed_until = NULL, owner"}),
    "claim: taking over a row that is there": ("claim", {"DO UPDATE SET": "DO UPDATE SET owner = $4 WHERE false --"}),
    "claim: the stored offset in the answer": ("claim", {'row["next_offset"], row["w': '0, row["w'}),
    "claim: one order of locks": ("claim", {"ORDER BY topic, partition": "", "sorted(earliest)": "list(earliest)"}),
    "fence: the topic where it reads": ("fence", {"ON o.topic = n.topic AND": "ON"}),
    "fence: the partition where it reads": ("fence", {"AND o.partition = n.partition AND": "AND"}),
    "fence: the expected offset": ("fence", {" AND o.next_offset = n.expected": ""}),
    "fence: the owner": ("fence", _BOTH_OWNERS),
    "fence: one order of locks": ("fence", {"ORDER BY o.topic, o.partition FOR": "FOR"}),
    "fence: locks before it moves": ("fence", {" FOR UPDATE OF o": ""}),
    "fence: the topic where it writes": ("fence", {"WHERE o.topic = mine.topic AND": "WHERE"}),
    "fence: the partition where it writes": ("fence", {"AND o.partition = mine.partition AND": "AND"}),
    "fence: the move": ("fence", {"SET next_offset = mine.next_offset, ": "SET "}),
    "fence: the time of it": ("fence", {", updated_at = now()": ""}),
    "fence: counting what moved": ("fence", {"len(moved) != len(partitions)": "not partitions"}),
    "progress: the topic": ("record_progress", {"WHERE o.topic = n.topic AND": "WHERE"}),
    "progress: the partition": ("record_progress", {" AND o.partition = n.partition": ""}),
    "progress: keeping the watermark": ("record_progress", {"coalesce(n.watermark, o.watermark)": "n.watermark"}),
    "progress: keeping how far windows are closed": ("record_progress", {"coalesce(n.closed_until, o.closed_until)": "n.closed_until"}),
    "progress: adding to what arrived": ("record_progress", {"n_in = n_in + ": "n_in = "}),
    "progress: adding to what is stored": ("record_progress", {"n_stored = n_stored + ": "n_stored = "}),
    "progress: adding to the duplicates": ("record_progress", {"n_duplicate = n_duplicate + ": "n_duplicate = "}),
    "progress: adding to the dead letters": ("record_progress", {"n_dead = n_dead + ": "n_dead = "}),
    "gap: that it may be there": ("record_offset_gap", {
        "ON CONFLICT (topic, partition, from_offset) DO UPDATE SET to_offset = excluded.to_offset, reason = excluded.reason, ": "",
        '"readings = NULL, seen_at = now()"': '""',
    }),
    "gap: its new end": ("record_offset_gap", {"to_offset = excluded.to_offset, ": ""}),
    "gap: its new reason": ("record_offset_gap", {"reason = excluded.reason, ": ""}),
    "gap: readings counted anew": ("record_offset_gap", {"readings = NULL, ": ""}),
    "gap: the time of it": ("record_offset_gap", {"readings = NULL, seen_at = now()": "readings = NULL"}),
    "gap readings: the topic": ("record_gap_readings", {"WHERE topic = $1 AND": "WHERE $1::text IS NOT NULL AND"}),
    "gap readings: the partition": ("record_gap_readings", {"AND partition = $2": "AND $2::int IS NOT NULL"}),
    "gap readings: where it begins": ("record_gap_readings", {" AND from_offset = $3": " AND $3::bigint IS NOT NULL"}),
}  # fmt: skip
"""What is taken away -> the function, and the change of its source."""


async def test_the_cursors_statements_do_what_the_protocol_needs(database: str) -> None:
    async with sessions(database) as at:
        for part in _HISTORY:
            await part(cursors, at)


async def noticed(without: Any, at: Sessions) -> str | None:
    """The part of the history that fails."""
    for part in _HISTORY:
        try:
            await part(without, at)
        except (AssertionError, FencedError, pytest.fail.Exception, asyncpg.PostgresError, KeyError):
            return part.__name__
    return None


async def test_whatever_is_taken_away_is_noticed(database: str) -> None:
    found: dict[str, str | None] = {}
    for missing, (name, changes) in _WITHOUT.items():
        async with sessions(database) as at:
            found[missing] = await noticed(changed(cursors, name, changes), at)
    assert [missing for missing, part in found.items() if part is None] == []


@pytest.mark.parametrize("alone", _BOTH_OWNERS)
async def test_the_fence_looks_at_the_owner_twice_and_either_is_enough(database: str, alone: str) -> None:
    """Under the lock and at the move: one of them stays although it could go. Both gone is noticed, above."""
    async with sessions(database) as at:
        assert await noticed(changed(cursors, "fence", {alone: _BOTH_OWNERS[alone]}), at) is None
