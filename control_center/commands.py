"""`citynerve control run` and `citynerve devices import | list | export`."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from pydantic import BaseModel

from ingest.contract.operating import EXIT_OK, EXIT_TROUBLE, UserError, load_section, load_sections

if TYPE_CHECKING:
    from control_center.app import ControlConfig
    from processors.contract.database import DatabaseSettings

Result = TypeVar("Result")
_CSV_MAX_BYTES = 64 * 1024 * 1024


@click.group()
def control() -> None:
    """Serve the page, the API and the alarms."""


@control.command()
@click.pass_context
def run(ctx: click.Context) -> None:
    """Run the control center until SIGTERM or Ctrl-C.

    Example: citynerve --config citynerve.toml control run
    """
    from ingest.contract.operating import configure_logging

    config = _control_config()
    configure_logging()
    # what they tell each second while a server is away, our own lines and /readyz tell once
    for chatty, level in (
        ("aiokafka", logging.CRITICAL),
        ("uvicorn.error", logging.WARNING),
        ("httpx", logging.WARNING),
    ):
        logging.getLogger(chatty).setLevel(level)
    ctx.exit(asyncio.run(serve(config)))


async def serve(config: ControlConfig) -> int:
    """Serve until a stop signal; the exit code. Streams are ended first: they would hold the server open for its whole budget."""
    from control_center.app import create_app
    from ingest.contract.operating import serve_application, stop_event_on_signals

    control_settings = config.control
    stop = stop_event_on_signals()
    app = create_app(config)
    budget = control_settings.stop_budget_s
    async with serve_application(
        app, control_settings.http_host, control_settings.http_port, stop_budget_s=budget, lifespan="on"
    ) as port:
        _say_where(control_settings.http_host, port)
        waiting = [asyncio.create_task(stop.wait()), asyncio.create_task(app.state.failed.wait())]
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
        app.state.parts.hub.close()
    return EXIT_TROUBLE if app.state.failed.is_set() else EXIT_OK


def _say_where(host: str, port: int) -> None:
    logging.getLogger(__name__).info("control center listens", extra={"fields": {"address": f"http://{host}:{port}"}})


def _control_config() -> ControlConfig:
    from control_center.alarms.rules import load_rules
    from control_center.app import ControlConfig
    from control_center.settings import ControlSettings
    from ingest.contract.broker import KafkaSettings
    from processors.contract.database import CitySettings, DatabaseSettings

    models: dict[str, type[BaseModel]] = {
        "control": ControlSettings,
        "city": CitySettings,
        "kafka": KafkaSettings,
        "database": DatabaseSettings,
    }
    loaded: dict[str, Any] = dict(load_sections(models, None))
    return ControlConfig(rules=load_rules(loaded["control"].rules_file), **loaded)


@click.group()
def devices() -> None:
    """The device register."""


@devices.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def import_command(file: Path, *, as_json: bool) -> None:
    """Create or update devices from a CSV file: all of its rows or, with any mistake, none.

    Columns: device, name, kind, district, latitude, longitude, expected_interval_s; only device is needed.

    Example: citynerve devices import devices.csv
    """
    from control_center.device_file import parse_devices
    from control_center.device_register import import_devices

    entries, problems = parse_devices(_read_csv(file))
    if problems:
        shown = problems[:100] + ([f"and {len(problems) - 100} more"] if len(problems) > 100 else [])
        raise UserError(f"{file} is wrong, nothing was imported:\n  " + "\n  ".join(shown))
    result = _with_database(lambda connection: import_devices(connection, entries))
    if as_json:
        _print_json({"created": result.created, "updated": result.updated})
    else:
        click.echo(f"{result.created} devices created, {result.updated} updated")


@devices.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def list_command(*, as_json: bool) -> None:
    """Show the register.

    Example: citynerve devices list --json
    """
    from control_center.device_register import registered

    rows = _with_database(registered)
    if as_json:
        for row in rows:
            _print_json(row)
        return
    for row in rows:
        place = "" if row.latitude is None else f"{row.latitude:.5f},{row.longitude:.5f}"
        click.echo("  ".join((row.device, row.kind, row.district or "-", place or "-", row.name or "-")))
    click.echo(f"{len(rows)} devices")


@devices.command("clocks")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
@click.pass_context
def clocks_command(ctx: click.Context, *, as_json: bool) -> None:
    """Name the devices whose clock is wrong, heard of within a day, and how far it is off. Exit 1 when there are any.

    Example: citynerve devices clocks
    """
    from control_center.device_clocks import item
    from control_center.device_register import wrong_clocks
    from processors.contract.database import CitySettings

    zone = load_section("city", CitySettings, None).zone
    rows = [item(row, zone, "en") for row in _with_database(wrong_clocks)]
    for row in rows:
        if as_json:
            _print_json(row)
            continue
        name = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in row.device)
        counts = f"{row.readings} readings, {row.stored} stored, last {row.last_seen:%Y-%m-%d %H:%M:%S} UTC"
        click.echo(f"{name}: {row.text} {counts}")
    if not as_json:
        click.echo(f"{len(rows)} devices whose clock is wrong")
    ctx.exit(EXIT_TROUBLE if rows else EXIT_OK)


@devices.command("export")
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="Write here instead of the terminal.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of CSV.")
def export_command(output: Path | None, *, as_json: bool) -> None:
    """Write the register as CSV that `citynerve devices import` reads back. Texts that a spreadsheet would run get an apostrophe.

    Example: citynerve devices export --output devices.csv
    """
    from control_center.api.payloads import encode
    from control_center.device_file import format_devices
    from control_center.device_register import registered

    rows = _with_database(registered)
    text = "".join(encode(row).decode() + "\n" for row in rows) if as_json else format_devices(rows)
    if output is None:
        click.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror}") from None


def _read_csv(file: Path) -> str:
    try:
        if file.stat().st_size > _CSV_MAX_BYTES:
            raise UserError(f"{file} is larger than {_CSV_MAX_BYTES >> 20} MiB; split it")
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{file} is not UTF-8 (byte {error.start}); save it as CSV UTF-8") from None
    except OSError as error:
        raise UserError(f"cannot read {file}: {error.strerror}") from None


def _with_database(work: Any) -> Any:
    """Run `work(connection)` on one connection; a database that is away or not migrated is one sentence."""
    import asyncpg

    from control_center.queries import DATABASE_AWAY
    from processors.contract.database import DatabaseSettings

    async def connected(settings: DatabaseSettings) -> Any:
        connection = await settings.connect("citynerve-devices")
        try:
            return await work(connection)
        finally:
            connection.terminate()

    settings = load_section("database", DatabaseSettings, None)
    try:
        return asyncio.run(connected(settings))
    except asyncpg.UndefinedTableError:
        raise UserError("the database has no tables yet; run: citynerve migrate", exit_code=EXIT_TROUBLE) from None
    except DATABASE_AWAY as error:
        raise UserError(
            f"the database does not answer ({type(error).__name__}: {error}); is it running? See: citynerve status",
            exit_code=EXIT_TROUBLE,
        ) from None


def _print_json(content: object) -> None:
    from control_center.api.payloads import encode

    click.echo(encode(content).decode())
