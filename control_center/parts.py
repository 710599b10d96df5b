"""What a request may use: the open parts of one running control center."""

from __future__ import annotations

from dataclasses import dataclass

from control_center.alarms.feed import AlarmFeed
from control_center.alarms.store import AlarmDesk
from control_center.live import LiveTail
from control_center.metrics import ControlMetrics
from control_center.queries import Queries
from control_center.settings import ControlSettings
from control_center.status import StatusSampler
from control_center.stream import Hub
from processors.contract.database import CitySettings


@dataclass(frozen=True, slots=True)
class Parts:
    """Opened and closed by app.py's lifespan."""

    settings: ControlSettings
    city: CitySettings
    metrics: ControlMetrics
    queries: Queries
    alarms: AlarmDesk
    live: LiveTail
    hub: Hub
    status: StatusSampler
    feed: AlarmFeed

    def problems(self) -> list[str]:
        """Why this replica should get no requests now; empty: it is ready."""
        return [problem for problem in (self.status.problem, self.live.problem, self.feed.problem) if problem]
