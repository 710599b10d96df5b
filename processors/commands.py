"""Commands of the processors: `citynerve process run | recompute` and `citynerve migrate`."""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import datetime

import click


@click.group()
def process() -> None:
    """Turn readings on Kafka into rows, windows and conditions in the database."""


@process.command()
@click.option("--name", default=None, help="Name of this member of the group (default: [processors] name).")
def run(name: str | None) -> None:
    """Run a processor until SIGTERM or Ctrl-C.

    \b
    Example: citynerve process run --name processor-2
    """
    from processors.service import run_service

    sys.exit(run_service(name))


@process.command()
@click.option(
    "--from", "start", required=True, type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"]), help="First moment, UTC."
)
@click.option(
    "--to",
    "end",
    required=True,
    type=click.DateTime(["%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%d"]),
    help="Moment after the last, UTC.",
)
@click.option("--device", default=None, help="Only this device's series.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def recompute(start: datetime, end: datetime, device: str | None, *, as_json: bool) -> None:
    """Rebuild closed windows from the stored readings and say what changed.

    \b
    Example: citynerve process recompute --from 2026-03-01 --to 2026-03-02 --device station-1
    """
    from processors.recompute import recompute_windows, report_lines

    if end <= start:
        raise click.UsageError("--to must be later than --from")
    report = asyncio.run(recompute_windows(start, end, device))
    click.echo(json.dumps(report) if as_json else "\n".join(report_lines(report)))


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def migrate(*, as_json: bool) -> None:
    """Create or update the tables and the Kafka topics.

    \b
    Example: citynerve migrate
    """
    from ingest.contract.broker import KafkaSettings
    from ingest.contract.operating import configure_logging, load_sections
    from processors.contract.database import DatabaseSettings
    from processors.migrate import create_topics
    from processors.migrate import migrate as apply_migrations

    configure_logging("CRITICAL")  # the one sentence of a UserError says it all
    loaded = load_sections({"kafka": KafkaSettings, "database": DatabaseSettings}, None)
    kafka, database = loaded["kafka"], loaded["database"]
    assert isinstance(kafka, KafkaSettings)  # noqa: S101 - narrows for mypy
    assert isinstance(database, DatabaseSettings)  # noqa: S101
    applied, created = asyncio.run(apply_migrations(database)), asyncio.run(create_topics(kafka))
    if as_json:
        click.echo(json.dumps({"migrations": applied, "topics": created}))
        return
    click.echo(f"migrations applied: {', '.join(applied) or 'none, the database is up to date'}")
    click.echo(f"topics created: {', '.join(created) or 'none, all exist'}")
