"""A stack each of whose services lives by a clock of its own, and a city that lives now: its readings are minutes old, as in life."""

from deploy.chaos.arena import SERVICES, Arena
from deploy.chaos.faketime import SteppedClock

CLOCKED = SERVICES
"""Whose clock can be stepped."""


class ClockArena(Arena):
    """`clocks`: service -> its clock."""

    live = True

    def __init__(self) -> None:
        super().__init__()
        self.clocks = {name: SteppedClock(self.folder / f"clock-{name}") for name in CLOCKED}
        for name, clock in self.clocks.items():
            self.set_settings(name, clock.environment())


class PresentArena(Arena):
    """The city lives now, at its own pace; its services go by the machine's clock."""

    live = True
    present = True
