"""`citynerve ledger`: what became of every reading, and whether all of it is accounted for."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from ingest.contract.moments import Moment
from ingest.contract.operating import EXIT_OK, EXIT_TROUBLE, UserError, load_section

if TYPE_CHECKING:
    from control_center.rows import DeadLetterReason, LedgerAudit, LedgerRow, LedgerTotals, OffsetGap
    from processors.contract.database import DatabaseSettings

_STATES: Final = ("received", "stored", "duplicate", "dead_letter", "refused", "in_flight", "unaccounted")
_MOST_LIVES: Final = 100_000
_EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)


@click.command()
@click.option(
    "--since", "since_s", type=Moment(), help="Only lives heard of since then: now-24h, or ISO 8601 with a zone."
)
@click.option("--gateway", help="Only this gateway. The audit of stored rows belongs to no gateway and is left out.")
@click.option("--audit", "audit_first", is_flag=True, help="First count the stored rows of every day anew.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
@click.pass_context
def ledger(ctx: click.Context, since_s: int | None, gateway: str | None, *, audit_first: bool, as_json: bool) -> None:
    """Show what became of every reading. Exit 1 when any is unaccounted for or doubled.

    received = stored + duplicate + dead letter + refused + in flight + unaccounted, for each life (epoch) of a gateway.

    \b
    Example: citynerve ledger --since now-24h --audit
    """
    from control_center.api.payloads import LedgerPage, encode
    from processors.contract.database import DatabaseSettings

    since = None if since_s is None else datetime.fromtimestamp(since_s, UTC)
    settings = load_section("database", DatabaseSettings, None)
    totals, audit, rows, reasons, gaps = asyncio.run(_read(settings, since, gateway, audit_first=audit_first))
    if gateway is not None and not rows and since is None:
        raise UserError(f"the ledger knows no gateway {gateway!r}; without --gateway it shows all")
    if as_json:
        click.echo(encode(LedgerPage(totals, audit, rows, None, gaps)).decode())
    else:
        for line in ledger_lines(totals, audit, rows, with_audit=gateway is None):
            click.echo(line)
        for line in [*reason_lines(reasons), *gap_lines(gaps)]:
            click.echo(line)
    wrong = totals.unaccounted + (audit.doubled if gateway is None else 0)
    ctx.exit(EXIT_TROUBLE if wrong else EXIT_OK)


async def _read(
    settings: DatabaseSettings, since: datetime | None, gateway: str | None, *, audit_first: bool
) -> tuple[LedgerTotals, LedgerAudit, list[LedgerRow], list[DeadLetterReason], list[OffsetGap]]:
    import asyncpg

    from control_center.queries import DATABASE_AWAY, Queries

    try:
        if audit_first:
            await _audit_all(settings)
        async with await settings.pool("citynerve-ledger", max_size=1) as pool:
            queries = Queries(pool)
            rows = await queries.ledger(limit=_MOST_LIVES, gateway=gateway, since=since)
            reasons = await queries.dead_letter_reasons(since or _EVER, gateway)
            totals, audit = await queries.ledger_totals(gateway, since), await queries.ledger_audit()
            gaps = [gap for gap in await queries.offset_gaps() if since is None or gap.seen_at >= since]
            return totals, audit, rows, reasons, gaps
    except asyncpg.UndefinedTableError:
        raise UserError("the database lacks tables; run: citynerve migrate", exit_code=EXIT_TROUBLE) from None
    except DATABASE_AWAY as error:
        raise UserError(
            f"the database does not answer ({type(error).__name__}: {error}); is it running? See: citynerve status",
            exit_code=EXIT_TROUBLE,
        ) from None


async def _audit_all(settings: DatabaseSettings) -> None:
    from processors.contract.audit import audit_day, days_stored

    connection = await settings.connect("citynerve-ledger")
    try:
        for day in await days_stored(connection):
            await audit_day(connection, day)
    finally:
        connection.terminate()


def ledger_lines(totals: LedgerTotals, audit: LedgerAudit, rows: Sequence[LedgerRow], *, with_audit: bool) -> list[str]:
    """The ledger for a terminal: a line for each life, the sums, the audit, and the verdict."""
    head = ["gateway", "life since (UTC)", *(name.replace("_", " ") for name in _STATES)]
    table = [head]
    table += [[_plain(row.gateway) or "-", _begun(row.epoch), *_counts(row)] for row in rows]
    table.append(["all", "", *_counts(totals)])
    widths = [max(len(line[column]) for line in table) for column in range(len(head))]
    lines = [
        "  ".join(cell.ljust(width) if at < 2 else cell.rjust(width) for at, (cell, width) in enumerate(zip(line, widths, strict=True)))
        for line in table
    ]  # fmt: skip
    lines.append("")
    if with_audit:
        lines.append(_audit_line(audit))
    return [*lines, _verdict(totals, audit if with_audit else None)]


def reason_lines(reasons: Sequence[DeadLetterReason]) -> list[str]:
    """The dead letters by reason, each with the number of its newest, which `citynerve deadletters show` takes."""
    if not reasons:
        return []
    width = max(len(one.reason) for one in reasons)
    return ["", "dead letters by reason:"] + [
        f"  {_plain(one.reason):<{width}}  {one.readings:>10,} readings in {one.letters:,} letters, {one.waiting:,} not retried; "
        f"newest {one.newest_received.astimezone(UTC):%Y-%m-%d %H:%M:%S}: citynerve deadletters show {one.newest_id}"
        for one in reasons
    ]


def gap_lines(gaps: Sequence[OffsetGap]) -> list[str]:
    """What Kafka no longer had when the processors came to it, the newest first."""
    return ["", "records that Kafka no longer had (docs/ledger.md):"] * bool(gaps) + [
        f"  {gap.seen_at.astimezone(UTC):%Y-%m-%d %H:%M:%S}  {gap.topic}/{gap.partition}  offsets {gap.from_offset} to "
        f"{'?' if gap.to_offset is None else gap.to_offset}  {gap.reason}, "
        f"{'an unknown number of' if gap.readings is None else f'{gap.readings:,}'} readings"
        for gap in gaps
    ]


def _counts(row: LedgerRow | LedgerTotals) -> list[str]:
    return [f"{getattr(row, name):,}" for name in _STATES]


def _begun(epoch: int) -> str:
    try:
        return datetime.fromtimestamp(epoch / 1e6, UTC).strftime("%Y-%m-%d %H:%M:%S")
    except (ValueError, OverflowError, OSError):
        return str(epoch)


def _audit_line(audit: LedgerAudit) -> str:
    if not audit.days or audit.oldest is None or audit.newest is None:
        return "stored rows: no day has been audited yet; --audit does it now"
    removed = f", {audit.removed:,} removed with their chunks" if audit.removed else ""
    return (
        f"stored rows, days audited: {audit.days}: {audit.found:,} found, {audit.expected:,} expected{removed}"
        f" (audited between {audit.oldest:%Y-%m-%d %H:%M:%S} and {audit.newest:%Y-%m-%d %H:%M:%S} UTC)"
    )


def _verdict(totals: LedgerTotals, audit: LedgerAudit | None) -> str:
    wrong = []
    if totals.unaccounted:
        missing = f" (stored and gone: {audit.missing:,})" if audit is not None and audit.missing else ""
        wrong.append(f"readings unaccounted for: {totals.unaccounted:,}{missing}")
    if audit is not None and audit.doubled:
        wrong.append(f"rows that no processor stored: {audit.doubled:,}")
    return "; ".join(wrong) or "every reading is accounted for"


def _plain(text: str) -> str:
    return "".join(character if character.isprintable() else "\N{REPLACEMENT CHARACTER}" for character in text)
