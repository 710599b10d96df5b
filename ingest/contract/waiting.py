"""Who waits for whom, as each service says it of itself: the gauge `citynerve_<stage>_waiting_seconds{who,for}`.

0 while it waits for nobody; else the seconds it has waited. The control center puts these together into one picture.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial

from prometheus_client import CollectorRegistry, Gauge


def metric_name(stage: str) -> str:
    """The gauge of a stage: ingest, processor or control."""
    return f"citynerve_{stage}_waiting_seconds"


class Waiting:
    """What one service waits for. `whom` is the closed list of what it can wait for; each exists from the start, at 0."""

    def __init__(
        self,
        registry: CollectorRegistry,
        stage: str,
        who: str,
        whom: tuple[str, ...],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._since: dict[str, float | None] = dict.fromkeys(whom)
        gauge = Gauge(
            metric_name(stage),
            "Seconds that `who` has waited for `for`; 0: it does not wait",
            ["who", "for"],
            registry=registry,
        )
        for name in whom:
            gauge.labels(who, name).set_function(partial(self.seconds, name))

    def set(self, name: str, *, waits: bool) -> None:
        """It waits for `name` from now on (or still does), or does so no more."""
        if not waits:
            self._since[name] = None
        elif self._since[name] is None:
            self._since[name] = self._clock()

    def seconds(self, name: str) -> float:
        """How long it has waited for `name`; 0 where it does not."""
        since = self._since[name]
        return 0.0 if since is None else max(0.001, self._clock() - since)

    @contextlib.contextmanager
    def during(self, name: str) -> Iterator[None]:
        """The body asks `name` for something. An answer ends the waiting, an error leaves it: then `name` has not answered yet."""
        self.set(name, waits=True)
        yield
        self.set(name, waits=False)
