"""The fault of a broker that breaks MQTT's rules between its real messages."""

import threading
import time
from dataclasses import dataclass

import psutil

from deploy.chaos.arena import Arena
from deploy.chaos.hostile_broker import HostileBroker
from deploy.chaos.hostile_packets import chosen
from deploy.chaos.waits import until
from deploy.local.progress import say
from deploy.local.trouble import Trouble

_MOST_GROWTH_MIB = 100
"""A flood is held up to max_unacked_bytes (64 MiB) by design; announced lengths and unknown ids must cost nothing."""
_LOOK_S = 0.05


@dataclass(frozen=True, slots=True)
class Hostile:
    """A man in the middle between gateway and broker throws everything of `hostile_packets` at the gateway."""

    ending: int = 6
    budget_s: float = 90.0

    def __call__(self, arena: Arena) -> None:
        line, malices = arena.lines["ingest", "mosquitto"], chosen(self.ending)
        pid = arena.stack.records["ingest"].pid
        with _Memory(pid) as memory, HostileBroker(arena.stack.mqtt_port, malices) as broker:
            before = line.lead_to(broker.port)
            line.end_connections()
            try:
                until(lambda: len(broker.done) == len(malices), self.budget_s, "everything thrown at the gateway")
                time.sleep(2 * _LOOK_S)
            finally:
                line.lead_to(before)
                line.end_connections()
            arena.over()
        if broker.connections < self.ending:
            raise Trouble(f"the gateway left the hostile broker only {broker.connections} times; nothing was tested")
        said = f"{len(broker.done)} kinds of malformed packets over {broker.connections} connections"
        say(f"{said}; the gateway's memory grew by {memory.grown_mib} MiB")
        if memory.grown_mib > _MOST_GROWTH_MIB:
            arena.problems.append(
                f"the gateway's memory grew by {memory.grown_mib} MiB; {_MOST_GROWTH_MIB} are allowed"
            )
        if "ingest" not in arena.stack.records or arena.stack.records["ingest"].pid != pid:
            arena.problems.append("the gateway ended")


class _Memory:
    """Watches how much a process grows beyond what it had, for the `with` statement."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self._base = self._most = self._process.memory_info().rss
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    @property
    def grown_mib(self) -> int:
        """The most so far."""
        return (self._most - self._base) >> 20

    def _watch(self) -> None:
        while not self._stop.wait(_LOOK_S):
            try:
                self._most = max(self._most, self._process.memory_info().rss)
            except psutil.Error:
                return

    def __enter__(self) -> "_Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(5)
