"""Asks every gateway and processor how it is: its own /metrics, every few seconds. Whoever does not answer is unknown, never fine."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Literal

import httpx
from prometheus_client.parser import text_string_to_metric_families

from control_center.metrics import ControlMetrics

Kind = Literal["gateway", "processor"]

_EVERY_S: Final = 2.0
_TIMEOUT_S: Final = 2.0
_MOST_BYTES: Final = 1_000_000
_STALE_S: Final = 10.0

_STAGE: Final[Mapping[Kind, str]] = {"gateway": "ingest", "processor": "processor"}

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Samples:
    """The values of one answer by name and labels."""

    values: Mapping[tuple[str, Labels], float] = field(default_factory=dict)

    def get(self, name: str) -> float | None:
        """The value of a metric without labels."""
        return self.values.get((name, frozenset()))

    def of(self, name: str) -> dict[Labels, float]:
        """All values of a metric, by labels."""
        return {labels: value for (found, labels), value in self.values.items() if found == name}

    def who(self, stage: str) -> str:
        """The name the service gives itself; empty where it does not say."""
        names = [dict(labels).get("who", "") for labels in self.of(f"citynerve_{stage}_waiting_seconds")]
        return next(iter(names), "")

    def waits(self, stage: str, whom: str) -> float:
        """Seconds that the service has waited for `whom`."""
        found = self.of(f"citynerve_{stage}_waiting_seconds")
        return max((value for labels, value in found.items() if ("for", whom) in labels), default=0.0)


@dataclass(frozen=True, slots=True)
class Report:
    """What one neighbour last said. `samples` None: it does not answer now, `since` then (None: not asked yet)."""

    kind: Kind
    name: str
    samples: Samples | None = None
    since: datetime | None = None
    problem: str = ""


def parse(body: str) -> Samples:
    """The samples of our own metrics; histograms' buckets are of no use here and are the most of it.

    Raises:
        ValueError: this is no Prometheus text.
    """
    lines = [line for line in body.splitlines() if line.startswith("citynerve_") and "_bucket{" not in line]
    return Samples(
        {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families("\n".join(lines) + "\n")
            for sample in family.samples
        }
    )


class Neighbours:
    """Keeps a report of each neighbour; `run` until cancelled."""

    def __init__(self, gateways: Mapping[str, str], processors: Mapping[str, str], metrics: ControlMetrics) -> None:
        self._metrics = metrics
        self._urls: dict[tuple[Kind, str], str] = {("gateway", name): url for name, url in gateways.items()}
        self._urls |= {("processor", name): url for name, url in processors.items()}
        self._reports = {(kind, name): Report(kind, name) for kind, name in self._urls}
        self._asked_at = time.monotonic()

    async def run(self) -> None:
        """Ask all at once, over and over."""
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, trust_env=False, follow_redirects=False) as client:
            while True:
                await asyncio.gather(*(self._ask(client, kind, name) for kind, name in self._urls))
                self._asked_at = time.monotonic()
                for kind in ("gateway", "processor"):
                    answering = sum(r.samples is not None for (of, _), r in self._reports.items() if of == kind)
                    self._metrics.neighbours.labels(kind).set(answering)
                await asyncio.sleep(_EVERY_S)

    async def _ask(self, client: httpx.AsyncClient, kind: Kind, name: str) -> None:
        before = self._reports[kind, name]
        try:
            async with asyncio.timeout(_TIMEOUT_S):
                answer = await client.get(f"{self._urls[kind, name]}/metrics")
            answer.raise_for_status()
            samples = parse(answer.content[:_MOST_BYTES].decode("utf-8", "replace"))
            if not samples.values:
                raise ValueError("nothing of CityNerve is at this address")
        except (httpx.HTTPError, httpx.InvalidURL, OSError, TimeoutError, ValueError) as error:
            silent = before.samples is None and before.since is not None
            since = before.since if silent else datetime.now(UTC)
            self._reports[kind, name] = Report(kind, before.name, None, since, str(error) or type(error).__name__)
        else:
            self._reports[kind, name] = Report(kind, samples.who(_STAGE[kind]) or name, samples)

    def reports(self, kind: Kind) -> list[Report]:
        """The reports of a kind, by name. An answer that is too old is none: this service itself may have been held up."""
        old = time.monotonic() - self._asked_at > _STALE_S
        found = [report for (of, _), report in sorted(self._reports.items()) if of == kind]
        return [Report(kind, r.name) for r in found] if old else found
