"""The cursor's state machine on the real database, and what it notices."""

from __future__ import annotations

import asyncio
from typing import Any

import asyncpg
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from processors import cursors
from processors.cursors import FencedError
from tests.models.changed_source import changed
from tests.models.cursor_machine import TABLES, CursorMachine

_SETTINGS = settings(
    max_examples=10, stateful_step_count=20, deadline=None, database=None, phases=[Phase.explicit, Phase.generate], derandomize=True
)  # fmt: skip


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
    for table in TABLES:
        await connection.execute(f"CREATE TABLE city.copied_{table} (LIKE city.{table})")
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
        model.claim("b", "killed")
        model.killed_in_a_batch("b", 1, 3)
        model.claim("b", "killed")
        model.a_copy_of_the_database_is_taken()
        model.begin_batch("b", 1)
        model.commit("b")
        model.the_database_goes_back_to_the_copy(pooled=True)
        model.begin_batch("b", 1)  # owner again, but ahead of the cursor
        model.the_answer_to_a_claim_is_lost()
        model.every_frame_before_the_cursor_is_stored_once()
    finally:
        model.teardown()


def test_the_model_notices_whatever_is_missing(machine: Any) -> None:
    one_of_everything(machine)
    for name, changes in _WITHOUT.values():
        machine.cursors = changed(cursors, name, changes)
        with pytest.raises((AssertionError, pytest.fail.Exception, FencedError)):
            one_of_everything(machine)
