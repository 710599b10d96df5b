"""`citynerve simulate`: city, replay, score."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from ingest.contract.moments import Moment
from simulators.options import Duration, Speed


@click.group()
def simulate() -> None:
    """Send a simulated city or a recorded day to the broker, and hold the database against what was sent."""


def _sending_options(command: Any) -> Any:
    """What every command that publishes takes."""
    options = [
        click.option(
            "--speed", type=Speed(), default="1", show_default=True, help='event time per wall time, or "max"'
        ),
        click.option(
            "--ledger",
            type=click.Path(path_type=Path, dir_okay=False),
            help="write down what was sent and acknowledged",
        ),
        click.option("--rate", type=click.FloatRange(min=0.001), help="at most so many messages a second"),
        click.option("--topic-root", default="", help="prefix of all MQTT topics, e.g. test1/"),
        click.option("--json", "as_json", is_flag=True, help="progress and result as JSON lines on stdout"),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@simulate.command(
    epilog="Example: citynerve simulate city --devices 580 --seed 1 --from now-24h --speed 480 --ledger city.ledger"
)
@click.option(
    "--devices", type=click.IntRange(min=5, max=1_000_000), default=580, show_default=True, help="how many devices"
)
@click.option(
    "--seed",
    type=click.IntRange(min=0, max=2**63 - 1),
    default=1,
    show_default=True,
    help="the same seed is the same city",
)
@click.option(
    "--from", "from_s", type=Moment(), default="now", show_default=True, help="first moment: now, now-24h, or ISO 8601"
)
@click.option("--for", "for_s", type=Duration(), help="how much of the city's time, e.g. 24h; without it until Ctrl-C")
@click.option(
    "--faults",
    type=click.FloatRange(min=0, max=100),
    default=1.0,
    show_default=True,
    help="factor on the shares of faults",
)
@click.option("--id-prefix", default="", help="prefix of the device ids, so that two cities can share a database")
@click.option("--with", "beside", type=click.Path(path_type=Path, exists=True, dir_okay=False), multiple=True,
              help="replay this file's recording (see replay --save) beside the city, in the same order of time")  # fmt: skip
@click.option(
    "--write-devices",
    type=click.Path(path_type=Path, dir_okay=False),
    help="only write the devices' CSV for `devices import`",
)
@_sending_options
def city(write_devices: Path | None, **given: Any) -> None:
    """Simulate a city: five kinds of devices with the rhythm of their day, correlated in space, and the faults of real ones."""
    from simulators import programs

    if write_devices is not None:
        programs.write_devices(write_devices, given["devices"], given["seed"], given["id_prefix"])
        return
    raise SystemExit(programs.run_city(programs.CityOptions(**given)))


@simulate.command(
    epilog="Example: citynerve simulate replay --csv power.csv --device meter-1 --time Date --time Time --time-format '%d/%m/%Y %H:%M:%S' "
    "--tz Europe/Paris --map Global_active_power=active_power:kW --map Voltage=voltage:V --speed max --ledger power.ledger"
)
@click.option("--csv", "csv_file", type=click.Path(path_type=Path, dir_okay=False), required=True, help="the recording")
@click.option("--device", default="", help="device id of all rows")
@click.option("--device-column", default="", help="column that holds the device id")
@click.option("--metric", help="metric of the --value column")
@click.option("--value", help="value column (with --metric)")
@click.option("--unit", default="", help="unit of the --value column; default: the metric's canonical unit")
@click.option(
    "--map", "maps", multiple=True, metavar="COL=METRIC[:UNIT]", help="a value column; may be given many times"
)
@click.option(
    "--time",
    "time_columns",
    multiple=True,
    required=True,
    help="time column; several (date, time) are joined by a space",
)
@click.option("--time-format", default="", help="strptime format; default ISO 8601")
@click.option(
    "--tz", "time_zone", default="UTC", show_default=True, help="zone of the file's clock, where its times state none"
)
@click.option("--delimiter", default=",", show_default=True, help="column delimiter")
@click.option(
    "--missing",
    multiple=True,
    help="text that means no value (may be given many times; default: empty, NA, ?, NULL, ...)",
)
@click.option(
    "--format",
    "form",
    default="senml-json",
    show_default=True,
    help="payload format: senml-json, plain-json, chirpstack-v4",
)
@click.option(
    "--pack", type=click.IntRange(1, 500), default=1, show_default=True, help="rows of a device in one message"
)
@click.option("--shift", "shift_s", type=int, default=0, help="seconds added to every time")
@click.option("--shift-to-end-now", "end_now", is_flag=True, help="shift the times so that the last row is now")
@click.option("--from", "from_s", type=Moment(), help="leave out rows before this time (after the shift)")
@click.option("--to", "to_s", type=Moment(), help="leave out rows from this time on (after the shift)")
@click.option(
    "--save",
    type=click.Path(path_type=Path, dir_okay=False),
    help="only write these options to a file for `city --with`",
)
@_sending_options
def replay(
    metric: str | None, value: str | None, unit: str, maps: tuple[str, ...], save: Path | None, **given: Any
) -> None:
    """Replay a recorded CSV as if its devices spoke now: at its own pace, faster, or at once."""
    from simulators import programs

    columns = [_column(text) for text in maps]
    if (metric is None) != (value is None):
        raise click.UsageError("--metric and --value belong together")
    if metric is not None and value is not None:
        columns.insert(0, {"column": value, "metric": metric, "unit": unit})
    if not columns:
        raise click.UsageError("say what to send: --metric M --value COL, or --map COL=METRIC[:UNIT]")
    spec = programs.recording_spec(columns, given)
    if save is not None:
        programs.save_spec(save, spec)
        return
    sending = {name: given[name] for name in ("speed", "ledger", "rate", "topic_root", "as_json")}
    raise SystemExit(
        programs.run_replay(programs.ReplayOptions(spec=spec, from_s=given["from_s"], to_s=given["to_s"], **sending))
    )


def _column(text: str) -> dict[str, str]:
    column, equals, target = text.partition("=")
    metric, _, unit = target.partition(":")
    if not (column and equals and metric):
        raise click.UsageError(
            f"--map {text!r}: write COLUMN=METRIC or COLUMN=METRIC:UNIT, e.g. --map TEMP=air_temperature:Cel"
        )
    return {"column": column, "metric": metric, "unit": unit}


@simulate.command(epilog="Example: citynerve simulate score --ledger city.ledger --wait 60s")
@click.option(
    "--ledger",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    help="what a simulator wrote with --ledger",
)
@click.option("--dsn", help="database; default: [database] dsn")
@click.option(
    "--wait",
    "wait_s",
    type=Duration(),
    default="0s",
    show_default=True,
    help="how long to wait for what is still on its way",
)
@click.option("--json", "as_json", is_flag=True, help="one JSON object on stdout")
def score(ledger: Path, dsn: str | None, wait_s: float, *, as_json: bool) -> None:
    """Hold the database against a ledger: lost, doubled, wrong, late, extra. Exit code 1 if any is lost, doubled or wrong."""
    from simulators import score_report

    raise SystemExit(score_report.run(ledger, dsn, wait_s=wait_s, as_json=as_json))
