"""Group 10: values. Every metric at and beyond its limits, in every unit; stuck, spiking, swinging, resetting and backward series."""

from __future__ import annotations

import math
from collections.abc import Iterator

from ingest.contract.sensor_kinds import METRICS, Metric
from tests.corpus.cases import NOW_US, Case, Outcome, dumped, on

BEYOND = (1e308, -1e308, 1.7976931348623157e308, 2.0**63, -(2.0**63), 1e16)
UNITS = ("K", "Pa", "m", "kWh", "mm", "%", "nonsense")
NOW_S = NOW_US // 1_000_000


def cases() -> Iterator[Case]:
    """All of the group."""
    for metric in METRICS.values():
        for value, expect in _limits(metric):
            yield _plain(metric, value, expect)
            yield _senml(metric, value, metric.unit, expect)
        for unit in UNITS:
            yield _senml(metric, metric.low, unit, "any")
            entry = {"name": metric.name, "value": metric.high, "unit": unit}
            yield Case("values", on("plain-json"), dumped([entry]))
        for odd in (True, False, "1", None):
            yield Case("values", on("plain-json"), dumped({metric.name: odd}))
    for name, values in _series().items():
        pack = [{"n": "energy_total", "u": "kWh", "v": value, "t": NOW_S - 600 + at} for at, value in enumerate(values)]
        pack[0]["bn"] = f"urn:dev:city:{name}:"
        yield Case("values", on("senml-json"), dumped(pack), "stored")


def _limits(metric: Metric) -> Iterator[tuple[float, Outcome]]:
    yield metric.low, "stored"
    yield metric.high, "stored"
    yield math.nextafter(metric.low, -math.inf), "refused"
    yield math.nextafter(metric.high, math.inf), "refused"
    yield metric.low - 1000, "refused"
    for value in BEYOND:
        yield value, "refused"


def _plain(metric: Metric, value: float, expect: Outcome) -> Case:
    return Case("values", on("plain-json"), dumped({metric.name: value}), expect)


def _senml(metric: Metric, value: float, unit: str, expect: Outcome) -> Case:
    record = {"bn": "urn:dev:city:dev-2:", "n": metric.name, "u": unit, "v": value}
    return Case("values", on("senml-json"), dumped([record]), expect)


def _series() -> dict[str, list[float]]:
    return {
        "stuck": [20.0] * 500,
        "spike": [20.0] * 200 + [9.9e11] + [20.0] * 200,
        "swing": [0.0, 1e12] * 200,
        "reset": [*map(float, range(200)), *map(float, range(200))],
        "backwards": [float(value) for value in range(400, 0, -1)],
        "denormal": [5e-324] * 300,
    }
