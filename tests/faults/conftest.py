"""One arena for all faults of a session that need its kind, and their table at its end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.chaos.arena import Arena
from deploy.chaos.arenas import Arenas
from deploy.chaos.report_text import as_table
from deploy.chaos.trial import Result

_RESULTS: list[Result] = []


@pytest.fixture(scope="session")
def trials() -> Iterator[Arenas]:
    """Stacks of their own, one at a time: their servers are killed here. Trials of one stack follow each other in event time, too."""
    with Arenas() as arenas:
        yield arenas


@pytest.fixture
def arena(trials: Arenas) -> Arena:
    """The usual stack, with one broker."""
    return trials.open(Arena)


@pytest.fixture(scope="session")
def results() -> list[Result]:
    """Where a test leaves its result for the table."""
    return _RESULTS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if _RESULTS:
        terminalreporter.section("faults")
        terminalreporter.write(as_table(_RESULTS))
