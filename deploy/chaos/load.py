"""The load and the oracle: the city simulator as a process that no fault touches, writing down what the broker promised."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from deploy.chaos.arena import Arena
from deploy.demo_figures import Sent, SentReader
from deploy.local.processes import clean_environment
from deploy.local.services import citynerve_command
from deploy.local.trouble import Trouble

DEVICES = 5800
"""Their 22 hours are 2.4 million messages: at 400 a second a hundred minutes of load before the city has caught up with now."""
_DRAIN_S = 120
_BACK = timedelta(hours=22)
LIVE_DEVICES = 2000
"""At twice their pace about 20 messages a second; each has windows to close every half minute."""
_LIVE_SPEED = "2"
_LIVE_BACK = timedelta(minutes=10)
_PRESENT_BACK = timedelta(seconds=10)
_LEAST_BEHIND = timedelta(minutes=2)
"""A trial of a live city takes about a minute, in which the city comes a minute closer to now."""
_READ_BUDGET_S = 5.0
_ADDED = ("readings", "messages", "acked_readings", "unanswered_readings", "resent_readings")


class Load:
    """One trial's load: a simulator, or with `times` one after the other on the same ledger.

    Each goes on in event time where the one before ended, so that windows close as they do in life.
    """

    def __init__(self, arena: Arena, number: int, rate: float, starts: datetime | None) -> None:
        self.ledger = arena.folder / f"trial-{number}.ledger"
        self._arena, self._rate = arena, rate
        self._starts = starts or (datetime.now(UTC) - (_LIVE_BACK if arena.live else _BACK)).replace(microsecond=0)
        if arena.present:
            self._starts = max(self._starts, (datetime.now(UTC) - _PRESENT_BACK).replace(microsecond=0))
        elif arena.live:
            self._keep_behind_now()
        self._before = Sent()
        """What the simulators before this one have had acknowledged."""
        self._run(rate)

    def _devices(self) -> int:
        if self._arena.present:
            return 2 * LIVE_DEVICES  # as many messages a second
        return LIVE_DEVICES if self._arena.live else DEVICES

    def _speed(self) -> str:
        if self._arena.present:
            return "1"
        return _LIVE_SPEED if self._arena.live else "max"

    def _keep_behind_now(self) -> None:
        """Readings from the future would be refused; what comes before the last trial's end would be late."""
        too_late = self._starts - (datetime.now(UTC) - _LEAST_BEHIND)
        time.sleep(max(0.0, too_late.total_seconds()))

    def _run(self, rate: float) -> None:
        command = citynerve_command(
            "simulate", "city", "--devices", str(self._devices()), "--seed", "1",
            "--speed", self._speed(), "--rate", str(rate), "--json",
            "--from", f"{self._starts:%Y-%m-%dT%H:%M:%SZ}", "--ledger", str(self.ledger),
        )  # fmt: skip
        environment = {
            "CITYNERVE_CONFIG": str(self._arena.stack.settings_file),
            "CITYNERVE_SIMULATORS__DRAIN_S": str(_DRAIN_S),
            **self._arena.environment("simulator"),
        }
        log = self._arena.stack.place.logs / "simulator.log"
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command, env=clean_environment(environment), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                stderr=errors, text=True, start_new_session=True,
            )  # fmt: skip
        assert self._process.stdout is not None  # noqa: S101 - narrows for mypy: it was opened as a pipe
        self._reader = SentReader(self._process.stdout)

    @contextmanager
    def times(self, factor: float) -> Iterator[float]:
        """So many times the rate, and the usual one afterwards; answers the messages a second that are asked for."""
        self._change(self._rate * factor)
        try:
            yield self._rate * factor
        finally:
            self._change(self._rate)

    def _change(self, rate: float) -> None:
        self.stop()
        self._starts, self._before = self.reached, self.sent
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._run(rate)

    @property
    def sent(self) -> Sent:
        """Its newest word, with what the simulators before it said at their end."""
        now, before = self._reader.sent, self._before
        return replace(now, **{name: getattr(now, name) + getattr(before, name) for name in _ADDED})

    @property
    def reached(self) -> datetime:
        """Event time up to which the city has spoken; the next trial starts a little later."""
        said = self._reader.sent.event_time
        reached = datetime.fromisoformat(said) if said else self._starts
        return max(reached, self._starts) + timedelta(seconds=1)

    def wait_for(self, readings: int, budget_s: float) -> None:
        """Wait until so many readings are acknowledged; raises Trouble where they are not within the budget."""
        ends_s = time.monotonic() + budget_s
        while (acked := self.sent.acked_readings) < readings:
            if time.monotonic() > ends_s or self._process.poll() is not None:
                msg = f"the simulator had {acked} of {readings} readings acknowledged after {budget_s:.0f} s"
                raise Trouble(f"{msg}: {self.sent.trouble or 'it gave no reason'}")
            time.sleep(0.05)

    def stop(self) -> None:
        """No more messages; wait until each sent one is acknowledged. Raises Trouble where some never are."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGTERM)
        try:
            self._process.wait(_DRAIN_S + 10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(10)
        self._reader.wait(_READ_BUDGET_S)  # the last line may still be in the pipe
        if self.sent.unanswered_readings:
            msg = f"{self.sent.unanswered_readings} readings were never acknowledged: {self.sent.trouble or 'no reason given'}"
            raise Trouble(msg)

    def end(self) -> None:
        """Make sure that the simulator is gone, after trouble too."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(10)
        self._reader.wait(_READ_BUDGET_S)
        if self._process.stdout is not None:
            self._process.stdout.close()
