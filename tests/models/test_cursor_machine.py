"""The cursor on the real database: claims, batches, zombies, fail-over, killed processes and lost answers to COMMIT, against a model.

Two processors follow a log of numbered frames, some of them sent twice by the gateway. Cursor, frame numbers and ledger go through the
functions the processors use. The table for rows has no key, so a frame stored twice shows.
"""

from __future__ import annotations

import asyncio
import inspect
import itertools
import uuid
from collections.abc import Coroutine
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias, TypeVar

import asyncpg
import pytest
from asyncpg.transaction import Transaction
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
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
_SETTINGS = settings(
    max_examples=10, stateful_step_count=20, deadline=None, database=None, phases=[Phase.explicit, Phase.generate], derandomize=True
)  # fmt: skip


@dataclass
class Processor:
    """What one process has in memory; all of it is gone after any error."""

    connection: Connection | None = None
    token: uuid.UUID | None = None
    position: int = 0
    sequence: FrameSequence = field(default_factory=FrameSequence)
    transaction: Transaction | None = None
    batch: int = 0


class CursorMachine(RuleBasedStateMachine):
    """`committed` is where the cursor must stand; `owner` is whose claim was the last."""

    dsn: ClassVar[str]
    runner: ClassVar[asyncio.Runner]
    cursors: ClassVar[Any] = cursors

    def __init__(self) -> None:
        super().__init__()
        self.partition = (f"t{next(_TOPICS)}.readings.v1", 0)
        self.key = LedgerKey("gw", 1, *self.partition)
        self.log: list[int] = []
        self.committed = 0
        self.owner: str | None = None
        self.processors = {"a": Processor(), "b": Processor()}
        self.control = self.run(self.connect())

    def run(self, work: Coroutine[Any, Any, Result]) -> Result:
        return self.runner.run(work)

    async def connect(self) -> Connection:
        return await open_session(DatabaseSettings(dsn=SecretStr(self.dsn), lock_timeout_ms=5000), "model")

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
        self.owner = name
        me.sequence = (await load_sequences(me.connection, [self.key]))[self.key]

    @rule(name=_NAMES, records=st.integers(1, 4))
    def begin_batch(self, name: str, records: int) -> None:
        """Whoever still believes to own the partition; a zombie is fenced and drops everything."""
        me = self.processors[name]
        records = min(records, len(self.log) - me.position)
        if me.token is None or me.transaction is not None or records <= 0:
            return
        if self.owner == name:
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
        await self.cursors.fence(me.connection, me.token, {self.partition: (me.position, me.position + records)})
        counts = Counts(last_frame_us=1_000_000)
        for seq in self.log[me.position : me.position + records]:
            if me.sequence.take(seq, seq * _READINGS, _READINGS) is Arrival.FRESH:
                await me.connection.execute("INSERT INTO model_rows VALUES ($1, $2)", self.partition[0], seq)
                counts.stored += _READINGS
            else:
                counts.redelivered += _READINGS
        await write_ledger(me.connection, {self.key: counts}, {self.key: me.sequence})
        await record_progress(me.connection, [Progress(self.partition, None, None, stored=counts.stored)])

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
        assert self.owner == name
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
        found = await self.control.fetchval(
            "SELECT next_offset FROM city.offsets WHERE topic = $1 FOR UPDATE", self.partition[0]
        )
        return int(found)

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
        if self.owner != name or me.token is None or me.transaction is not None or me.position < back:
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


@pytest.fixture
def machine(database: str) -> Any:
    """The machine, on a fresh database with the model's table for rows."""
    with asyncio.Runner() as runner:

        class OnThisDatabase(CursorMachine):
            dsn = database

        OnThisDatabase.runner = runner
        runner.run(_create_table(database))
        yield OnThisDatabase
        # the sockets of terminated connections close in the next turn of the loop
        runner.run(asyncio.sleep(0.01))


async def _create_table(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    await connection.execute("CREATE TABLE city.model_rows (topic text, seq int)")
    await connection.close()


def test_whatever_happens_every_frame_is_stored_once(machine: Any) -> None:
    run_state_machine_as_test(machine, settings=_SETTINGS)


_WITHOUT = {
    "the owner in the fence": ("fence", {"WHERE o.owner = $5": "WHERE $5::uuid IS NOT NULL", "AND o.owner = $5": ""}),
    "the expected offset in the fence": ("fence", {"AND o.next_offset = n.expected": ""}),
    "counting the cursors that moved": ("fence", {"len(moved) != len(partitions)": "not partitions"}),
    "the new token in the claim": ("claim", {"owner = excluded.owner, owner_name": "owner_name"}),
    "keeping the stored offset in the claim": (
        "claim",
        {"owner = excluded.owner,": "owner = excluded.owner, next_offset = excluded.next_offset,"},
    ),
    "moving the cursor in the transaction": ("fence", {"SET next_offset = mine.next_offset": "SET next_offset = o.next_offset"}),
}  # fmt: skip
"""What is taken away -> the function, and the change of its source."""


def one_of_everything(machine: type[CursorMachine]) -> None:
    """A history in which each part of the protocol is needed."""
    model = machine()
    try:
        model.gateway_sends(4, 0)
        model.gateway_sends(4, 2)
        model.claim("a", "killed")
        model.begin_batch("a", 2)
        model.commit("a")
        model.every_frame_before_the_cursor_is_stored_once()
        model.the_owner_repeats_a_batch("a", 1)
        model.claim("a", "killed")
        model.claim("b", "killed")
        model.begin_batch("a", 2)  # a zombie, while the cursor still stands where it left it
        model.begin_batch("b", 2)
        model.claim("a", "commit")  # waits for the transaction of the former owner
        model.every_frame_before_the_cursor_is_stored_once()
        model.begin_batch("a", 1)
        model.the_answer_to_commit_is_lost("a")
    finally:
        model.teardown()


def test_the_model_notices_whatever_is_missing(machine: Any) -> None:
    one_of_everything(machine)
    for name, changes in _WITHOUT.values():
        machine.cursors = changed_cursors(name, changes)
        with pytest.raises((AssertionError, pytest.fail.Exception, FencedError)):
            one_of_everything(machine)


def changed_cursors(name: str, changes: dict[str, str]) -> Any:
    """claim and fence, one of them with a part of its source replaced."""
    source = inspect.getsource(getattr(cursors, name))
    for old, new in changes.items():
        assert old in source
        source = source.replace(old, new)
    changed = dict(vars(cursors))
    exec(source, changed)  # noqa: S102 - our own function with one condition less
    return type("Changed", (), {key: staticmethod(changed[key]) for key in ("claim", "fence")})
