"""The cursor on the real database: claims, batches, zombies, take-overs, a kill at each step, lost answers, a database put back.

Two processors follow a log of numbered frames, some of them sent twice by the gateway. Cursor, frame numbers and ledger go through the
functions the processors use. The table for rows has no key, so a frame stored twice shows.
"""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias, TypeVar

import asyncpg
import pytest
from asyncpg.transaction import Transaction
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from pydantic import SecretStr

from processors import cursors
from processors.contract.database import DatabaseSettings
from processors.cursors import FencedError, Progress, record_progress
from processors.database_session import open_session
from processors.frame_sequence import Arrival, FrameSequence
from processors.ledger import Counts, LedgerKey
from processors.ledger_store import load_sequences, write_ledger

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Result = TypeVar("Result")
_NAMES = st.sampled_from(["a", "b"])
_READINGS = 10
_TOPICS = itertools.count(1)
TABLES = "offsets", "ledger", "ledger_gaps", "model_rows"


class KilledError(Exception):
    """The process ends at this step."""


@dataclass
class Processor:
    """What one process has in memory; all of it is gone after any error."""

    connection: Connection | None = None
    token: uuid.UUID | None = None
    position: int = 0
    sequence: FrameSequence = field(default_factory=FrameSequence)
    transaction: Transaction | None = None
    batch: int = 0
    steps_left: int | None = None

    def step(self) -> None:
        """Between two statements: here it may be killed."""
        if self.steps_left is not None:
            if self.steps_left == 0:
                raise KilledError
            self.steps_left -= 1


