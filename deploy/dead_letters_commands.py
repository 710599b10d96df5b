"""`citynerve deadletters list | show | retry`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar

import click

from deploy.dead_letters_view import attempt_line, attempt_row, letter_line, letter_lines, letter_row
from ingest.contract.moments import Moment
from ingest.contract.operating import EXIT_OK, EXIT_TROUBLE, UserError, load_section
from ingest.contract.rejects import RejectReason
from processors.contract.rejects import FrameReject

if TYPE_CHECKING:
    from deploy.dead_letters import Attempt, Redecoder, StoredLetter
    from deploy.dead_letters_store import Chosen, Connection

Result = TypeVar("Result")
_SHOWN_FAILURES = 20
_OFFSET = re.compile(r"([+-]?[0-9]{1,6})([smhd])", re.ASCII)


class Offset(click.ParamType[int]):
    """How far a clock was off, to microseconds: 3600s, -90m, 1h, -2d."""

    name = "offset"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """`value` as typed; an int is one already."""
        found = _OFFSET.fullmatch(value) if isinstance(value, str) else None
        if isinstance(value, int):
            return value
        if found is None:
            self.fail(f"{value!r} is no offset of a clock; write it as 3600s, -90m, 1h or -2d", param, ctx)
        return int(found[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86_400}[found[2]] * 1_000_000


_REASON = click.option(
    "--reason",
    metavar="REASON",
    type=click.Choice([reason.value for reason in (*RejectReason, *FrameReject)]),
    help="Only letters with this reason.",
)
_SINCE = click.option(
    "--since", "since_s", type=Moment(), help="Only letters received since then: now-24h, or ISO 8601 with a zone."
)
_JSON = click.option("--json", "as_json", is_flag=True, help="JSON instead of lines to read.")


@click.group()
def deadletters() -> None:
    """Refused payloads, kept with their reason and raw bytes: list, show, retry."""


@deadletters.command("list")
@_REASON
@_SINCE
@click.option("--gateway", help="Only letters of this gateway.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 100_000), help="At most so many.")
@_JSON
def list_command(*, reason: str | None, since_s: int | None, gateway: str | None, limit: int, as_json: bool) -> None:
    """List dead letters, newest first. With --json one object a line.

    \b
    Example: citynerve deadletters list --reason unknown_metric --since now-24h
    """
    from deploy.dead_letters_store import Chosen, newest_letters

    chosen = Chosen(reason, _moment(since_s), gateway)
    letters = _with_database(lambda connection: newest_letters(connection, chosen, limit))
    for letter in letters:
        click.echo(json.dumps(letter_row(letter), ensure_ascii=False) if as_json else letter_line(letter))
    if not as_json:
        more = "; there may be more, see --limit" if len(letters) == limit else ""
        click.echo(f"{len(letters)} dead letters{more}")


@deadletters.command()
@click.argument("letter_id", metavar="ID", type=click.IntRange(1, (1 << 63) - 1))
@_JSON
def show(letter_id: int, *, as_json: bool) -> None:
    """Show one dead letter: its bytes, why it was refused, and what a retry would give now.

    \b
    Example: citynerve deadletters show 17
    """
    redecoder = _redecoder()
    (letter,) = _letters_by_id((letter_id,))
    attempt = redecoder.attempt(letter)
    if as_json:
        click.echo(json.dumps(letter_row(letter, whole=True) | {"retry_now": attempt_row(attempt)}, ensure_ascii=False))
        return
    for line in letter_lines(letter, attempt):
        click.echo(line)


@deadletters.command()
@_REASON
@_SINCE
@click.option("--id", "ids", multiple=True, type=click.IntRange(1, (1 << 63) - 1), help="Only this letter; repeatable.")
@click.option(
    "--clock-off",
    "clock_off_us",
    type=Offset(),
    default="0s",
    help="The gateway's clock was ahead by so much when it received them, e.g. -1h: it was an hour behind.",
)
@click.option("--dry-run", is_flag=True, help="Decode again and say what would happen; send nothing.")
@_JSON
@click.pass_context
def retry(
    ctx: click.Context,
    *,
    reason: str | None,
    since_s: int | None,
    ids: tuple[int, ...],
    clock_off_us: int,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Decode waiting letters again with today's routes and profiles, and send what they hold on its way. Exit 1 when any is still refused.

    A letter is retried successfully at most once; one that is still refused stays where it is.

    \b
    Example: citynerve deadletters retry --reason unknown_metric --dry-run
    """
    from deploy.dead_letters_store import Chosen

    redecoder = _redecoder(clock_off_us)
    before = _letters_by_id(ids) if ids else []
    chosen = Chosen(reason, _moment(since_s), None, ids or None)
    resumed, attempts = _with_database(lambda connection: _retry(connection, redecoder, chosen, dry_run=dry_run))
    refused = [attempt for attempt in attempts if attempt.reason is not None]
    done = [letter for letter in before if letter.state == "retried"]
    if as_json:
        report = {
            "dry_run": dry_run,
            "retried": len(attempts) - len(refused),
            "readings": sum(attempt.readings for attempt in attempts if attempt.reason is None),
            "still_refused": len(refused),
            "resumed": resumed,
            "retried_before": [letter.letter_id for letter in done],
            "letters": [attempt_row(attempt) for attempt in attempts],
        }
        click.echo(json.dumps(report, ensure_ascii=False))
    else:
        _tell(attempts, resumed, done, dry_run=dry_run)
    ctx.exit(EXIT_TROUBLE if refused else EXIT_OK)


