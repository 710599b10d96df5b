"""Who waits for whom on the data's way: devices -> broker -> gateway -> Kafka -> processor -> database. Pure; time is an argument.

What nobody has said is unknown, never fine. Each hop carries the key of its sentence in texts.toml and the values in it;
`flow_text` makes the sentence.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Literal

from control_center.catching_up import CatchingUp
from control_center.neighbours import Report, Samples
from control_center.rows import GatewayWord

Part = Literal["devices", "broker", "gateway", "kafka", "processor", "database"]
State = Literal["fine", "catching_up", "waiting", "silent", "away", "unknown"]

GRACE_S: Final = 2.0
"""A question is on its way this long at most before it counts as waiting."""
SILENT_S: Final = 60.0
"""A gateway that hears nothing for this long has devices that are silent, not merely slow."""
FORGOTTEN_S: Final = 7 * 86_400.0
"""A gateway without an address that the ledger has not heard of for this long is no part of the picture any more."""


@dataclass(frozen=True, slots=True)
class Hop:
    """One stage. `age_s`: how long it has been so, null where that is not known. `values` are seconds, bytes, counts and names."""

    part: Part
    name: str
    state: State
    key: str
    values: Mapping[str, float | str | None] = field(default_factory=dict)
    waits_for: Part | None = None
    age_s: float | None = None
    lag_s: float | None = None
    queue_bytes: float | None = None
    queue_limit_bytes: float | None = None
    hours_left: float | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that is known at `now`. A problem: since when the control center itself does not reach it; None: it does."""

    now: datetime
    gateways: Sequence[Report]
    processors: Sequence[Report]
    heard: Sequence[GatewayWord]
    kafka_away_s: float | None
    database_away_s: float | None
    lag_s: float | None
    catching_up: CatchingUp | None
    devices: int | None
    stale_devices: int


def chain(facts: Facts) -> list[Hop]:
    """Every hop in the order of the data's way."""
    return [
        _devices(facts),
        _broker(facts),
        *_gateways(facts),
        _kafka(facts),
        *(_processor(report, facts) for report in facts.processors),
        _database(facts),
    ]


def worst(hops: Sequence[Hop]) -> Hop | None:
    """The hop to name first: what is away, else who waits, then who is not known; None where everything is fine."""
    order: tuple[State, ...] = ("away", "waiting", "unknown", "silent", "catching_up")
    # a gateway by name first: that the broker and the devices are unknown follows from it
    named = sorted(hops, key=lambda hop: hop.name == "")
    return next((hop for state in order for hop in named if hop.state == state), None)


def draining_bytes(gateways: Sequence[Report]) -> float | None:
    """What gateways that reach Kafka still have in their spools; None: nothing."""
    spools = [
        said.get("citynerve_ingest_spool_bytes") or 0.0
        for _, said in _answering(gateways)
        if said.get("citynerve_ingest_spool_frames") and said.waits("ingest", "kafka") < GRACE_S
    ]
    return sum(spools) if spools else None


def _answering(reports: Sequence[Report]) -> list[tuple[str, Samples]]:
    return [(report.name, report.samples) for report in reports if report.samples is not None]


def _devices(facts: Facts) -> Hop:
    ages = {
        name: facts.now.timestamp() - (said.get("citynerve_ingest_last_message_timestamp_seconds") or 0.0)
        for name, said in _answering(facts.gateways)
        if said.waits("ingest", "broker") < GRACE_S
    }
    known = {"silent": facts.stale_devices, "devices": facts.devices or 0}
    if not ages:
        return Hop("devices", "", "unknown", "flow_devices_unknown")
    quiet = {name: age for name, age in ages.items() if age > SILENT_S}
    if quiet:
        age = min(quiet.values())
        ever = age < facts.now.timestamp() / 2  # the gauge is 0 until the first message
        key = "flow_devices_silent" if ever else "flow_devices_never"
        return Hop(
            "devices", "", "silent", key, known | {"names": _names(quiet), "age": age}, age_s=age if ever else None
        )
    key = "flow_devices_fine" if len(ages) == len(facts.gateways) else "flow_devices_partly"
    return Hop("devices", "", "fine", key, known | {"names": _names(ages)}, age_s=min(ages.values()))


def _broker(facts: Facts) -> Hop:
    answering = _answering(facts.gateways)
    waits = {name: wait for name, said in answering if (wait := said.waits("ingest", "broker")) >= GRACE_S}
    reached = [name for name, _ in answering if name not in waits]
    full = [name for name, said in answering if name in reached and said.get("citynerve_ingest_spool_full")]
    unknown = [report.name for report in facts.gateways if report.samples is None]
    if waits:
        age = max(waits.values())
        key = "flow_broker_partly" if reached else "flow_broker_away"
        return Hop(
            "broker", "", "away", key, {"names": _names(waits), "others": _names(reached), "age": age}, age_s=age
        )
    if full:
        return Hop("broker", "", "waiting", "flow_broker_waits", {"names": _names(full)}, waits_for="gateway")
    if not reached:
        return Hop("broker", "", "unknown", "flow_broker_unknown")
    if unknown:
        return Hop(
            "broker", "", "unknown", "flow_broker_partly_unknown", {"names": _names(reached), "others": _names(unknown)}
        )
    return Hop("broker", "", "fine", "flow_broker_fine")


def _gateways(facts: Facts) -> list[Hop]:
    heard = {word.gateway: word for word in facts.heard}
    hops = [
        _gateway(report.name, report.samples)
        if report.samples is not None
        else _gateway_unknown(report, heard.get(report.name), facts.now)
        for report in facts.gateways
    ]
    asked = {report.name for report in facts.gateways}
    recent = [word for word in facts.heard if facts.now - word.at < timedelta(seconds=FORGOTTEN_S)]
    return hops + [_gateway_unasked(word, facts.now) for word in recent if word.gateway not in asked]


