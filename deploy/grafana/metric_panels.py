"""Panels over Prometheus in the shapes the platform dashboard repeats."""

from __future__ import annotations

from collections.abc import Sequence

from deploy.grafana.panels import GREEN, PROMETHEUS, RED, Look, Panel, Steps, number, promql, trend

RATE = "[$__rate_interval]"


def lines(title: str, about: str, unit: str, *queries: tuple[str, str], width: int = 8, stacked: bool = False) -> Panel:
    """Lines of PromQL queries given as (legend, expression)."""
    return trend(Look(title, about, unit, width), promql(*queries), PROMETHEUS, stacked=stacked)


def tile(
    title: str,
    about: str,
    expression: str,
    *,
    unit: str = "short",
    bad_from: float | None = None,
    bad_below: float | None = None,
) -> Panel:
    """One number now: red from `bad_from` on, or below `bad_below`."""
    if bad_below is not None:
        steps = Steps(RED, [(bad_below, GREEN)])
    else:
        steps = Steps(GREEN, [(bad_from, RED)]) if bad_from is not None else Steps(GREEN)
    return number(Look(title, about, unit, 4, 4, steps=steps), promql(("", expression), instant=True), PROMETHEUS)


def quantiles(metric: str) -> Sequence[tuple[str, str]]:
    """Median, 95th and 99th percentile of a histogram."""
    return [
        (name, f"histogram_quantile({q}, sum by (le) (rate({metric}_bucket{RATE})))")
        for name, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
    ]
