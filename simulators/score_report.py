"""`citynerve simulate score`: fetch, compare, wait for what is still on its way, tell."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import asyncpg
import numpy as np
from pydantic import SecretStr

from ingest.contract.addresses import checked_dsn
from ingest.contract.operating import EXIT_OK, EXIT_TROUBLE, UserError, load_section
from simulators.batch import Expect
from simulators.ledger import Ledger, read
from simulators.score import Score, Sent, compare, sent_of, window_counts
from simulators.score_database import WINDOW_SIZES, ScoreReader
from simulators.settings import ScoreDatabase

_CLOCK_SLACK_US = 60_000_000


def run(path: Path, dsn: str | None, *, wait_s: float, as_json: bool) -> int:
    """Score a ledger file; prints the result and answers the exit code."""
    settings = load_section("database", ScoreDatabase, None)
    if dsn is not None:
        try:
            checked_dsn(dsn)
        except ValueError as error:
            raise UserError(f"--dsn {error}") from None
        settings = settings.model_copy(update={"dsn": SecretStr(dsn)})
    ledger = read(path)
    if not len(ledger.rows):
        raise UserError(f"{path} holds no sent reading", exit_code=EXIT_TROUBLE)
    score = asyncio.run(score_when_settled(ledger, settings, wait_s))
    sys.stdout.write(json.dumps(_as_json(score)) + "\n" if as_json else as_text(score, ledger))
    return EXIT_OK if score.clean else EXIT_TROUBLE


async def score_when_settled(ledger: Ledger, settings: ScoreDatabase, wait_s: float) -> Score:
    """The score as soon as it is clean, or as it stands after `wait_s`.

    Raises:
        UserError: the database cannot be reached or has not our tables.
    """
    deadline_s = time.monotonic() + wait_s
    reader = await ScoreReader.open(settings)
    try:
        sent = sent_of(ledger)
        while True:
            started_s = time.monotonic()
            async with reader.snapshot():
                score = await score_now(sent, ledger, reader)
            took_s = time.monotonic() - started_s
            if score.clean or time.monotonic() + took_s > deadline_s:
                return score
            await asyncio.sleep(max(0.5, took_s))
    except asyncpg.UndefinedTableError as error:
        raise UserError(f"this database has not CityNerve's tables ({error}); run `citynerve migrate`") from None
    finally:
        await reader.close()


async def score_now(sent: Sent, ledger: Ledger, reader: ScoreReader) -> Score:
    """One comparison."""
    good_us = sent.time_us[sent.expect == Expect.STORED]  # a broken clock must not stretch the time that is read
    from_us, to_us = (int(good_us.min()), int(good_us.max())) if len(good_us) else (0, 0)
    series = await reader.series(sent.keys)
    dead = await reader.dead_letters(min(run.get("started_us", 0) for run in ledger.runs) - _CLOCK_SLACK_US)
    stored = await reader.readings(series, from_us, to_us)
    score = compare(sent, stored, np.repeat(dead.digests, dead.readings))
    ours = np.isin(dead.digests, sent.digest)
    score.dead_letters = int(dead.readings[ours].sum())
    by_reason: Counter[str] = Counter()
    for reason, readings, mine in zip(dead.reasons, dead.readings.tolist(), ours.tolist(), strict=True):
        by_reason[reason] += readings if mine else 0
    score.dead_letters_by_reason = {reason: count for reason, count in sorted(by_reason.items()) if count}
    for size in WINDOW_SIZES:
        counts = window_counts(size, await reader.windows(size, series, from_us, to_us), stored)
        score.windows.append(counts)
        score.doubled += counts.too_high
        score.wrong += counts.too_low
    return score


def _as_json(score: Score) -> dict[str, object]:
    return {**asdict(score), "clean": score.clean}


def as_text(score: Score, ledger: Ledger) -> str:
    """The score for a person."""
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in score.dead_letters_by_reason.items())
    behind = (
        f"p50 {score.late_p50_s:,.0f} s, p99 {score.late_p99_s:,.0f} s behind" if score.late_p50_s is not None else ""
    )
    lines = [
        f"sent          {score.sent:>12,}   readings in {len(ledger.messages):,} messages, {len(ledger.runs)} run(s)",
        f"acknowledged  {score.acked:>12,}   {score.repeated:,} repeat an earlier one, {score.broken_on_purpose:,} are broken on purpose",
        f"refused       {score.refused_by_broker:>12,}   by the broker;  {score.unanswered:,} were never answered",
        f"stored        {score.stored:>12,}   rows",
        f"dead letters  {score.dead_letters:>12,}   {reasons}",
        f"late          {score.late:>12,}   {behind}",
        *(
            f"windows {of.size:<5} {of.windows:>12,}   count {of.too_high:,} too many, {of.too_low:,} too few"
            for of in score.windows
        ),
        f"lost          {score.lost:>12,}",
        f"doubled       {score.doubled:>12,}",
        f"wrong         {score.wrong:>12,}",
        f"extra         {score.extra:>12,}   stored and not in the ledger",
    ]
    if ledger.torn_bytes:
        lines.append(f"(the ledger's last {ledger.torn_bytes} bytes are torn: its simulator was killed)")
    for kind, examples in score.examples.items():
        lines += [f"  {kind}: {example}" for example in examples]
    return "\n".join(line.rstrip() for line in lines) + "\n"
