"""The metrics our services really register, by their own code."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.metrics import MetricWrapperBase

from control_center.metrics import ControlMetrics
from ingest.metrics import IngestMetrics
from processors.metrics import ProcessorMetrics

SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "counter": ("_total",),
    "histogram": ("_bucket", "_sum", "_count"),
    "gauge": ("",),
}


def registries() -> dict[str, CollectorRegistry]:
    """A registry for each job of prometheus.yml, filled by the service's own code."""
    made = {job: CollectorRegistry() for job in ("ingest", "processors", "control")}
    IngestMetrics(made["ingest"])
    ProcessorMetrics(made["processors"])
    ControlMetrics(made["control"])
    return made


def collectors(registry: CollectorRegistry) -> list[MetricWrapperBase]:
    """The metric objects of a registry."""
    return [collector for collector in registry._collector_to_names if isinstance(collector, MetricWrapperBase)]


def registered() -> dict[str, frozenset[str]]:
    """Sample name as PromQL writes it -> its labels."""
    names: dict[str, frozenset[str]] = {}
    for registry in registries().values():
        for collector in collectors(registry):
            for suffix in SUFFIXES[str(collector._type)]:
                extra = {"le"} if suffix == "_bucket" else set()
                names[collector._name + suffix] = frozenset({*collector._labelnames, *extra})
    return names


def touch(registry: CollectorRegistry) -> None:
    """Move every metric once, with a made-up label value where the service has created none."""
    for collector in collectors(registry):
        children = list(collector._metrics.values()) if collector._labelnames else [collector]
        for child in children or [collector.labels(*("x" for _ in collector._labelnames))]:
            if isinstance(child, Counter):
                child.inc()
            elif isinstance(child, Gauge):
                child.set(1)
            elif isinstance(child, Histogram):
                child.observe(0.2)
