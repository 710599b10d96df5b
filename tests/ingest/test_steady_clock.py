"""A service's time goes on steadily where the machine's clock steps, and follows what append times prove."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from ingest.contract.steady_clock import SteadyClock

S = 1_000_000
HOUR = 3600 * S
START = 1_790_000_000 * S


class World:
    def __init__(self, off_us: int = 0) -> None:
        self.true_us, self.off_us = START, off_us
        self.clock = SteadyClock(wall=lambda: self.true_us + self.off_us, steady=lambda: self.true_us - START)

    @property
    def error_s(self) -> float:
        return (self.clock.now_us() - self.true_us) / S


@pytest.mark.parametrize("step_us", [HOUR, -HOUR, 1000 * HOUR])
def test_a_step_is_not_followed(step_us: int) -> None:
    world = World()
    world.off_us = step_us
    world.true_us += 10 * S
    world.clock.heard(world.true_us - 5 * S)
    assert world.error_s == 0
    assert world.clock.now() == datetime.fromtimestamp((START + 10 * S) / S, UTC)


def test_a_clock_that_was_wrong_at_the_start_and_is_set_right_is_followed() -> None:
    world = World(HOUR)
    assert world.error_s == 3600
    world.off_us = 0
    world.clock.heard(world.true_us - 90 * S)  # a backlog proves nothing
    assert world.error_s == 3600
    world.clock.heard(world.true_us)
    assert world.error_s == 0


def test_a_clock_behind_at_the_start_is_raised_by_what_kafka_has_taken() -> None:
    world = World(-START)
    assert world.clock.heard(world.true_us - 2 * S) == START - 2 * S
    assert world.error_s == -2
    world.true_us += HOUR
    assert world.error_s == -2


def test_kafkas_clock_that_steps_moves_nobody_who_was_right() -> None:
    world = World()
    world.clock.heard(world.true_us)
    assert world.clock.heard(world.true_us + HOUR) == 0
    assert world.error_s == 0


def test_a_backlog_moves_nothing() -> None:
    world = World()
    world.clock.heard(world.true_us - 20 * HOUR)
    assert world.error_s == 0
