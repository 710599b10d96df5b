"""`citynerve demo`: the stack, a real city day in three minutes, then the city live; the ledger's word at the end."""

import json
import os
import signal
import threading
from typing import Any

import click

from deploy.commands import load_stack, settings_path, stack_option
from deploy.demo_session import play
from deploy.demo_view import as_text
from deploy.local.launch import bring_down, bring_up
from deploy.local.trouble import Trouble
from ingest.contract.operating import EXIT_OK, EXIT_TROUBLE
from simulators.options import Duration

_STOPPED_EARLY = "the demo was stopped before the city had begun; the next start goes on with what is there"


@click.command()
@stack_option
@click.option("--for", "for_s", type=Duration(), help="End after this time, e.g. 90s; without it until Ctrl-C.")
@click.option("--json", "as_json", is_flag=True, help="At the end one JSON object on stdout.")
@click.option("--fresh", is_flag=True, help="Remove the stack's data first.")
@click.option("--keep", is_flag=True, help="Leave the stack running at the end.")
def demo(name: str, for_s: float | None, *, as_json: bool, fresh: bool, keep: bool) -> None:
    """Start the stack and play a real city day through it, shifted to end now; then the city goes on live.

    28 weather stations measured in Ghent and 580 simulated devices: a day passes in three minutes. At the end it is told what
    was sent, stored, rejected, duplicate and unaccounted for; exit code 1 unless that adds up.

    Example: citynerve demo --for 90s --json
    """
    stack = load_stack(name)
    stop = _stop_on_signals()
    was_up = bool(stack.records)
    if fresh and was_up:
        bring_down(stack)
        was_up = False
    try:
        bring_up(stack, own_settings=settings_path(), fresh=fresh)
        if stop.is_set():
            raise Trouble(_STOPPED_EARLY)
        summary = play(stack, for_s, stop)
    except Trouble:
        if stop.is_set():  # a Ctrl-C ends the downloads too, and they would blame the network
            raise Trouble(_STOPPED_EARLY) from None
        raise
    finally:
        if not was_up and not keep:
            bring_down(stack)
    click.echo(json.dumps(summary.as_json()) if as_json else as_text(summary), nl=as_json)
    raise SystemExit(EXIT_TROUBLE if summary.problems else EXIT_OK)


def _stop_on_signals() -> threading.Event:
    """An event that Ctrl-C, SIGTERM and the terminal's end set; a second Ctrl-C interrupts at once."""
    stop = threading.Event()
    terminal = [fd for fd in (1, 2) if os.isatty(fd)]

    def ask(number: int, _frame: Any) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        if (
            number == signal.SIGHUP
        ):  # what is written to a terminal that is gone fails, and would leave the stack running
            nowhere = os.open(os.devnull, os.O_WRONLY)
            for fd in terminal:
                os.dup2(nowhere, fd)
        # from a thread: the signal may interrupt stop.wait() while it holds the event's own lock, which set() would then wait for
        threading.Thread(target=stop.set, daemon=True).start()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, ask)
    return stop
