"""Every fault of the table against the real servers under load: nothing lost, doubled, wrong or unaccounted for (`make test-faults`).

A fault that destroys the only copy of some readings says which: exactly those are lost, and the ledger misses exactly those.
"""

from __future__ import annotations

import pytest

from deploy.chaos.arenas import Arenas, grouped
from deploy.chaos.faults import FAULTS
from deploy.chaos.trial import Plan, Result

pytestmark = [pytest.mark.faults, pytest.mark.servers, pytest.mark.slow]

USUAL = Plan()
IN_100_000 = Plan(rate=1200, before=20_000, at_least=100_000)


@pytest.mark.parametrize("name", grouped(list(FAULTS)))
def test_no_reading_is_lost_or_doubled(name: str, trials: Arenas, results: list[Result]) -> None:
    result = trials.run(name, IN_100_000 if name.startswith("kill-") else USUAL)
    results.append(result)
    if result.not_here is not None:
        pytest.skip(result.not_here)
    assert result.problems == []
    destroyed = sum(item.readings for item in result.destroyed)
    assert (result.lost, result.doubled, result.wrong, result.unaccounted) == (result.gone, 0, 0, destroyed), (
        result.score
    )
    assert result.readings > 0
