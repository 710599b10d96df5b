"""What the looks at a stack are made into: memory that stays flat or not, a latency that is as before or not."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence

import pytest

from deploy.chaos.memory import MIB, MOST_GROWTH_MIB, Growth, grown, growths
from deploy.chaos.recovery import first_such, is_prompt, usual_latency_s
from deploy.chaos.sampling import LatencyWatch, Sample
from deploy.chaos.scrape import largest, parsed

METRICS = """# HELP citynerve_processor_lag_seconds Age.
# TYPE citynerve_processor_lag_seconds gauge
citynerve_processor_lag_seconds{topic="a b",partition="0"} 0.5
citynerve_processor_lag_seconds{topic="a b",partition="1"} 2.5e1
citynerve_processor_lag_seconds_other 99
citynerve_processor_owned_partitions 6.0
"""


def prompt(latencies: Sequence[float | None]) -> list[Sample]:
    return [Sample(n / 2, 0, 0, 0, 0.0, 0.0, latency_s) for n, latency_s in enumerate(latencies)]


def test_the_largest_of_a_metrics_series_is_taken_and_of_no_other_metric() -> None:
    metrics = parsed(METRICS)
    assert largest(metrics, "citynerve_processor_lag_seconds") == 25.0
    assert largest(metrics, 'citynerve_processor_lag_seconds{topic="a b",partition="0"}') == 0.5
    assert largest(metrics, "citynerve_processor_owned_partitions") == 6.0
    assert largest(metrics, "citynerve_processor_unknown") == 0.0


def test_the_latency_is_that_of_what_was_committed_since_the_look_before() -> None:
    watch = LatencyWatch()

    def look(total_s: float, count: float) -> float | None:
        stem = "citynerve_processor_end_to_end_seconds"
        return watch.mean_s({f"{stem}_sum": total_s, f"{stem}_count": count})

    assert look(10.0, 100) == pytest.approx(0.1)
    assert look(10.0, 100) is None
    assert look(14.0, 102) == pytest.approx(2.0)
    assert look(3.0, 2) == pytest.approx(1.5), "a process that began anew counts from 0"


def test_usual_is_three_times_what_it_was_before_the_fault_and_at_least_two_seconds() -> None:
    assert usual_latency_s(prompt([None, 0.3, 0.3, 50.0]), began_s=1.0) == 2.0
    assert usual_latency_s(prompt([1.0, 2.0, 3.0, 50.0]), began_s=1.0) == pytest.approx(6.0)
    assert usual_latency_s(prompt([None]), began_s=1.0) == 2.0
    assert is_prompt(prompt([2.0, 0.1]), 2.0)
    assert not is_prompt(prompt([2.1, 0.1]), 2.0)
    assert not is_prompt(prompt([None, 0.1]), 2.0)


def test_the_first_looks_in_a_row_count_and_not_those_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    class Looks:
        samples = prompt([0.1, 0.1, 9.0, 0.1, 9.0, 0.1, 0.1, 9.0])

    clock = iter(float(n) for n in range(1000))
    monkeypatch.setattr("deploy.chaos.recovery.time.monotonic", lambda: next(clock))
    monkeypatch.setattr("deploy.chaos.recovery.time.sleep", lambda _: None)
    assert first_such(Looks(), 0.6, 2, lambda looks: is_prompt(looks, 2.0)) == pytest.approx(1.9)
    assert first_such(Looks(), 0.6, 3, lambda looks: is_prompt(looks, 2.0)) is None


def test_a_part_that_grows_by_more_than_it_may_is_named_and_the_servers_are_only_told() -> None:
    most = MOST_GROWTH_MIB * MIB
    looks = [
        (1.0, {"ingest": 100 * MIB, "process": 100 * MIB, "servers": MIB}),
        (2.0, {"ingest": 90 * MIB, "process": 100 * MIB}),
        (3.0, {"ingest": 90 * MIB + most, "process": 101 * MIB + most, "servers": 3 * most, "control": MIB}),
        (4.0, {"ingest": 95 * MIB}),
    ]
    found = growths(looks, began_s=2.0)
    assert found[0] == Growth("ingest", 90 * MIB, 90 * MIB + most, 95 * MIB)
    assert [item.part for item in found] == ["ingest", "process", "servers"]
    assert grown(found) == [f"process grew from 100 to {101 + MOST_GROWTH_MIB} MiB, by more than {MOST_GROWTH_MIB} MiB"]


def test_the_memory_of_a_process_is_what_it_holds_and_0_when_it_is_gone() -> None:
    from deploy.chaos.memory import _proportional, _resident

    program = "held = bytearray(50_000_000); print('ready', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert 50e6 < _proportional(process.pid) <= _resident(process.pid) < 100e6
        process.communicate("\n", timeout=10)
    assert _resident(process.pid) == _proportional(process.pid) == 0
