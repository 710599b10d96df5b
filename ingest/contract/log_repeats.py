"""A library's log line that comes again and again is shown once in a while, with how often it came."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

_EVERY_S = 30.0
_MOST_KINDS = 1000
"""A message without a template is a kind of its own each time: what is held stays bounded."""


@dataclass(slots=True)
class _Kind:
    shown_s: float
    held_back: int = 0


class Repeats(logging.Filter):
    """Lets each kind of line (logger, level, template) of the named library through every 30 s; the others are counted on the next one.

    aiokafka wrote 12,000 lines of five kinds into a processor's log during a day's worth of faults: with Kafka away it tries several
    times a second, and says so each time. Our own loggers are not held back.
    """

    def __init__(self, library: str, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._library, self._clock = library, clock
        self._kinds: dict[tuple[str, int, str], _Kind] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the line is shown; what was held back before it stands in its field `repeated`."""
        if record.name.partition(".")[0] != self._library:
            return True
        key, now_s = (record.name, record.levelno, str(record.msg)), self._clock()
        kind = self._kinds.get(key)
        if kind is not None and now_s - kind.shown_s < _EVERY_S:
            kind.held_back += 1
            return False
        if len(self._kinds) >= _MOST_KINDS:
            self._kinds.clear()
        self._kinds[key] = _Kind(now_s)
        if kind is not None and kind.held_back:
            record.fields = {**getattr(record, "fields", {}), "repeated": kind.held_back}
        return True
