"""kill -9 in the middle of a run of 100,000 readings, the whole way from the simulator's ledger to the rows."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.integration.conftest import MakeWay
from tests.integration.whole_way import WholeWay

RUN = ("city", "--devices", "580", "--seed", "7", "--from", "now-4h", "--for", "3h", "--speed", "max")
AT_LEAST = 100_000


def kill_processor(way: WholeWay) -> None:
    """The processor dies and is started again under its name, as a supervisor would."""
    way.kill_processor("p1")
    way.start_processor("p1")


def kill_gateway(way: WholeWay) -> None:
    """The gateway dies and is started again; the broker keeps its session."""
    way.gateway.kill()
    way.gateway.start()


@pytest.mark.slow
@pytest.mark.parametrize("kill", [kill_processor, kill_gateway])
def test_killed_twice_within_100_000_readings_nothing_is_lost_or_doubled(
    whole_way: MakeWay, kill: Callable[[WholeWay], None]
) -> None:
    way = whole_way()
    city = way.simulate(
        *RUN, "--topic-root", way.city_root, "--rate", "4000", "--ledger", str(way.folder / "city.ledger")
    )
    for committed in (20_000, 60_000):
        way.received(committed)
        kill(way)
    way.finished(city)
    score = way.score("city.ledger")
    assert score["acked"] >= AT_LEAST
    assert (score["lost"], score["doubled"], score["wrong"]) == (0, 0, 0), score
    way.settled()
    sums = way.ledger()
    assert sums["unaccounted"] == 0
    assert sums["received"] == sums["stored"] + sums["duplicate"] + sums["dead_letter"] + sums["refused"]
    way.stop()
