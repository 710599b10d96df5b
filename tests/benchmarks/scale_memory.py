"""B7, memory: real processes on the whole way, at rest, by number of series and of open windows; and how long a start takes.

Every device sends one pack of 10 series, two moments each, over MQTT; then all is committed and nothing moves. So a process holds what
a series costs: names, interning, states of rules, newest values, and (processor) two readings of an open window and a row of the
quarter hour. PSS is what a process costs the machine.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

from deploy.local.stack import LocalStack
from tests.benchmarks.contest import Row
from tests.benchmarks.live_pump import READINGS
from tests.benchmarks.soak_city import SoakCity, soak_city
from tests.benchmarks.soak_samples import memory_of
from tests.ingest.gateway_process import eventually

METRICS_A_DEVICE = 10
OPEN_SERIES, OPEN_WINDOWS = 10_000, 60
GOAL_MB = 300.0
"""Of a process with a million series."""
_PARTS = ("gateway", "processor", "control center")
_BUDGET_S = 300.0
_CALM_S = 3.0
_MB = 1.048576  # MiB to MB


@dataclass(frozen=True)
class Held:
    """PSS of each part in MB at rest, and seconds from the start of a new processor to its first commit."""

    mb: dict[str, float]
    start_s: float


def memory(stack: LocalStack, sizes: list[int]) -> Iterator[Row]:
    """A row for each part and number of series, one for open windows, one for each start."""
    held = {series: measure(stack, series) for series in sizes}
    least = held[sizes[0]]
    for part in _PARTS:
        for series in sizes:
            each = (held[series].mb[part] - least.mb[part]) / max(1, series - sizes[0]) * 1e6
            note = f"{part}: {each:,.0f} bytes for each series more than {sizes[0]:,}"
            notes = (note,) if series > sizes[0] else ()
            yield _row(
                f"{part}, {series:,} series", "the goal at 1,000,000", "MB", held[series].mb[part], GOAL_MB, notes=notes
            )
    for series in sizes[1:]:
        case = f"start of a processor to its first commit, {series:,} series"
        yield _row(case, f"{sizes[0]:,} series", "s", held[series].start_s, least.start_s)
    one, many = (open_windows(stack, windows) for windows in (1, OPEN_WINDOWS))
    each = (many - one) / OPEN_SERIES / (OPEN_WINDOWS - 1) * 1e6
    note = f"processor: {each:,.0f} bytes for each open window of two readings"
    yield _row(
        f"processor, {OPEN_SERIES:,} series with {OPEN_WINDOWS} open windows",
        "1 open window",
        "MB",
        many,
        one,
        notes=(note,),
    )


def measure(stack: LocalStack, series: int) -> Held:
    """One whole way with so many series."""
    devices = max(1, series // METRICS_A_DEVICE)
    with soak_city(stack, 1, rules=None) as city:
        send(city, devices, turns=1)
        city.committed(devices * READINGS)
        at_rest(city)
        mb = {part: memory_of(city.pids()[part]).pss * _MB for part in _PARTS}
        return Held(mb, start(city, devices))


def start(city: SoakCity, devices: int) -> float:
    """Kill the processor; seconds from the start of another to its first commit: a reading of every thousandth device waits for it."""
    for name in list(city.way.processors):
        city.way.kill_processor(name)
    before = city.stored
    some = max(1, devices // 1000)
    send(city, some, turns=1)
    began = time.monotonic()
    city.way.start_processor("again")
    city.committed(before + some * READINGS)
    return time.monotonic() - began


def open_windows(stack: LocalStack, windows: int) -> float:
    """PSS of a processor in MB when every series has so many windows open: two readings a minute, and a lateness beyond them all."""
    with soak_city(stack, 1, {"CITYNERVE_PROCESSORS__ALLOWED_LATENESS_S": str(2 * 60 * OPEN_WINDOWS)}, None) as city:
        send(city, OPEN_SERIES // METRICS_A_DEVICE, turns=windows, step_s=60)
        city.committed(OPEN_SERIES // METRICS_A_DEVICE * windows * READINGS)
        at_rest(city)
        return memory_of(city.pids()["processor"]).pss * _MB


def send(city: SoakCity, devices: int, *, turns: int, step_s: float = 0.0) -> None:
    """Packs of all devices, so many turns, as fast as the broker acknowledges them."""
    way = city.way
    arguments = {
        "--port": way.gateway.mqtt_port,
        "--root": way.root,
        "--devices": devices,
        "--turns": turns,
        "--step": step_s,
    }
    words = [str(word) for pair in arguments.items() for word in pair]
    subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.live_pump", *words],
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=_BUDGET_S,
    )


def at_rest(city: SoakCity) -> None:
    """Wait until no part's memory moves by a MiB any more."""
    seen: list[list[float]] = []

    def calm() -> bool:
        time.sleep(_CALM_S)
        seen.append([memory_of(city.pids()[part]).pss for part in _PARTS])
        return len(seen) > 1 and all(abs(now - before) < 1 for now, before in zip(seen[-1], seen[-2], strict=True))

    with contextlib.suppress(AssertionError):  # what still moves is measured as it is
        eventually(calm, 60, "memory is at rest")


def _row(case: str, against: str, unit: str, ours: float, theirs: float, *, notes: tuple[str, ...] = ()) -> Row:
    ratio = theirs / ours
    return Row(
        "B7 memory" if unit == "MB" else "B7 start", case, against, unit, ours, theirs, ratio, ratio, ratio, 1, notes
    )
