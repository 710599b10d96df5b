"""`citynerve up`, `down` and `status`: the local stack by hand."""

import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from deploy.flow_view import flow_lines, read_flow
from ingest.contract.operating import EXIT_TROUBLE

if TYPE_CHECKING:
    from deploy.local.stack import LocalStack


def stack_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """The option that names a stack."""
    return click.option(
        "--stack",
        "name",
        default="demo",
        show_default=True,
        callback=_check_name,
        help="Which stack: demo, or test (own ports, own data).",
    )(command)


def _check_name(ctx: click.Context, param: click.Parameter, name: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,31}", name):
        msg = f"a stack is named by small letters, digits and '-', not {name!r}"
        raise click.BadParameter(msg, ctx, param)
    return name


def load_stack(name: str) -> "LocalStack":
    """The stack of that name with its settings."""
    from deploy.local.settings import load_ports
    from deploy.local.stack import LocalStack

    return LocalStack(name, load_ports(name, settings_path()))


def settings_path() -> Path | None:
    """The user's settings file, as --config, CITYNERVE_CONFIG or the working folder name it."""
    chosen = os.environ.get("CITYNERVE_CONFIG")
    if chosen:
        return Path(chosen)
    return Path("citynerve.toml") if Path("citynerve.toml").is_file() else None


@click.command()
@stack_option
@click.option("--fresh", is_flag=True, help="Remove the stack's data first.")
@click.option("--servers-only", is_flag=True, hidden=True, help="Start the servers, not our services.")
def up(name: str, *, fresh: bool, servers_only: bool) -> None:
    """Start the servers and services on 127.0.0.1 and leave them running.

    Mosquitto, Kafka, PostgreSQL with TimescaleDB, Prometheus, Alertmanager; then tables and topics, then ingest,
    process and control. The first start fetches them, which takes about a minute; ports are set in [local].

    Example: citynerve up --fresh
    """
    from deploy.local.launch import bring_up

    stack = load_stack(name)
    bring_up(stack, own_settings=settings_path(), fresh=fresh, with_services=not servers_only)
    if servers_only:
        click.echo(f"servers are up; settings file: {stack.settings_file}")
    else:
        click.echo(f"the page is at http://127.0.0.1:{stack.ports.control_port}/ (stop all with `citynerve down`)")


@click.command()
@stack_option
def down(name: str) -> None:
    """Stop everything the stack started; its data stays.

    Example: citynerve down
    """
    from deploy.local.launch import bring_down

    stopped, killed = bring_down(load_stack(name))
    if not stopped:
        click.echo(f"the stack {name} was not running")
        return
    click.echo(f"stopped {', '.join(stopped)}")
    if killed:
        click.echo(f"had to be killed, because they did not stop in time: {', '.join(killed)}", err=True)


@click.command()
@stack_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object for scripts.")
@click.option(
    "--lang", "language", type=click.Choice(["en", "vi"]), default="en", help="Of the sentences who waits for whom."
)
@click.pass_context
def status(ctx: click.Context, name: str, *, as_json: bool, language: str) -> None:
    """Show each server and service: process id, port, uptime, whether it is ready; and who waits for whom. Exit 1 unless all are ready.

    Example: citynerve status --json
    """
    stack = load_stack(name)
    states = stack.status()
    fine = bool(states) and all(state.ready for state in states)
    flow = read_flow(stack.ports.control_port, language) if states else None
    if as_json:
        everything = {"stack": name, "ready": fine, "processes": [asdict(state) for state in states]}
        if states:
            everything["flow"] = flow  # null: the control center does not answer
        click.echo(json.dumps(everything, ensure_ascii=False))
    elif not states:
        click.echo(f"the stack {name} is not running; start it with `citynerve up`")
    else:
        click.echo(f"{'name':<13}{'pid':>8}{'port':>7}  {'uptime':>9}  state")
    for state in states if not as_json else []:
        said = "ready" if state.ready else f"NOT READY: {state.reason}"
        click.echo(f"{state.name:<13}{state.pid:>8}{state.port:>7}  {_duration(state.uptime_s):>9}  {said}")
    for line in flow_lines(flow, language) if states and not as_json else []:
        click.echo(line)
    if not fine:
        ctx.exit(EXIT_TROUBLE)


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
