"""A step of the clock is not believed by itself, Kafka's append time decides, and no good reading is taken for one from the future."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from ingest.admission import TimeWindow
from ingest.gateway_clock import MOST_DOUBT_US, GatewayClock

S = 1_000_000
HOUR = 3600 * S
START = 1_790_000_000 * S
WINDOW = TimeWindow(24 * HOUR, 300 * S)


@dataclass
class World:
    """True time goes by the steady clock; the machine's and Kafka's clocks are off by so much."""

    true_us: int = START
    wall_off_us: int = 0
    kafka_off_us: int = 0
    answer_us: int = 20_000

    def wall(self) -> int:
        return self.true_us + self.wall_off_us

    def steady(self) -> int:
        return self.true_us - START + 77 * S

    def clock(self, **given: int) -> GatewayClock:
        return GatewayClock(wall=self.wall, steady=self.steady, **given)

    def hear(self, clock: GatewayClock) -> None:
        answered = clock.sending()
        self.true_us += self.answer_us // 2
        append_us = self.true_us + self.kafka_off_us
        self.true_us += self.answer_us // 2
        answered(append_us // 1000 * 1000)

    def off_s(self, clock: GatewayClock) -> float:
        return (clock.now_us() - self.true_us) / S

    def refuses_now(self, clock: GatewayClock) -> bool:
        """Whether a reading of this moment would be refused for its time."""
        now_us, ahead_us = clock.now_us(), WINDOW.max_ahead_us + clock.doubt_us()
        return not now_us - WINDOW.max_age_us <= self.true_us <= now_us + ahead_us


def proven(world: World) -> GatewayClock:
    clock = world.clock()
    world.hear(clock)
    assert world.off_s(clock) == 0
    return clock


@pytest.mark.parametrize("step_s", [3600, -3600, -90 * 86_400, 86_400 * 365])
def test_a_step_changes_nothing_neither_before_kafka_speaks_nor_after(step_s: int) -> None:
    world = World()
    clock = proven(world)
    world.wall_off_us = step_s * S
    assert not world.refuses_now(clock)
    assert world.off_s(clock) == 0
    world.hear(clock)
    assert world.off_s(clock) == 0
    assert clock.doubt_us() == 0
    assert -clock.judge.correction_us == step_s * S
    assert clock.judge.steps == 1
    world.wall_off_us = 0
    assert world.off_s(clock) == 0
    world.hear(clock)
    assert (clock.judge.correction_us, clock.judge.steps) == (0, 2)


def test_small_steps_and_slewing_are_the_wall_clocks_own_matter() -> None:
    world = World()
    clock = proven(world)
    for _ in range(100):
        world.true_us += S
        world.wall_off_us += S // 4
        clock.now_us()
    assert world.off_s(clock) == 25
    assert clock.judge.steps == 0


def test_a_clock_that_was_wrong_and_is_set_right_is_right_whatever_was_believed() -> None:
    world = World(wall_off_us=-HOUR)
    clock = world.clock()
    world.hear(clock)
    assert world.off_s(clock) == pytest.approx(0, abs=0.02)
    world.wall_off_us = 0
    world.hear(clock)
    assert world.off_s(clock) == 0
    assert clock.judge.correction_us == 0


def test_a_machine_that_slept_is_right_as_soon_as_kafka_has_spoken_and_refuses_nothing_until_then() -> None:
    world = World()
    clock = proven(world)
    world.true_us += S
    clock.now_us()
    clock._steady = lambda: (
        world.steady() - 2 * HOUR
    )  # the virtual machine stood still for two hours, its steady clock too
    assert world.off_s(clock) == -2 * 3600
    assert not world.refuses_now(clock)
    world.hear(clock)
    assert world.off_s(clock) == 0
    assert clock.doubt_us() == 0


@pytest.mark.parametrize("off_s", [3600, -3600])
def test_kafkas_clock_that_steps_moves_nobody_and_is_told(off_s: int) -> None:
    world = World()
    clock = proven(world)
    world.kafka_off_us = off_s * S
    world.hear(clock)
    assert world.off_s(clock) == 0
    assert clock.judge.kafka_off_us / S == pytest.approx(off_s, abs=0.03)
    world.kafka_off_us = 0
    world.hear(clock)
    assert clock.judge.kafka_off_us == 0


@pytest.mark.parametrize("off_s", [3600, -3600, -80_000])
def test_a_start_beside_a_kafka_whose_clock_is_wrong_refuses_no_good_reading(off_s: int) -> None:
    world = World(kafka_off_us=off_s * S)
    clock = world.clock()
    world.hear(clock)
    assert not world.refuses_now(clock)
    assert clock.judge.correction_us != 0


def test_a_gateway_that_starts_in_1970_takes_kafkas_time() -> None:
    world = World(wall_off_us=-START)
    clock = world.clock()
    assert world.refuses_now(clock)
    world.hear(clock)
    assert world.off_s(clock) == pytest.approx(0, abs=0.02)
    assert not world.refuses_now(clock)


def test_a_gateway_that_starts_in_1970_without_kafka_begins_where_it_last_was() -> None:
    world = World(wall_off_us=-START)
    clock = world.clock(not_before_us=START - 3 * HOUR)
    assert world.off_s(clock) == -3 * 3600
    assert clock.doubt_us() == MOST_DOUBT_US
    assert not world.refuses_now(clock)
    world.hear(clock)
    assert world.off_s(clock) == pytest.approx(0, abs=0.02)
    assert clock.doubt_us() == 0


def test_an_answer_that_took_long_proves_no_difference_that_is_not_there() -> None:
    world = World(answer_us=120 * S)
    clock = world.clock()
    world.hear(clock)
    assert (clock.judge.correction_us, clock.judge.kafka_off_us) == (0, 0)
    world.wall_off_us = HOUR
    world.hear(clock)
    assert -clock.judge.correction_us == HOUR
