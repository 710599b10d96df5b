"""The command `citynerve`: every folder's commands under one name, each imported only when it is asked for."""

import importlib
import os
import sys
from pathlib import Path
from typing import Any

import click

from deploy.local.trouble import Trouble
from ingest.contract.operating import EXIT_TROUBLE, UserError

COMMANDS = {
    "up": ("deploy.commands:up", "Start the local stack."),
    "down": ("deploy.commands:down", "Stop the local stack."),
    "status": ("deploy.commands:status", "Show what runs and whether it is ready."),
    "demo": ("deploy.demo:demo", "Start the stack and replay a real city day."),
    "chaos": ("deploy.chaos_commands:chaos", "Throw faults at a stack under load; score every reading."),
    "ingest": ("ingest.commands:ingest", "Take device messages in; decode, diagnose."),
    "process": ("processors.commands:process", "Turn readings into windows and conditions."),
    "migrate": ("processors.commands:migrate", "Create or update tables and topics."),
    "control": ("control_center.commands:control", "Serve the page, the API and the alarms."),
    "devices": ("control_center.commands:devices", "The device register: import, list, export."),
    "simulate": ("simulators.commands:simulate", "Publish a simulated or recorded city; score the result."),
    "ledger": (
        "control_center.ledger_commands:ledger",
        "What became of every reading; exit 1 when any is unaccounted for.",
    ),
    "deadletters": ("deploy.dead_letters_commands:deadletters", "Refused payloads: list, show, retry."),
}
"""Command -> where it is, and its line in `citynerve --help` (given here so that help imports nothing)."""


class LazyGroup(click.Group):
    """A group whose commands are imported when used: `citynerve --help` takes no numpy, pyarrow or aiokafka."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """All names, whether or not their module is there."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; a folder that does not have it yet gives a usage error."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        try:
            found = getattr(importlib.import_module(module), attribute, None)
        except ModuleNotFoundError as error:
            if error.name is None or not module.startswith(error.name):
                raise
            found = None
        if not isinstance(found, click.Command):
            msg = f"this version of CityNerve has no command {cmd_name}"
            raise click.UsageError(msg, ctx)
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, from the table alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, COMMANDS[name][1]) for name in self.list_commands(ctx)])

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; a user's mistake and a launcher's trouble end in one sentence, never a traceback."""
        try:
            return super().invoke(ctx)
        except UserError as error:
            return fail(str(error), error.exit_code)
        except Trouble as trouble:
            return fail(str(trouble), EXIT_TROUBLE)


def fail(message: str, code: int) -> None:
    """Print the message on stderr and end with the exit code."""
    click.echo(f"Error: {message}", err=True)
    click.get_current_context().exit(code)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="citynerve")
@click.option(
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="CITYNERVE_CONFIG",
    help="Settings file (TOML). Without it ./citynerve.toml is read where there is one.",
)
@click.pass_context
def main(ctx: click.Context, config: Path | None) -> None:
    """CityNerve: device messages in, windows and alarms out, nothing lost on the way.

    Any setting is also CITYNERVE_<SECTION>__<FIELD> in the environment, which wins over the file.

    Example: citynerve up && citynerve status
    """
    if config is not None and not config.is_file():
        msg = f"there is no settings file {config}; name an existing one with --config or CITYNERVE_CONFIG"
        raise click.UsageError(msg, ctx)
    if config is not None:
        os.environ["CITYNERVE_CONFIG"] = str(config.absolute())  # where every command's load_section looks
    ctx.obj = config


if __name__ == "__main__":
    main(prog_name=Path(sys.argv[0]).name if not sys.argv[0].endswith(".py") else "citynerve")
