"""One line for each step of a set-up, with the seconds since it began. Standard library only."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_began_s = time.monotonic()
_lock = threading.Lock()


def say(text: str) -> None:
    """Print one progress line on stderr (stdout is for results): elapsed seconds of the command, then the text."""
    with _lock:
        print(f"[{time.monotonic() - _began_s:6.1f} s] {text}", file=sys.stderr, flush=True)


@contextmanager
def step(text: str) -> Iterator[None]:
    """Announce a step, and say how long it took when it ends well."""
    say(f"{text} ...")
    start_s = time.monotonic()
    yield
    say(f"{text}: done in {time.monotonic() - start_s:.1f} s")