class CursorMachine(RuleBasedStateMachine):
    """`committed` is where the cursor must stand; `owner` is the token of the last claim; `copy` is both as in the copy taken last."""

    dsn: ClassVar[str]
    runner: ClassVar[asyncio.Runner]
    cursors: ClassVar[Any] = cursors

    def __init__(self) -> None:
        super().__init__()
        self.partition = (f"t{next(_TOPICS)}.readings.v1", 0)
        self.key = LedgerKey("gw", 1, *self.partition)
        self.log: list[int] = []
        self.committed = 0
        self.owner: uuid.UUID | None = None
        self.copy: tuple[int, uuid.UUID | None] | None = None
        self.processors = {"a": Processor(), "b": Processor()}
        self.control = self.run(self.connect())

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.runner.run(work)

    async def connect(self) -> Connection:
        return await open_session(DatabaseSettings(dsn=SecretStr(self.dsn), lock_timeout_ms=5000), "model")

    def may_commit(self, me: Processor) -> bool:
        return me.token is not None and me.token == self.owner and me.position == self.committed

    @rule(fresh=st.integers(1, 4), again=st.integers(0, 2))
    def gateway_sends(self, fresh: int, again: int) -> None:
        """New frames; and an old one again, as after a lost answer to a produce."""
        start = max(self.log, default=-1) + 1
        self.log += [*range(start, start + fresh), *range(max(0, start - again), start)]

    @rule(name=_NAMES, other_ends=st.sampled_from(["commit", "killed"]))
    def claim(self, name: str, other_ends: str) -> None:
        """A take-over. The former owner may be alive and stay a zombie; where it is in mid-transaction the claim waits for its end."""
        self.drop(name)
        self.run(self._claim(name, other_ends))

    async def _claim(self, name: str, other_ends: str) -> None:
        me = self.processors[name] = Processor(await self.connect(), uuid.uuid4())
        assert me.connection is not None
        assert me.token is not None
        claiming = asyncio.create_task(self.cursors.claim(me.connection, {self.partition: 0}, me.token, name))
        other = "b" if name == "a" else "a"
        if self.processors[other].transaction is not None:
            await asyncio.wait([claiming], timeout=0.03)
            assert not claiming.done(), "the claim did not wait for the open transaction of the former owner"
            await (self._commit(other) if other_ends == "commit" else self._kill(other))
        me.position = (await claiming)[self.partition].next_offset
        assert me.position == self.committed, "the claim found another cursor than the last commit left"
        self.owner = me.token
        me.sequence = (await load_sequences(me.connection, [self.key]))[self.key]

    @rule(name=_NAMES, records=st.integers(1, 4))
    def begin_batch(self, name: str, records: int) -> None:
        """Whoever still believes to own the partition; a zombie is fenced and drops everything."""
        me = self.processors[name]
        records = min(records, len(self.log) - me.position)
        if me.token is None or me.transaction is not None or records <= 0:
            return
        if self.may_commit(me):
            self.run(self._store(me, records))
            return
        with pytest.raises(FencedError):
            self.run(self._store(me, records))
        self.drop(name)

    async def _store(self, me: Processor, records: int) -> None:
        assert me.connection is not None
        assert me.token is not None
        transaction = me.connection.transaction()
        await transaction.start()
        me.transaction, me.batch = transaction, records
        me.step()
        await self.cursors.fence(me.connection, me.token, {self.partition: (me.position, me.position + records)})
        counts = Counts(last_frame_us=1_000_000)
        for seq in self.log[me.position : me.position + records]:
            me.step()
            if me.sequence.take(seq, seq * _READINGS, _READINGS) is Arrival.FRESH:
                await me.connection.execute("INSERT INTO model_rows VALUES ($1, $2)", self.partition[0], seq)
                counts.stored += _READINGS
            else:
                counts.redelivered += _READINGS
        me.step()
        await write_ledger(me.connection, {self.key: counts}, {self.key: me.sequence})
        me.step()
        await record_progress(me.connection, [Progress(self.partition, None, None, stored=counts.stored)])
        me.step()

    @rule(name=_NAMES, records=st.integers(1, 4), at=st.integers(0, 8))
    def killed_in_a_batch(self, name: str, records: int, at: int) -> None:
        """At any of its steps, the last one before COMMIT at the latest: nothing of it took place."""
        me = self.processors[name]
        records = min(records, len(self.log) - me.position)
        if me.token is None or me.transaction is not None or records <= 0:
            return
        me.steps_left = min(at, records + 3)
        with pytest.raises(KilledError if self.may_commit(me) or at == 0 else FencedError):
            self.run(self._store(me, records))
        self.drop(name)

    @rule(name=_NAMES)
    def commit(self, name: str) -> None:
        if self.processors[name].transaction is not None:
            self.run(self._commit(name))

    async def _commit(self, name: str) -> None:
        me = self.processors[name]
        assert me.transaction is not None
        await me.transaction.commit()
        me.position += me.batch
        me.transaction = None
        assert self.owner == me.token
        self.committed = me.position

    @rule(name=_NAMES)
    def the_answer_to_commit_is_lost(self, name: str) -> None:
        """Sent and not answered: it may have taken place or not. The process may only forget; the cursor knows."""
        me = self.processors[name]
        if me.transaction is None:
            return
        possible = {self.committed, me.position + me.batch}
        self.run(self._lose_answer(me))
        self.processors[name] = Processor()
        self.committed = self.run(self._locked_cursor())
        assert self.committed in possible

    async def _lose_answer(self, me: Processor) -> None:
        assert me.connection is not None
        committing = asyncio.create_task(me.connection.execute("COMMIT"))
        await asyncio.sleep(0)
        me.connection.terminate()
        await asyncio.gather(committing, return_exceptions=True)

    async def _locked_cursor(self) -> int:
        """Waits until the server has ended the transaction that was cut off."""
        query = "SELECT next_offset FROM city.offsets WHERE topic = $1 FOR UPDATE"
        return int(await self.control.fetchval(query, self.partition[0]) or 0)

    @rule()
    def the_answer_to_a_claim_is_lost(self) -> None:
        """It may have taken place or not; whose token it was is gone, so that nobody commits until the next claim."""
        for each in self.processors:
            self.drop(each)
        self.owner = self.run(self._claim_unanswered())
        assert self.run(self._locked_cursor()) == self.committed

    async def _claim_unanswered(self) -> uuid.UUID | None:
        lost, token = await self.connect(), uuid.uuid4()
        backend = lost.get_server_pid()
        claiming = asyncio.create_task(self.cursors.claim(lost, {self.partition: 0}, token, "nobody"))
        await asyncio.sleep(0)
        lost.terminate()
        await asyncio.gather(claiming, return_exceptions=True)
        async with asyncio.timeout(10):
            while await self.control.fetchval("SELECT count(*) FROM pg_stat_activity WHERE pid = $1", backend):  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        found = await self.control.fetchval("SELECT owner FROM city.offsets WHERE topic = $1", self.partition[0])
        assert found in {token, self.owner}
        return None if found is None else uuid.UUID(str(found))

    @rule()
    def a_copy_of_the_database_is_taken(self) -> None:
        self.copy = self.committed, self.owner
        self.run(self._copy("INSERT INTO city.copied_{0} SELECT * FROM city.{0} WHERE topic = $1", "copied_"))

    @rule(pooled=st.booleans())
    def the_database_goes_back_to_the_copy(self, pooled: bool) -> None:  # noqa: FBT001 - drawn
        """Rows, cursor, ledger and owner as they were; Kafka has what came since. Transactions are gone.

        Behind a connection pooler a processor between two batches may not even see it, and goes on with the memory it has: its token may be
        the owner's again, its position may be the cursor's again, but it commits only where both are.
        """
        if self.copy is None:
            return
        for name, me in self.processors.items():
            if not pooled or me.transaction is not None:
                self.drop(name)
        self.run(self._copy("INSERT INTO city.{0} SELECT * FROM city.copied_{0} WHERE topic = $1", ""))
        self.committed, self.owner = self.copy

    async def _copy(self, insert: str, target: str) -> None:
        async with self.control.transaction(isolation="repeatable_read"):
            for table in TABLES:
                await self.control.execute(f"DELETE FROM city.{target}{table} WHERE topic = $1", self.partition[0])
                await self.control.execute(insert.format(table), self.partition[0])

    @rule(name=_NAMES)
    def killed(self, name: str) -> None:
        self.run(self._kill(name))

    async def _kill(self, name: str) -> None:
        me = self.processors[name]
        if me.connection is not None:
            me.connection.terminate()
        self.processors[name] = Processor()

    @rule(name=_NAMES, back=st.integers(1, 3))
    def the_owner_repeats_a_batch(self, name: str, back: int) -> None:
        """What a retry after an unknown COMMIT would do: same token, old position. Fenced like a stranger."""
        me = self.processors[name]
        if not self.may_commit(me) or me.transaction is not None or me.position < back:
            return
        me.position -= back
        with pytest.raises(FencedError):
            self.run(self._store(me, back))
        self.drop(name)

    def drop(self, name: str) -> None:
        """As the processor does after any error, and before a new claim: connection and memory go, an open transaction with them."""
        self.run(self._kill(name))

    @invariant()
    def every_frame_before_the_cursor_is_stored_once(self) -> None:
        self.run(self._check())

    async def _check(self) -> None:
        rows = await self.control.fetch("SELECT seq FROM model_rows WHERE topic = $1 ORDER BY seq", self.partition[0])
        passed = self.log[: self.committed]
        assert [row["seq"] for row in rows] == sorted(set(passed))
        cursor = await self.control.fetchrow(
            "SELECT next_offset, n_in, n_stored FROM city.offsets WHERE topic = $1", self.partition[0]
        )
        assert tuple(cursor or (0, 0, 0)) == (self.committed, len(rows) * _READINGS, len(rows) * _READINGS)
        ledger = await self.control.fetchrow(
            "SELECT next_seq, n_stored, n_redelivered FROM city.ledger WHERE topic = $1", self.partition[0]
        )
        repeated = len(passed) - len(set(passed))
        assert tuple(ledger or (0, 0, 0)) == (len(rows), len(rows) * _READINGS, repeated * _READINGS)

    def teardown(self) -> None:
        """Whoever is left takes over and finishes the log."""
        try:
            self.claim("a", "killed")
            self.begin_batch("a", len(self.log))
            self.commit("a")
            assert self.committed == len(self.log)
            self.every_frame_before_the_cursor_is_stored_once()
        finally:
            for name in self.processors:
                self.drop(name)
            self.control.terminate()
