"""The programs behind `citynerve simulate city` and `replay`: settings and options to sources, publisher, pace, exit code."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from ingest.contract.broker import MqttSettings
from ingest.contract.operating import EXIT_TROUBLE, UserError, load_section, load_sections
from simulators.batch import Names
from simulators.city import City
from simulators.faults import Shares
from simulators.fleet import build, devices_csv
from simulators.ledger import LedgerWriter
from simulators.payloads import device_problem
from simulators.publisher import Publisher
from simulators.recording import MISSING, RecordingSpec, problems_of, read, read_spec
from simulators.replay import Replay
from simulators.run import Report, run, stop_on_signals
from simulators.schedule import Pace, Source, merged
from simulators.settings import CityPlace, SimulatorSettings
from simulators.weather import Place

CONNECT_BUDGET_S = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingOptions:
    """What every program that publishes is told."""

    speed: float
    ledger: Path | None
    rate: float | None
    topic_root: str
    as_json: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CityOptions(SendingOptions):
    """Options of `simulate city`; `from_s` is Unix time, `for_s` a span of event time (None: for ever)."""

    devices: int
    seed: int
    from_s: int
    for_s: float | None
    faults: float
    id_prefix: str
    beside: tuple[Path, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayOptions(SendingOptions):
    """Options of `simulate replay`: rows due in [from_s, to_s) of Unix time, after the shift."""

    spec: RecordingSpec
    from_s: int | None
    to_s: int | None


def write_devices(path: Path, devices: int, seed: int, id_prefix: str) -> None:
    """Write the city's devices as `citynerve devices import` reads them."""
    _check_prefix(id_prefix)
    text = devices_csv(build(devices, seed, _place(load_section("city", CityPlace, None)), id_prefix))
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def run_city(options: CityOptions) -> int:
    """Run the city, with the recordings beside it; answers the exit code."""
    _check_prefix(options.id_prefix)
    names = Names()
    place = load_section("city", CityPlace, None)
    town = City(
        options.devices, options.seed, _place(place), names,
        shares=Shares().scaled(options.faults), topic_root=options.topic_root, id_prefix=options.id_prefix,
    )  # fmt: skip
    until_s = None if options.for_s is None else options.from_s + int(options.for_s)
    sources: list[Source] = [town.batches(options.from_s, until_s)]
    now_us = time.time_ns() // 1000
    for path in options.beside:
        replayed = _replay(read_spec(path), now_us, names, options.topic_root)
        sources.append(replayed.batches(options.from_s * 1_000_000, None if until_s is None else until_s * 1_000_000))
    about = {
        "program": "city",
        "devices": options.devices,
        "seed": options.seed,
        "from_s": options.from_s,
        "for_s": options.for_s,
    }
    return send(sources, names, options, about, from_us=options.from_s * 1_000_000)


def recording_spec(columns: list[dict[str, str]], given: Mapping[str, Any]) -> RecordingSpec:
    """The specification that the options of `replay` mean.

    Raises:
        UserError: they contradict each other; all mistakes in one message.
    """
    fields = (
        "time_columns",
        "time_format",
        "time_zone",
        "device",
        "device_column",
        "form",
        "pack",
        "shift_s",
        "end_now",
    )
    chosen = {name: given[name] for name in fields}
    delimiter = {"\\t": "\t", "tab": "\t"}.get(given["delimiter"], given["delimiter"])
    try:
        return RecordingSpec.model_validate(
            {
                "csv": given["csv_file"],
                "columns": columns,
                "delimiter": delimiter,
                "missing": given["missing"] or MISSING,
                **chosen,
            }
        )
    except ValidationError as error:
        raise UserError(problems_of(error)) from None


def save_spec(path: Path, spec: RecordingSpec) -> None:
    """Write a specification for `city --with`; the recording is named by its absolute path."""
    absolute = spec.model_copy(update={"csv": spec.csv.absolute()})
    try:
        path.write_text(absolute.model_dump_json(indent=1), encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def run_replay(options: ReplayOptions) -> int:
    """Replay one recording; answers the exit code."""
    names = Names()
    replayed = _replay(options.spec, time.time_ns() // 1000, names, options.topic_root)
    from_us = None if options.from_s is None else options.from_s * 1_000_000
    to_us = None if options.to_s is None else options.to_s * 1_000_000
    first_us = max(int(replayed.due_us.min()), from_us if from_us is not None else -(2**62))
    about = {"program": "replay", "csv": str(options.spec.csv)}
    return send([replayed.batches(from_us, to_us)], names, options, about, from_us=first_us)


def _replay(spec: RecordingSpec, now_us: int, names: Names, topic_root: str) -> Replay:
    recording = read(spec, now_us)
    for problem in recording.problems:
        sys.stderr.write(f"left out: {problem}\n")
    if recording.bad_rows > len(recording.problems):
        sys.stderr.write(f"left out: {recording.bad_rows - len(recording.problems):,} more rows of {spec.csv}\n")
    return Replay(spec, recording, names, topic_root)


def send(
    sources: Sequence[Source], names: Names, options: SendingOptions, about: dict[str, Any], *, from_us: int
) -> int:
    """Publish the sources in the order of event time; answers the exit code."""
    root = options.topic_root
    if root and (not root.endswith("/") or not root.isprintable() or set(root) & set("+#")):
        raise UserError(f"--topic-root {root!r} begins no MQTT topic: it ends in / and has no + and #, e.g. test1/")
    loaded = load_sections({"mqtt": MqttSettings, "simulators": SimulatorSettings}, None)
    mqtt, settings = cast("MqttSettings", loaded["mqtt"]), cast("SimulatorSettings", loaded["simulators"])
    stop = stop_on_signals()
    about = {**about, "topic_root": options.topic_root, "started_us": time.time_ns() // 1000}
    with LedgerWriter(options.ledger, names, about, fsync_every_s=settings.fsync_every_s) as ledger:
        publisher = Publisher(mqtt, settings, f"citynerve-sim-{os.getpid()}", ledger)
        _connect(publisher, mqtt)
        pace = Pace(from_us, time.time_ns() // 1000, options.speed)
        report = Report(options.as_json, 0.5 if options.as_json else 5.0)
        return run(merged(sources), publisher, pace, report, drain_s=settings.drain_s, stop=stop, rate=options.rate)


def _connect(publisher: Publisher, mqtt: MqttSettings) -> None:
    """Be connected, or say why not before anything is counted as sent."""
    deadline_s = time.monotonic() + CONNECT_BUDGET_S
    while publisher.trouble:
        if time.monotonic() > deadline_s:
            where = f"{mqtt.host}:{mqtt.port}"
            raise UserError(
                f"no MQTT broker answers at {where} ({publisher.trouble}); set [mqtt] host and port",
                exit_code=EXIT_TROUBLE,
            )
        publisher.poll(0.05)


def _check_prefix(id_prefix: str) -> None:
    problem = device_problem("senml-json", f"{id_prefix}x")
    if problem is not None:
        raise UserError(
            f"--id-prefix {id_prefix!r} cannot begin a device id: use letters, digits, - . and _, e.g. east-"
        )


def _place(city: CityPlace) -> Place:
    return Place(city.latitude, city.longitude, city.zone)
