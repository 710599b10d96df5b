"""`citynerve ingest run | decode | spool`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click


@click.group()
def ingest() -> None:
    """Take device messages from MQTT into Kafka; decode one payload by hand; look at the spool."""


@ingest.command(epilog="Example: citynerve ingest run --config citynerve.toml")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file (sections [ingest], [mqtt], [kafka]).")
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

    sections = {"ingest": IngestSettings, "mqtt": MqttSettings, "kafka": KafkaSettings}
    loaded: dict[str, Any] = load_sections(sections, config)
    configure_logging(log_level)

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
