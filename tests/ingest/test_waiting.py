"""Who waits for whom, and for how long, as a gauge."""

from __future__ import annotations

import contextlib

import pytest
from prometheus_client import CollectorRegistry

from ingest.contract.waiting import Waiting, metric_name


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def waiting(registry: CollectorRegistry, clock: Clock) -> Waiting:
    return Waiting(registry, "ingest", "gw-1", ("broker", "kafka"), clock)


def said(registry: CollectorRegistry, whom: str) -> float | None:
    return registry.get_sample_value(metric_name("ingest"), {"who": "gw-1", "for": whom})


def test_whoever_waits_for_nobody_says_so_from_the_start(registry: CollectorRegistry, waiting: Waiting) -> None:
    del waiting
    assert (said(registry, "broker"), said(registry, "kafka")) == (0, 0)


def test_the_gauge_grows_from_the_moment_the_waiting_began(
    registry: CollectorRegistry, waiting: Waiting, clock: Clock
) -> None:
    waiting.set("kafka", waits=True)
    clock.now += 60
    waiting.set("kafka", waits=True)  # still: it did not begin anew
    clock.now += 12
    assert (said(registry, "kafka"), said(registry, "broker")) == (72, 0)
    waiting.set("kafka", waits=False)
    assert said(registry, "kafka") == 0


def test_a_question_without_an_answer_is_waiting_and_an_answer_ends_it(waiting: Waiting, clock: Clock) -> None:
    with waiting.during("kafka"):
        clock.now += 3
        assert waiting.seconds("kafka") == 3
    assert waiting.seconds("kafka") == 0
    with contextlib.suppress(OSError), waiting.during("kafka"):
        raise OSError
    clock.now += 5
    assert waiting.seconds("kafka") == 5
