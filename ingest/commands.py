"""`citynerve ingest run | decode | spool`."""

from __future__ import annotations

import json
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ingest.contract.operating import EXIT_TROUBLE, UserError

if TYPE_CHECKING:
    from ingest.settings import IngestSettings

FORMATS = ("plain-json", "senml-json", "chirpstack-v4")
CONFIG = click.option("--config", type=click.Path(path_type=Path), help="Settings file (default: citynerve.toml).")


@click.group()
def ingest() -> None:
    """Take device messages from MQTT into Kafka; decode one payload by hand; look at the spool."""


@ingest.command(epilog="Example: citynerve ingest run --config citynerve.toml")
@CONFIG
@click.option(
    "--log-level", default="INFO", show_default=True, type=click.Choice(["DEBUG", "INFO", "WARNING", "ERROR"])
)
def run(config: Path | None, log_level: str) -> None:
    """Run a gateway until SIGTERM or Ctrl-C."""
    import asyncio

    from prometheus_client import CollectorRegistry

    from ingest.contract.broker import KafkaSettings, MqttSettings
    from ingest.contract.operating import configure_logging, load_sections, stop_event_on_signals
    from ingest.service import Gateway, GatewaySettings
    from ingest.settings import IngestSettings

    sections: dict[str, Any] = {"ingest": IngestSettings, "mqtt": MqttSettings, "kafka": KafkaSettings}
    loaded: dict[str, Any] = load_sections(sections, config)
    configure_logging(log_level)
    for library, level in (("uvicorn", "WARNING"), ("aiokafka", "CRITICAL")):
        # an outage is our one line with its reason, not one of the library's for every retry
        logging.getLogger(library).setLevel(level)

    async def serve() -> None:
        stop = stop_event_on_signals()
        await Gateway(GatewaySettings(**loaded), CollectorRegistry()).run(stop)

    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(serve())


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


@ingest.command(
    epilog="Example: citynerve ingest decode --topic city/json/dev1 --format plain-json payload.json   (- reads stdin)"
)
@click.option(
    "--topic", required=True, help="MQTT topic the payload came on; it chooses the route and may name the device."
)
@click.option("--format", "message_format", type=click.Choice(FORMATS), help="Format, where no route takes the topic.")
@click.option("--profile", "profile_name", help="Device profile (default: the route's).")
@click.option(
    "--received", help="When it was received, ISO 8601 with zone (default: now); stands in for missing times."
)
@click.option(
    "--window", is_flag=True, help="Also refuse times outside the accepted window, as the running gateway would."
)
@click.option("--json", "_json", is_flag=True, help="Accepted for uniformity: the output is always JSON lines.")
@CONFIG
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True))
def decode(
    *,
    topic: str,
    message_format: str | None,
    profile_name: str | None,
    received: str | None,
    window: bool,
    _json: bool,
    config: Path | None,
    file: Path,
) -> None:
    """Show what the gateway makes of one payload: a JSON line for each reading or reject. Exit 1 where anything is refused."""
    from ingest import hand_decode
    from ingest.admission import TimeWindow
    from ingest.contract.operating import load_section
    from ingest.decoders.columns import Arrival
    from ingest.device_profile import load_profiles
    from ingest.settings import IngestSettings

    settings = load_section("ingest", IngestSettings, config)
    chosen, name = _route(settings, topic, message_format, profile_name)
    profile = load_profiles([name], settings.profiles_dir)[name]
    try:
        payload = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        received_us = hand_decode.parse_received(received, time.time_ns() // 1000)
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--received") from None
    limits = (
        TimeWindow(settings.max_age_s * 1_000_000, settings.max_ahead_s * 1_000_000) if window else hand_decode.ANY_TIME
    )
    refused = False
    arrival = Arrival(topic, received_us)
    for line in hand_decode.lines(
        payload,
        arrival,
        message_format=chosen,
        profile=profile,
        window=limits,
        max_payload_bytes=settings.max_payload_bytes,
    ):
        refused |= "reject" in line
        click.echo(json.dumps(line, ensure_ascii=False, default=str))
    sys.exit(EXIT_TROUBLE if refused else 0)


def _route(settings: IngestSettings, topic: str, message_format: str | None, profile: str | None) -> tuple[Any, str]:
    """(format, profile): those of the topic's route, else of the first route with the format asked for."""
    from ingest.settings import DEFAULT_ROUTES
    from ingest.topic_routes import TopicRoutes

    route = TopicRoutes(settings.routes).find(topic)
    if route is None and message_format is None:
        raise UserError(
            f"no route takes topic {topic!r}: the gateway would refuse it as unknown_topic; give --format to decode it anyway"
        )
    if route is None or message_format not in (None, route.format):
        route = next(route for route in (*settings.routes, *DEFAULT_ROUTES) if route.format == message_format)
    return route.format, profile or route.profile


@ingest.command(epilog="Example: citynerve ingest spool --json")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@CONFIG
def spool(config: Path | None, as_json: bool) -> None:  # noqa: FBT001 - click passes options by name
    """Show how much waits on disk and check every record. Reads only; works beside a running gateway."""
    from ingest.contract.operating import load_section
    from ingest.settings import IngestSettings
    from ingest.spool_scan import inspect

    settings = load_section("ingest", IngestSettings, config)
    found = inspect(settings.spool_folder)
    readings = sum(found.readings.values())
    report = {
        "folder": str(settings.spool_folder),
        "frames": found.frames,
        "readings": readings,
        "bytes": found.bytes,
        "max_bytes": settings.spool_max_bytes,
        "segments": found.segments,
        "damaged": found.damaged,
        "mended": found.mended,
        "set_aside": found.set_aside,
        "torn_bytes": found.torn_bytes,
    }
    if as_json:
        click.echo(json.dumps(report))
    else:
        click.echo(
            f"{found.frames} frames, {readings} readings, {found.bytes} of at most {settings.spool_max_bytes} bytes"
            f" in {found.segments} segments ({settings.spool_folder})"
        )
        click.echo(
            f"damaged: {found.damaged}, set aside before: {found.set_aside}, with one flipped bit (mended when read): {found.mended},"
            f" torn bytes at the end: {found.torn_bytes}"
        )
    sys.exit(EXIT_TROUBLE if found.damaged else 0)
