"""Whether a command line that prose or configuration names is one that exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click

from deploy.cli import main
from tests.architecture.tree import text

_ALWAYS = {"--help", "-h", "--version"}


def problem(command: str) -> str | None:
    """Why a `citynerve ...` or `make ...` line is not real, or None."""
    words = shlex.split(command, comments=True)
    if words[0] == "make":
        targets = set(re.findall(r"^([a-z][a-z-]*):", text(Path("Makefile")), re.MULTILINE))
        wrong = [word for word in words[1:] if "=" not in word and word not in targets]
        return f"make has no target {wrong}" if wrong else None
    return _problem_of(main, words[1:])


def _problem_of(command: click.Command, words: list[str]) -> str | None:
    takes_arguments = any(isinstance(parameter, click.Argument) for parameter in command.params)
    while words:
        word, words = words[0], words[1:]
        if word.startswith("-") and word not in _ALWAYS:
            option = _options(command).get(word.partition("=")[0])
            if option is None:
                return f"{command.name} has no option {word}"
            words = words[0 if option.is_flag or "=" in word else 1 :]
        elif isinstance(command, click.Group) and not word.startswith("-"):
            return _problem_of_subcommand(command, word, words)
        elif not word.startswith("-") and not takes_arguments:
            return f"{command.name} takes no argument {word}"
    return None


def _problem_of_subcommand(group: click.Group, name: str, words: list[str]) -> str | None:
    try:
        found = group.get_command(click.Context(group), name)
    except click.UsageError as error:
        return error.message
    return f"{group.name} has no command {name}" if found is None else _problem_of(found, words)


def _options(command: click.Command) -> dict[str, click.Option]:
    found = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    return {name: option for option in found for name in (*option.opts, *option.secondary_opts)}