def _tell(attempts: list[Attempt], resumed: int, done: list[StoredLetter], *, dry_run: bool) -> None:
    for letter in done:
        click.echo(f"letter {letter.letter_id} was retried before, at {letter.retried_at:%Y-%m-%d %H:%M:%S} UTC")
    if resumed:
        click.echo(f"{resumed} letters of an interrupted retry: sent")
    refused = [attempt for attempt in attempts if attempt.reason is not None]
    for attempt in refused[:_SHOWN_FAILURES]:
        click.echo(attempt_line(attempt))
    if len(refused) > _SHOWN_FAILURES:
        rest = Counter(attempt.reason for attempt in refused[_SHOWN_FAILURES:])
        click.echo("and " + ", ".join(f"{count} more {reason}" for reason, count in rest.most_common()))
    readings = sum(attempt.readings for attempt in attempts if attempt.reason is None)
    verb = "would be retried" if dry_run else "retried"
    click.echo(f"{len(attempts) - len(refused)} letters {verb} with {readings} readings, {len(refused)} still refused")


async def _retry(
    connection: Connection, redecoder: Redecoder, chosen: Chosen, *, dry_run: bool
) -> tuple[int, list[Attempt]]:
    from deploy.dead_letters_retry import Retry
    from ingest.contract.broker import KafkaSettings

    run = Retry(connection, load_section("kafka", KafkaSettings, None), redecoder)
    async with contextlib.aclosing(run.run(chosen, dry=dry_run)) as outcomes:
        # a hundred thousand letters fit as their outcome, not as their bytes
        attempts = [replace(one, admitted=(), letter=replace(one.letter, payload=b"")) async for one in outcomes]
    return run.resumed, attempts


def _redecoder(clock_off_us: int = 0) -> Redecoder:
    from deploy.dead_letters import Redecoder
    from ingest.contract.broker import KafkaSettings
    from ingest.settings import IngestSettings

    return Redecoder(
        load_section("ingest", IngestSettings, None),
        load_section("kafka", KafkaSettings, None).partitions,
        clock_off_us,
    )


def _letters_by_id(ids: tuple[int, ...]) -> list[StoredLetter]:
    from deploy.dead_letters_store import Chosen, newest_letters

    letters = _with_database(lambda connection: newest_letters(connection, Chosen(ids=ids), len(ids)))
    missing = sorted(set(ids) - {letter.letter_id for letter in letters})
    if missing:
        raise UserError(f"there is no dead letter {missing[0]}; see: citynerve deadletters list")
    return letters


def _moment(since_s: int | None) -> datetime | None:
    return None if since_s is None else datetime.fromtimestamp(since_s, UTC)


def _with_database(work: Callable[[Connection], Awaitable[Result]]) -> Result:
    """Run `work(connection)`; a database that is away or not migrated is one sentence."""
    import asyncpg

    from ingest.contract.operating import configure_logging
    from processors.contract.database import DatabaseSettings

    configure_logging("CRITICAL")  # the sentence on the terminal says it all
    settings = load_section("database", DatabaseSettings, None)

    async def connected() -> Any:
        connection = await settings.connect("citynerve-deadletters")
        try:
            return await work(connection)
        finally:
            connection.terminate()

    try:
        result: Result = asyncio.run(connected())
    except (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError):
        raise UserError("the database lacks tables; run: citynerve migrate", exit_code=EXIT_TROUBLE) from None
    except (asyncpg.PostgresConnectionError, asyncpg.InterfaceError, asyncpg.PostgresError, OSError) as error:
        raise UserError(
            f"the database does not answer ({type(error).__name__}: {error}); is it running? See: citynerve status",
            exit_code=EXIT_TROUBLE,
        ) from None
    return result
