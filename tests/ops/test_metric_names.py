"""Dashboards and alerting rules speak only of metrics and labels that a service registers."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from tests.ops.grafana import NAMES, queries
from tests.ops.registered_metrics import collectors, registered, registries

RULES = Path(__file__).parents[2] / "deploy/prometheus/rules"
NAME = re.compile(r"\bcitynerve_(?:ingest|processor|control)_\w+")
SCRAPED = {"job", "instance"}


def expressions() -> list[str]:
    """Every PromQL expression of deploy/."""
    found = [query.text for name in NAMES for query in queries(name) if query.kind == "promql"]
    for path in RULES.glob("*.yml"):
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
        found += [rule["expr"] for group in document["groups"] for rule in group["rules"]]
    return found


def test_every_metric_that_is_asked_for_exists() -> None:
    asked = {name for text in expressions() for name in NAME.findall(text)}
    assert len(asked) > 40
    assert asked - set(registered()) == set()


def test_every_label_that_is_asked_for_belongs_to_the_metric() -> None:
    known = registered()
    for text in expressions():
        names = NAME.findall(text)
        labels = {label.strip() for part in re.findall(r"by \(([^)]*)\)", text) for label in part.split(",")}
        labels |= {
            label for part in re.findall(r"\{([^}]*)\}", text) for label in re.findall(r"(\w+)\s*(?:!|=~?|!~)", part)
        }
        for name in names:
            assert labels <= known[name] | SCRAPED, (
                f"{name} has no label {sorted(labels - known[name] - SCRAPED)}: {text}"
            )


def test_every_metric_of_a_loss_or_a_delay_is_on_a_dashboard() -> None:
    shown = {name for board in NAMES for query in queries(board) for name in NAME.findall(query.text)}
    words = (
        "reject",
        "refused",
        "bad_",
        "lag",
        "unaccounted",
        "spool",
        "damaged",
        "lost",
        "gaps",
        "fenced",
        "late",
        "restarts",
        "watermark",
    )
    urgent = {name for name in registered() if any(word in name for word in words)} - _SHOWN_ELSEWHERE
    assert urgent - shown == set()


_SHOWN_ELSEWHERE = {"citynerve_control_lag_seconds"}
"""The control center's own view of what citynerve_processor_lag_seconds says at the source."""


CLOSED = {"reason", "outcome", "event", "severity", "state", "size", "kind"}
"""Labels whose values are a closed list."""


def test_every_metric_says_what_it_is_and_carries_its_unit() -> None:
    for registry in registries().values():
        for collector in collectors(registry):
            assert NAME.fullmatch(collector._name), collector._name
            assert collector._documentation, collector._name
            if collector._type == "histogram":
                assert collector._name.endswith(("_seconds", "_readings")), (
                    f"{collector._name}: the unit belongs in the name"
                )


def test_every_closed_list_of_label_values_stands_at_zero_from_the_start() -> None:
    for registry in registries().values():
        for collector in collectors(registry):
            if collector._labelnames and set(collector._labelnames) <= CLOSED:
                assert collector._metrics, (
                    f"{collector._name} has no label values: its first failure would be invisible to rate()"
                )