def _gateway(name: str, said: Samples) -> Hop:
    used, room = said.get("citynerve_ingest_spool_bytes"), said.get("citynerve_ingest_spool_max_bytes")
    hours = said.get("citynerve_ingest_spool_hours_left")
    hours = None if hours is None or not math.isfinite(hours) else hours
    values: dict[str, float | str | None] = {"name": name, "used": used, "room": room, "hours": hours}

    def hop(state: State, key: str, waits_for: Part | None = None, age_s: float | None = None) -> Hop:
        return Hop(
            "gateway", name, state, key, values | {"age": age_s}, waits_for=waits_for, age_s=age_s,
            queue_bytes=used, queue_limit_bytes=room, hours_left=hours,
        )  # fmt: skip

    kafka, broker = said.waits("ingest", "kafka"), said.waits("ingest", "broker")
    if kafka >= GRACE_S and said.get("citynerve_ingest_spool_full"):
        return hop("waiting", "flow_gateway_full", "kafka", kafka)
    if kafka >= GRACE_S:
        key = "flow_gateway_waits_kafka" if hours is not None else "flow_gateway_waits_kafka_quiet"
        return hop("waiting", key, "kafka", kafka)
    if broker >= GRACE_S:
        return hop("waiting", "flow_gateway_waits_broker", "broker", broker)
    if said.get("citynerve_ingest_spool_frames"):
        return hop("catching_up", "flow_gateway_drains")
    return hop("fine", "flow_gateway_fine" if hours is not None else "flow_gateway_fine_quiet")


def _gateway_unknown(report: Report, word: GatewayWord | None, now: datetime) -> Hop:
    age = None if report.since is None else (now - report.since).total_seconds()
    values: dict[str, float | str | None] = {"name": report.name, "age": age}
    if age is None:
        return Hop("gateway", report.name, "unknown", "flow_gateway_not_asked", values)
    if word is None:
        return Hop("gateway", report.name, "unknown", "flow_gateway_unknown", values, age_s=age)
    values |= {"heard": (now - word.at).total_seconds(), "spooled": word.spooled}
    return Hop("gateway", report.name, "unknown", "flow_gateway_unknown_heard", values, age_s=age)


def _gateway_unasked(word: GatewayWord, now: datetime) -> Hop:
    heard = (now - word.at).total_seconds()
    values: dict[str, float | str | None] = {"name": word.gateway, "heard": heard, "spooled": word.spooled}
    return Hop("gateway", word.gateway, "unknown", "flow_gateway_no_address", values)


def _kafka(facts: Facts) -> Hop:
    voices: dict[str, float] = {name: said.waits("ingest", "kafka") for name, said in _answering(facts.gateways)}
    voices |= {name: said.waits("processor", "kafka") for name, said in _answering(facts.processors)}
    voices["control-center"] = facts.kafka_away_s or 0.0
    return _served("kafka", voices, {"lag": facts.lag_s}, facts.lag_s)


def _database(facts: Facts) -> Hop:
    voices: dict[str, float] = {
        name: said.waits("processor", "database") for name, said in _answering(facts.processors)
    }
    voices["control-center"] = facts.database_away_s or 0.0
    return _served("database", voices, {}, None)


def _served(
    part: Part, voices: Mapping[str, float], values: Mapping[str, float | str | None], lag_s: float | None
) -> Hop:
    """A server as those who use it see it: away as soon as one of them waits for it, by name where others do not."""
    waits = {name: wait for name, wait in voices.items() if wait >= GRACE_S}
    others = [name for name in voices if name not in waits]
    if not waits:
        unknown = "lag" in values and lag_s is None
        return Hop(part, "", "fine", f"flow_{part}_fine" + ("_unread" if unknown else ""), values, lag_s=lag_s)
    age = max(waits.values())
    key = f"flow_{part}_partly" if others else f"flow_{part}_away"
    return Hop(part, "", "away", key, {"names": _names(waits), "others": _names(others), "age": age}, age_s=age)


def _processor(report: Report, facts: Facts) -> Hop:
    values: dict[str, float | str | None] = {"name": report.name, "lag": facts.lag_s}
    lag_s = facts.lag_s

    def hop(state: State, key: str, waits_for: Part | None = None, age_s: float | None = None) -> Hop:
        return Hop(
            "processor", report.name, state, key, values | {"age": age_s}, waits_for=waits_for, age_s=age_s, lag_s=lag_s
        )

    if report.samples is None:
        age = None if report.since is None else (facts.now - report.since).total_seconds()
        return hop("unknown", "flow_processor_unknown" if age is not None else "flow_processor_not_asked", age_s=age)
    database, kafka = (report.samples.waits("processor", whom) for whom in ("database", "kafka"))
    if database >= GRACE_S:
        return hop("waiting", "flow_processor_waits_database", "database", database)
    if kafka >= GRACE_S:
        return hop("waiting", "flow_processor_waits_kafka", "kafka", kafka)
    if lag_s is None:
        return hop("unknown", "flow_processor_lag_unknown")
    if facts.catching_up is None:
        return hop("fine", "flow_processor_fine")
    values |= {"behind": facts.catching_up.behind_s, "left": facts.catching_up.left_s}
    ends = facts.catching_up.left_s is not None
    return hop("catching_up", "flow_processor_catching_up" if ends else "flow_processor_behind")


def _names(names: Mapping[str, float] | Sequence[str]) -> str:
    return ", ".join(sorted(names))
