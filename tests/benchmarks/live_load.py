"""The live publisher (tests/benchmarks/live_pump.py) as a process: a load of the present beside what is watched in the present.

A load that begins hours ago was rejected for everything that is watched: a device that says "now" moves its partition's watermark, and
all of such a load is late.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from tests.benchmarks.live_pump import READINGS
from tests.benchmarks.payloads import DEVICES

_BUDGET_S = 300.0


@dataclass(frozen=True)
class Sent:
    """What was published and acknowledged: readings, and CPU seconds of publishing."""

    readings: int
    cpu_s: float


class LiveLoad:
    """One run of the publisher; it begins to send at once."""

    def __init__(self, port: int, root: str, rate: float, seconds: float, devices: int = DEVICES) -> None:
        """`rate`: readings a second, 0: as fast as the broker acknowledges."""
        arguments = {"--port": port, "--root": root, "--devices": devices, "--rate": rate / READINGS, "--for": seconds}
        given = [str(word) for pair in arguments.items() for word in pair]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.live_pump", *given], stdout=subprocess.PIPE
        )

    def end(self) -> Sent:
        """Wait until the time is over and everything is acknowledged."""
        output, _ = self._process.communicate(timeout=_BUDGET_S)
        assert self._process.returncode == 0, "the live publisher failed"
        last = json.loads(output.splitlines()[-1])
        return Sent(last["packs"] * READINGS, last["cpu_s"])

    def kill(self) -> None:
        """After trouble."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate(timeout=10)


@contextlib.contextmanager
def live_load(port: int, root: str, rate: float, seconds: float) -> Iterator[LiveLoad]:
    """A publisher that is gone afterwards."""
    load = LiveLoad(port, root, rate, seconds)
    try:
        yield load
    finally:
        load.kill()
