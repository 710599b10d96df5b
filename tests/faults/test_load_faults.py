"""A fault of load that did not happen is told as trouble: a part that was not slowed, a burst that was none."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from typing import cast

import psutil
import pytest

from deploy.chaos.arena import Arena
from deploy.chaos.load_faults import Burst, Slowed
from deploy.demo_figures import Sent
from deploy.local.trouble import Trouble


class OneProcess:
    """A stack of one process that counts as fast as it can."""

    def __init__(self) -> None:
        program = "import sys\nwhile True: sys.stdout.write('.')"
        self._process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.DEVNULL)
        self.records = {"process": SimpleNamespace(pid=self._process.pid)}

    def pause(self, _: str) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def resume(self, _: str) -> None:
        self._process.send_signal(signal.SIGCONT)

    def end(self) -> None:
        self._process.kill()
        self._process.wait(10)


def arena_of(**parts: object) -> Arena:
    arena = SimpleNamespace(**parts, ended=0)

    def over() -> None:
        arena.ended += 1

    arena.over = over
    return cast("Arena", arena)


@pytest.fixture
def stack() -> Iterator[OneProcess]:
    found = OneProcess()
    yield found
    found.end()


def test_a_part_is_stopped_for_four_fifths_of_the_time_and_then_goes_on(stack: OneProcess) -> None:
    arena = arena_of(stack=stack)
    Slowed("process", 1.0)(arena)
    assert arena.ended == 1  # type: ignore[attr-defined]
    assert psutil.Process(stack.records["process"].pid).status() != psutil.STATUS_STOPPED


def test_a_part_that_was_not_stopped_was_not_slowed(stack: OneProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stack, "pause", lambda _: None)
    with pytest.raises(Trouble, match="process was stopped for 0% of the time only; nothing was tested"):
        Slowed("process", 0.6)(arena_of(stack=stack))


class CountingLoad:
    """A load that sends `per_s` messages a second whatever it is asked for."""

    def __init__(self, per_s: float) -> None:
        self._per_s = per_s
        self._began_s = time.monotonic()
        self.asked: list[float] = []

    @property
    def sent(self) -> Sent:
        return Sent(messages=int((time.monotonic() - self._began_s) * self._per_s))

    @contextmanager
    def times(self, factor: float) -> Iterator[float]:
        self.asked.append(factor)
        yield 200 * factor


def test_a_burst_that_came_is_over_when_its_time_is() -> None:
    arena = arena_of(load=CountingLoad(2000.0))
    Burst(0.5)(arena)
    assert cast("CountingLoad", arena.load).asked == [10.0]
    assert arena.ended == 1  # type: ignore[attr-defined]


def test_a_burst_that_did_not_come_is_trouble() -> None:
    with pytest.raises(Trouble, match="of 2,000 messages a second; it tested less than it says"):
        Burst(0.5)(arena_of(load=CountingLoad(500.0)))
    with pytest.raises(Trouble, match="a burst needs the load of a trial"):
        Burst(0.5)(arena_of(load=None))
