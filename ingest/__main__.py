"""`python -m ingest` is `citynerve ingest`."""

import sys

import click

from ingest.commands import ingest
from ingest.contract.operating import UserError


def main() -> None:
    """Run the command; a user's mistake ends in one sentence."""
    try:
        ingest()
    except UserError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
