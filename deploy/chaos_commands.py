"""`citynerve chaos`: faults thrown at a stack of its own under load, and the score."""

import json
import random
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ingest.contract.operating import EXIT_TROUBLE
from simulators.options import Duration

if TYPE_CHECKING:
    from deploy.chaos.trial import Result


@click.command(epilog="Example: citynerve chaos --fault kill-postgres --fault lost-commit --report what-if.html")
@click.option(
    "--fault", "names", multiple=True, metavar="NAME", help="Which fault (may be given many times); default: all."
)
@click.option("--for", "for_s", type=Duration(), help="Throw faults again and again for so long; default: each once.")
@click.option("--seed", type=click.IntRange(min=0), default=None, help="The same seed is the same order of faults.")
@click.option("--rate", type=click.FloatRange(1, 5000), default=400.0, show_default=True, help="Messages a second.")
@click.option("--list", "listing", is_flag=True, help="Only list the faults.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object on stdout, with the timeline.")
@click.option(
    "--report",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    help="Write a page with a timeline picture of each fault.",
)
@click.pass_context
def chaos(
    ctx: click.Context, names: tuple[str, ...], for_s: float | None, seed: int | None, rate: float, *,
    listing: bool, as_json: bool, report: Path | None,
) -> None:  # fmt: skip
    """Throw faults at a stack of its own under load, and score what became of every reading.

    The stack has free ports and its own data; a running demo is not touched. All faults in random order unless named.
    Exit 1 if a reading is lost, doubled or unaccounted for, or something did not come back.
    """
    from deploy.chaos.faults import FAULTS

    unknown = [name for name in names if name not in FAULTS]
    if unknown:
        msg = f"there is no fault {', '.join(unknown)}; `citynerve chaos --list` names them all"
        raise click.UsageError(msg, ctx)
    if report is not None and not report.absolute().parent.is_dir():
        msg = f"there is no folder {report.absolute().parent} for the report"
        raise click.UsageError(msg, ctx)
    if listing:
        width = max(map(len, FAULTS)) + 2
        click.echo("\n".join(f"{name:<{width}}{fault.description}" for name, fault in FAULTS.items()))
        return
    chosen_seed = random.SystemRandom().randrange(1_000_000) if seed is None else seed
    started_s = time.monotonic()
    results = _run(_order(list(names), list(FAULTS), for_s, chosen_seed), rate)
    _tell(results, chosen_seed, time.monotonic() - started_s, as_json=as_json, report=report)
    if not results or not all(result.passed for result in results):
        ctx.exit(EXIT_TROUBLE)


def _order(named: list[str], every: list[str], for_s: float | None, seed: int) -> Iterator[str]:
    """The faults in their order: as named, or all shuffled; again and again until the time is over, else each once.

    Those of one kind of arena stand together.
    """
    from deploy.chaos.arenas import grouped

    shuffle = random.Random(seed)  # noqa: S311 - a seeded order is the point
    ends_s = None if for_s is None else time.monotonic() + for_s
    while True:
        for name in grouped(named or shuffle.sample(every, len(every))):
            if ends_s is not None and time.monotonic() > ends_s:
                return
            yield name
        if ends_s is None:
            return


def _run(order: Iterator[str], rate: float) -> "list[Result]":
    """Run trials until they end or Ctrl-C; what was found until then is kept."""
    from deploy.chaos.arenas import Arenas
    from deploy.chaos.trial import Plan
    from deploy.local.progress import say

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # else the stack would be left behind
    results: list[Result] = []
    with Arenas() as arenas:
        try:
            for name in order:
                results.append(arenas.run(name, Plan(rate=rate)))
                _remove_ledger(results[-1])
        except KeyboardInterrupt:
            say("stopped by hand; what was found until now follows")
    return results


def _remove_ledger(result: "Result") -> None:
    """A long run would fill the disk; a ledger that shows a loss stays."""
    if result.passed and result.ledger is not None:
        result.ledger.unlink()


def _tell(results: "list[Result]", seed: int, took_s: float, *, as_json: bool, report: Path | None) -> None:
    from deploy.chaos.report_page import page
    from deploy.chaos.report_text import as_json as in_json
    from deploy.chaos.report_text import as_table, summary

    if as_json:
        click.echo(json.dumps(in_json(results, seed)))
    else:
        click.echo(as_table(results) + summary(results) + f" (seed {seed}, {took_s / 60:.1f} minutes)")
    if report is not None:
        report.write_text(page(results, seed, took_s), encoding="utf-8")
        click.echo(f"the report is {report}", file=sys.stderr)
