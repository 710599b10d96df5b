"""One arena for all faults of a session, and their table at its end."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.chaos.arena import Arena
from deploy.chaos.report_text import as_table
from deploy.chaos.trial import Result, Trials

_RESULTS: list[Result] = []


@pytest.fixture(scope="session")
def arena() -> Iterator[Arena]:
    """A stack of its own: its servers are killed here."""
    with Arena() as built:
        yield built
        if not all(result.passed for result in _RESULTS):
            built.keep()


@pytest.fixture(scope="session")
def trials(arena: Arena) -> Trials:
    """The session's trials: one after the other in event time, too."""
    return Trials(arena)


@pytest.fixture(scope="session")
def results() -> list[Result]:
    """Where a test leaves its result for the table."""
    return _RESULTS


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    if _RESULTS:
        terminalreporter.section("faults")
        terminalreporter.write(as_table(_RESULTS))
