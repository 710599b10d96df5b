"""The city of a soak: gateway, processors and control center as processes of their own, on topics and a database of their own."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from deploy.local.stack import LocalStack
from ingest.contract.topics import Topics
from tests.benchmarks.control_process import control_center
from tests.benchmarks.live_pump import HOT
from tests.benchmarks.servers import own_place
from tests.benchmarks.shares import SERVERS
from tests.benchmarks.soak_judge import Balance
from tests.benchmarks.soak_room import KEEP, Room, audited, prepare
from tests.benchmarks.soak_samples import LiveCity, Page, Sample, memory_of, queues_of
from tests.benchmarks.whole_way import stored
from tests.conftest import in_thread
from tests.ingest.gateway_process import eventually, free_port
from tests.integration.whole_way import WholeWay

RULES = f"""
[[rule]]
rule_id = "hot"
kind = "threshold"
severity = "warning"
metric = "air_temperature"
source = "reading"
column = "value"
raise_at = {HOT}
clear_at = {HOT - 2}
title_en = "Hot"
title_vi = "Nóng"
"""
QUEUES = {
    "citynerve_ingest_unacked_messages": "gateway",
    "citynerve_ingest_spool_bytes": "gateway",
    "citynerve_processor_lag_records": "processor",
    "citynerve_processor_lag_seconds": "processor",
    "citynerve_processor_open_readings": "processor",
    "citynerve_control_sse_dropped_total": "control center",
}
_END_BUDGET_S = 600.0
_BALANCE = (
    "SELECT coalesce(sum(stored), 0), coalesce(sum(duplicate), 0), coalesce(sum(dead_letter), 0), coalesce(sum(refused), 0), "
    "coalesce(sum(unaccounted), 0), coalesce(sum(in_flight), 0) FROM city_view.ledger"
)
_CHUNKS = "SELECT count(*) FROM timescaledb_information.chunks WHERE hypertable_schema = 'city'"


@dataclass
class SoakWay(WholeWay):
    """The first processor's /metrics is on a port that is known; `settings`: variables of all parts but the gateway."""

    metrics_port: int = field(default_factory=free_port)
    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """Settings of everything but the gateway."""
        first = {} if self.processors else {"CITYNERVE_PROCESSORS__HTTP_PORT": str(self.metrics_port)}
        return super().environment | first | dict(self.settings)


@dataclass
class SoakCity:
    """What runs, and how to look at it."""

    way: SoakWay
    control_port: int
    page: Page
    room: Room | None = None

    @property
    def stored(self) -> int:
        """Readings committed so far."""
        return stored(self.way)

    def committed(self, readings: int) -> None:
        """Wait until so many are."""
        eventually(lambda: self.stored >= readings, _END_BUDGET_S, f"{readings:,} readings committed")

    def pids(self) -> dict[str, list[int]]:
        """Part -> processes."""
        records = self.way.stack.records
        assert self.way.gateway.process is not None
        control = [p.pid for p in psutil.Process().children() if "control_center" in p.cmdline()]
        ours = {
            "gateway": [self.way.gateway.process.pid],
            "processor": [process.pid for process in self.way.processors.values()],
            "control center": control,
        }
        return ours | {name: [records[name].pid] for name in SERVERS if name in records}

    def sample(self, at_s: float, load: LiveCity, free_gib: float) -> Sample:
        """One look at everything."""
        ports = {
            "gateway": self.way.gateway.port,
            "processor": self.way.metrics_port,
            "control center": self.control_port,
        }
        memory = {part: memory_of(pids) for part, pids in self.pids().items()}
        queues = queues_of(ports, QUEUES) | {"bytes a page got": float(self.page.bytes)}
        said = load.said
        return Sample(
            at_s, memory, said["packs"], said["open"], self.stored, queues, self.way.fetch(_CHUNKS)[0][0], free_gib
        )

    def balance(self, published: int) -> Balance:
        """The books, after all that was published has its place (or 10 minutes)."""
        with contextlib.suppress(AssertionError):  # the balance says what is missing
            eventually(
                lambda: sum(self._ledger()[:4]) >= published and not self._ledger()[5],
                _END_BUDGET_S,
                "all has its place",
            )
        rows_left = self.way.fetch("SELECT count(*) FROM city.readings")[0][0]
        dropped = self.room.dropped if self.room is not None else 0
        missing, doubled = in_thread(audited(self.way.dsn))
        stored_now, duplicate, dead, refused, unaccounted, in_flight = self._ledger()
        return Balance(
            published,
            stored_now,
            duplicate,
            dead,
            refused,
            unaccounted,
            in_flight,
            rows_left,
            dropped,
            missing,
            doubled,
        )

    def _ledger(self) -> tuple[int, ...]:
        return tuple(int(number) for number in self.way.fetch(_BALANCE)[0])


@contextlib.contextmanager
def soak_city(
    stack: LocalStack, processors: int, settings: Mapping[str, str] | None = None, rules: str | None = RULES
) -> Iterator[SoakCity]:
    """All parts, ready, and the page's stream open. `rules`: the text of a rules file; None: those that come with CityNerve."""
    with contextlib.ExitStack() as held:
        place = held.enter_context(own_place(stack))
        folder = Path(held.enter_context(tempfile.TemporaryDirectory()))
        in_thread(prepare(place.dsn, stack.kafka_bootstrap, Topics(place.name).readings, KEEP))
        way = SoakWay(stack, place.name, place.name, place.dsn, folder, settings=settings or {})
        held.callback(way.clean_up)
        for number in range(processors):
            way.start_processor(f"soak-{number}")
        way.gateway.start()
        port = int(held.enter_context(control_center(way.environment, rules)).rpartition(":")[2])
        page = Page(port)
        held.callback(page.close)
        yield SoakCity(way, port, page)
        way.stop()
