"""One run of a simulator: the stream of batches, the pace, the publisher, and a report while it goes."""

from __future__ import annotations

import json
import math
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from ingest.contract.operating import EXIT_OK, EXIT_TROUBLE
from simulators.batch import Batch
from simulators.publisher import Publisher
from simulators.schedule import Pace

_TICK_S = 0.02
_LONGEST_WAIT_S = 0.25


@dataclass(frozen=True, slots=True)
class Report:
    """Tells how a run goes: JSON lines on stdout for a program, or a line every few seconds on stderr for a person."""

    as_json: bool
    every_s: float

    def progress(self, reached_us: int, publisher: Publisher) -> None:
        """One line about the moment."""
        self._line("progress", _state(reached_us, publisher))

    def end(self, reached_us: int, publisher: Publisher, *, complete: bool) -> None:
        """The last line."""
        self._line("end", {**_state(reached_us, publisher), "complete": complete})

    def _line(self, kind: str, state: dict[str, Any]) -> None:
        if self.as_json:
            sys.stdout.write(json.dumps({"kind": kind, **state}) + "\n")
            sys.stdout.flush()
            return
        refused = sum(state["refused"].values())
        text = (
            f"{state['event_time'] or 'nothing due yet'}: {state['readings']:,} readings in {state['messages']:,} messages sent, "
            f"{state['acked_readings']:,} acknowledged, {state['unanswered']:,} messages in flight, {refused:,} readings refused"
        )
        sys.stderr.write(text + (f" ({state['trouble']})" if state["trouble"] else "") + "\n")


def _state(reached_us: int, publisher: Publisher) -> dict[str, Any]:
    moment = datetime.fromtimestamp(reached_us / 1e6, UTC).strftime("%Y-%m-%dT%H:%M:%SZ") if reached_us > 0 else None
    return {"event_time": moment, **publisher.totals().as_json(), "trouble": publisher.trouble}


def run(
    stream: Iterator[Batch],
    publisher: Publisher,
    pace: Pace,
    report: Report,
    *,
    drain_s: float,
    stop: Callable[[], bool],
    rate: float | None = None,
) -> int:
    """Send the stream until it ends or `stop` says so, wait for the last answers; answers the exit code.

    `rate` bounds the messages a second. Exit code 1: messages were refused, or their answers did not come within `drain_s`.
    """  # fmt: skip
    sender = _Sender(publisher, pace, report, stop, rate)
    for batch in stream:
        sender.send(batch)
        if stop():
            break
    complete = publisher.drain(drain_s)
    report.end(sender.reached_us, publisher, complete=complete)
    publisher.close()
    return EXIT_OK if complete and not publisher.totals().refused else EXIT_TROUBLE


class _Sender:
    def __init__(
        self, publisher: Publisher, pace: Pace, report: Report, stop: Callable[[], bool], rate: float | None
    ) -> None:
        self._publisher, self._pace, self._report, self._stop, self._rate = publisher, pace, report, stop, rate
        self._started_s = time.monotonic()
        self._reported_s = self._started_s
        self.reached_us = 0

    def send(self, batch: Batch) -> None:
        """Send each message when it is due."""
        at = 0
        while at < len(batch) and not self._stop():
            due = int(np.searchsorted(batch.due_us, self._pace.reached_us(time.time_ns() // 1000), side="right"))
            upto = min(due, at + self._allowance(), at + 500)
            if upto > at:
                at += self._publisher.send(batch.cut(at, upto), self._stop)
                self.reached_us = int(batch.due_us[at - 1]) if at else self.reached_us
            else:
                self._publisher.poll(self._wait_s(batch, at))
            self._tell()

    def _allowance(self) -> int:
        if self._rate is None:
            return 1 << 30
        return max(0, int((time.monotonic() - self._started_s) * self._rate) - self._publisher.totals().messages)

    def _wait_s(self, batch: Batch, at: int) -> float:
        if math.isinf(self._pace.speed) or self._rate is not None:
            return _TICK_S
        ahead_s = (
            (int(batch.due_us[at]) - self._pace.reached_us(time.time_ns() // 1000)) / 1e6 / max(self._pace.speed, 1e-9)
        )
        return min(max(ahead_s, _TICK_S), _LONGEST_WAIT_S)

    def _tell(self) -> None:
        now_s = time.monotonic()
        if now_s - self._reported_s >= self._report.every_s:
            self._reported_s = now_s
            self._report.progress(self.reached_us, self._publisher)


def stop_on_signals() -> Callable[[], bool]:
    """A question that answers True after SIGINT or SIGTERM; a second SIGINT ends the program at once."""
    asked = threading.Event()

    def ask(number: int, _frame: object) -> None:
        if asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        asked.set()

    signal.signal(signal.SIGINT, ask)
    signal.signal(signal.SIGTERM, ask)
    return asked.is_set
