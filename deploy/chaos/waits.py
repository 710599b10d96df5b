"""Waiting inside a fault: for a time, or until something is so."""

import time
from collections.abc import Callable

from deploy.local.trouble import Trouble

_LOOK_AGAIN_S = 0.1


class NotHere(Trouble):
    """The fault cannot be thrown on this machine; the sentence says what is missing."""


def pause(seconds: float) -> None:
    """Let the load run on."""
    time.sleep(seconds)


def until(condition: Callable[[], bool], budget_s: float, what: str) -> None:
    """Wait until it is so; raises Trouble where it is not within the budget."""
    ends_s = time.monotonic() + budget_s
    while not condition():
        if time.monotonic() > ends_s:
            msg = f"after {budget_s:.0f} s still not: {what}"
            raise Trouble(msg)
        time.sleep(_LOOK_AGAIN_S)
