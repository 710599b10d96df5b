"""Where a step of a batch is computed: long ones beside the event loop, short ones in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")

_LONG: Final = 20_000
"""Readings from which on a step may hold the loop for more than some ten milliseconds, and heartbeats with it."""


async def off_loop(readings: int, step: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """What `step` gives for a batch of that many readings.

    A thread for each step of a batch of 8,000 readings took a sixth of the processor's CPU: both sides wake, and fight for the
    interpreter's lock meanwhile.
    """
    if readings < _LONG:
        return step(*args, **kwargs)
    return await asyncio.to_thread(step, *args, **kwargs)
