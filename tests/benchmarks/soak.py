"""`make bench-soak`: hours at a share of the full speed through the real servers, and whether anything grows.

The full speed is measured first (a live city as fast as it is acknowledged, until the last reading is committed), then the load runs at
`--share` of it, or at `--rate`. Every few seconds the memory of all parts, the queues and the lag are written to a file of JSON lines. At
the end the books must balance: nothing lost, nothing doubled, nothing unaccounted for. Exit code 1 when anything is not flat.
Old chunks of readings are counted and dropped as it goes (tests/benchmarks/soak_room.py). A page keeps the live stream open.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

from deploy.local.stack import LocalStack
from deploy.local.trouble import Trouble
from tests.benchmarks import report
from tests.benchmarks.live_pump import READINGS
from tests.benchmarks.servers import test_stack
from tests.benchmarks.soak_city import SoakCity, soak_city
from tests.benchmarks.soak_judge import Balance, Trend, trend, troubles
from tests.benchmarks.soak_room import Room
from tests.benchmarks.soak_samples import LiveCity, Sample

_LEAST_DISK_GIB = 8.0
_FULL_SPEED_S = 30.0


@dataclass
class Outcome:
    """What a soak found. `dropped`: rows counted and dropped with their chunks; `lag_s`: committed behind sent when the load ended."""

    full_speed: float | None
    rate: float
    samples: list[Sample] = field(default_factory=list)
    trends: list[Trend] = field(default_factory=list)
    balance: Balance | None = None
    lag_s: float = 0.0
    troubles: list[str] = field(default_factory=list)


def main(arguments: list[str]) -> int:
    """Soak, print the table, write the JSON; 1 when it is not flat."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options.out.mkdir(parents=True, exist_ok=True)
    conditions = report.Report()
    try:
        with test_stack() as stack:
            outcome = soak(stack, options)
    except Trouble as trouble:
        print(f"Error: {trouble}", file=sys.stderr)
        return 1
    summary = conditions.conditions() | {key: value for key, value in asdict(outcome).items() if key != "samples"}
    (options.out / "soak.json").write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(summary, indent=1) if options.json else as_table(conditions, outcome))
    return 1 if outcome.troubles else 0


def soak(stack: LocalStack, options: argparse.Namespace) -> Outcome:
    """Full speed, load, end; every sample is on disk as soon as it is taken."""
    with soak_city(stack, options.processors) as city:
        full = None if options.rate else full_speed(city, options.devices)
        outcome = Outcome(full, options.rate or options.share * (full or 0.0))
        before = city.stored
        load = LiveCity(stack.mqtt_port, city.way.root, options.devices, outcome.rate / READINGS)
        try:
            with (options.out / "soak.samples.jsonl").open("w", encoding="utf-8") as file:
                _watch(city, load, options, lambda sample: _keep(outcome, sample, file.write))
            outcome.lag_s = _lag_s(outcome, before)
            packs = load.stop()
        finally:
            load.kill()
        outcome.balance = city.balance(before + packs * READINGS)
        outcome.trends = trends_of(outcome.samples)
    outcome.troubles = troubles(outcome.trends, outcome.balance, outcome.lag_s)
    return outcome


def full_speed(city: SoakCity, devices: int) -> float:
    """Readings a second from the first sent to the last committed."""
    load = LiveCity(city.way.stack.mqtt_port, city.way.root, devices, 0.0)
    before, began = city.stored, time.monotonic()
    try:
        time.sleep(_FULL_SPEED_S)
        readings = load.stop() * READINGS
    finally:
        load.kill()
    city.committed(before + readings)
    speed = readings / (time.monotonic() - began)
    sys.stderr.write(f"full speed: {speed:,.0f} readings/s\n")
    return speed


def _watch(city: SoakCity, load: LiveCity, options: argparse.Namespace, keep: Callable[[Sample], None]) -> None:
    """Sample until the time is over. Chunks are dropped in a thread beside."""
    began, number = time.monotonic(), 0
    with Room(city.way.dsn) as room:
        city.room = room
        while (at_s := time.monotonic() - began) < options.seconds:
            assert load.process.poll() is None, "the publisher ended"
            if room.failed is not None:
                break  # its `with` raises it
            free_gib = shutil.disk_usage(city.way.stack.place.folder).free / 2**30
            assert free_gib > _LEAST_DISK_GIB, f"only {free_gib:.1f} GiB of disk are left; lower --rate"
            keep(city.sample(at_s, load, free_gib))
            number += 1
            time.sleep(max(0.0, number * options.every - (time.monotonic() - began)))


