"""A few faults in seconds, for every test run; and the proof that the score can fail."""

from __future__ import annotations

import asyncpg
import pytest

from deploy.chaos.arena import Arena
from deploy.chaos.arenas import Arenas
from deploy.chaos.trial import Plan, Result, score_of
from tests.conftest import in_thread

pytestmark = [pytest.mark.servers, pytest.mark.slow]

QUICK = Plan(rate=200, before=1000)


@pytest.mark.parametrize("name", ["kill-process", "kill-ingest"])
def test_killed_twice_nothing_is_lost_or_doubled(name: str, trials: Arenas, results: list[Result]) -> None:
    result = trials.run(name, QUICK)
    results.append(result)
    assert result.problems == []
    assert (result.lost, result.doubled, result.wrong, result.unaccounted) == (0, 0, 0, 0), result.score


def test_a_stolen_reading_shows(arena: Arena, results: list[Result]) -> None:
    ledgers = [
        result.ledger
        for result in results
        if result.passed and result.ledger is not None and result.ledger.parent == arena.folder
    ]
    if not ledgers:
        pytest.skip("no trial before this one was passed")
    in_thread(steal_one(arena.dsn))
    assert score_of(arena, ledgers[-1], wait_s=0).lost == 1


async def steal_one(dsn: str) -> None:
    """Remove the newest reading; no closed window counts it."""
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await connection.execute(
            "DELETE FROM city.readings WHERE (series_id, time) = (SELECT series_id, time FROM city.readings ORDER BY time DESC LIMIT 1)"
        )
    finally:
        await connection.close(timeout=10)
