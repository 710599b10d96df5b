"""A stack each of whose parts lives by a clock of its own, and a city that lives now: its readings are minutes old, as in life."""

from pathlib import Path

from deploy.chaos.arena import SERVICES, Arena, ProxiedStack
from deploy.chaos.faketime import SteppedClock
from deploy.local.ports import Ports
from deploy.local.provision import Programs
from deploy.local.server import Place

CLOCKED = (*SERVICES, "kafka")
"""Whose clock can be stepped."""


class ClockedStack(ProxiedStack):
    """Its Kafka is started with a clock of its own."""

    kafka_clock: SteppedClock

    def _prepare_kafka(self, place: Place, ports: Ports, programs: Programs) -> list[str]:
        command = super()._prepare_kafka(place, ports, programs)
        settings = [f"{name}={value}" for name, value in self.kafka_clock.environment().items()]
        return ["/usr/bin/env", *settings, *command]


class ClockArena(Arena):
    """`clocks`: part -> its clock."""

    live = True

    def __init__(self) -> None:
        super().__init__()
        self.clocks = {name: SteppedClock(self.folder / f"clock-{name}") for name in CLOCKED}
        assert isinstance(self.stack, ClockedStack)  # noqa: S101 - narrows for mypy: make_stack made it
        self.stack.kafka_clock = self.clocks["kafka"]
        for name in SERVICES:
            self.set_settings(name, self.clocks[name].environment())

    def make_stack(self, folder: Path, ports: dict[str, int]) -> ProxiedStack:
        """The stack as it is before its lines are known."""
        return ClockedStack(folder.name, Ports(**ports), folder)