def _keep(outcome: Outcome, sample: Sample, write: Callable[[str], object]) -> None:
    outcome.samples.append(sample)
    write(sample.as_json() + "\n")
    if len(outcome.samples) % 12 == 1:
        sizes = ", ".join(f"{part} {memory.pss:.0f}" for part, memory in sample.memory.items())
        sys.stderr.write(f"{sample.at_s:6.0f} s: {sample.stored:,} stored, {sample.open} open; MiB: {sizes}\n")


def _lag_s(outcome: Outcome, before: int) -> float:
    """Seconds of load that were sent and not committed, the middle one of the last five looks."""
    behind = [sample.packs * READINGS + before - sample.stored for sample in outcome.samples[-5:]]
    return sorted(behind)[len(behind) // 2] / outcome.rate


def trends_of(samples: list[Sample]) -> list[Trend]:
    """Of each part, by PSS."""
    at_s = [sample.at_s for sample in samples]
    return [trend(part, at_s, [sample.memory[part].pss for sample in samples]) for part in samples[0].memory]


def as_table(conditions: report.Report, outcome: Outcome) -> str:
    """For people."""
    lines = [f"{name.replace('_', ' ')}: {value}" for name, value in conditions.conditions().items()]
    last, balance = outcome.samples[-1], outcome.balance
    full = "not measured" if outcome.full_speed is None else f"{outcome.full_speed:,.0f} readings/s"
    lines += [f"full speed: {full}; load: {outcome.rate:,.0f} readings/s for {last.at_s:,.0f} s", ""]
    heading = ("part", "PSS MiB first", "middle", "last", "most", "MiB an hour, second half", "allowed", "flat")
    rows = [
        (t.part, *(f"{size:.1f}" for size in (t.first, t.middle, t.last, t.most)), f"{t.slope_mib_h:+.1f}",
         f"{t.allowed_mib_h:.0f}", "yes" if t.flat else "NO") for t in outcome.trends
    ]  # fmt: skip
    lines += [*report.table([heading, *rows]), ""]
    half = [sample for sample in outcome.samples if sample.at_s >= last.at_s / 2]
    queue = [
        (name, *(f"{value:,.1f}" for value in (min(of), sorted(of)[len(of) // 2], max(of), of[-1])))
        for name in last.queues if (of := [sample.queues[name] for sample in half])
    ]  # fmt: skip
    lines += [*report.table([("queue, second half", "least", "median", "most", "last"), *queue]), ""]
    lines.append(f"committed behind sent at the end: {outcome.lag_s:.2f} s of load")
    assert balance is not None
    lines.append(
        f"books: {balance.published:,} published, {balance.stored:,} stored, {balance.lost} lost, {balance.doubled} doubled, "
        f"{balance.unaccounted} unaccounted; rows: {balance.rows_left:,} left, {balance.rows_dropped:,} counted and dropped; "
        f"audit: {balance.audit_missing} missing, {balance.audit_doubled} doubled"
    )
    lines.append("flat" if not outcome.troubles else "NOT FLAT: " + "; ".join(outcome.troubles))
    return "\n".join(lines)


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+)(s|m|h)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 90s, 60m or 2h")
    return int(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench-soak", description=__doc__)
    parser.add_argument("--for", type=_seconds, default=3600.0, dest="seconds", metavar="60m")
    parser.add_argument("--share", type=float, default=0.8, help="of the full speed measured first")
    parser.add_argument("--rate", type=float, default=0.0, help="readings a second; full speed is not measured then")
    parser.add_argument("--devices", type=int, default=1000, help="of 10 series each")
    parser.add_argument("--processors", type=int, default=1)
    parser.add_argument("--every", type=float, default=5.0, help="seconds between samples")
    parser.add_argument(
        "--out", type=Path, default=Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "citynerve-soak"
    )
    parser.add_argument("--json", action="store_true", help="JSON instead of the table")
    return parser


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
