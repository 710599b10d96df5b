"""What a fault destroyed itself, with the only copy: which readings, what names them, and what of them is nowhere else."""

import asyncio
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import asyncpg

from deploy.local.trouble import Trouble
from ingest.contract.frame import decode_readings

Key = tuple[str, str, int]
"""Device, metric, time in microseconds."""
_ALARM_BUDGET_S = 40.0
_STORED = """
SELECT count(*) FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS k(device, metric, time)
JOIN city_view.readings r USING (device, metric, time)
"""
_GAP = """
SELECT coalesce(sum(to_offset - from_offset + 1), 0)::bigint FROM city.offset_gaps
WHERE topic = $1 AND partition = $2 AND from_offset >= $3 AND to_offset <= $4
"""
_ALARM = "SELECT count(*) FROM city.alarms WHERE rule_id = 'unaccounted' AND state <> 'cleared'"


@dataclass(frozen=True, slots=True)
class Destroyed:
    """Readings by the headers of their frames. A device may have sent some of `keys` twice, so that they are stored all the same."""

    what: str
    readings: int
    keys: frozenset[Key] = field(repr=False)
    offsets: tuple[str, int, int, int] | None = None
    """Topic, partition, first and last offset, where it was Kafka's copy: a gap row must name them."""


def destroyed(what: str, bodies: Iterable[bytes], offsets: tuple[str, int, int, int] | None = None) -> Destroyed:
    """What frames of readings held."""
    keys: set[Key] = set()
    readings = 0
    for body in bodies:
        frame = decode_readings(body)
        readings += len(frame)
        keys |= {
            (frame.devices[device], frame.metrics[metric], at_us)
            for device, metric, at_us in zip(
                frame.device_codes.tolist(), frame.metric_codes.tolist(), frame.time_us.tolist(), strict=True
            )
        }
    return Destroyed(what, readings, frozenset(keys), offsets)


def nowhere_else(dsn: str, found: Destroyed) -> int:
    """Readings of it that are not in the database: exactly these may be lost."""
    return len(found.keys) - asyncio.run(_stored(dsn, found))


async def _stored(dsn: str, found: Destroyed) -> int:
    keys = sorted(found.keys)
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        return int(
            await connection.fetchval(
                _STORED,
                [device for device, _, _ in keys],
                [metric for _, metric, _ in keys],
                [datetime.fromtimestamp(at_us / 1e6, UTC) for _, _, at_us in keys],
            )
        )
    finally:
        await connection.close(timeout=10)


def unnamed(dsn: str, found: Destroyed) -> list[str]:
    """What does not say that it is gone: no gap row with its offsets, no alarm."""
    return asyncio.run(_unnamed(dsn, found))


async def _unnamed(dsn: str, found: Destroyed) -> list[str]:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        problems: list[str] = []
        if found.offsets is not None:
            named = int(await connection.fetchval(_GAP, *found.offsets))
            if named != found.offsets[3] - found.offsets[2] + 1:
                problems.append(f"gap rows name {named} of the offsets that were destroyed ({found.what})")
        ends_s = time.monotonic() + _ALARM_BUDGET_S
        while not await connection.fetchval(_ALARM):
            if time.monotonic() > ends_s:
                return [*problems, f"no alarm was raised for {found.what}"]
            await asyncio.sleep(0.5)
        return problems
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Trouble(f"the database cannot say what is missing: {error}") from None
    finally:
        await connection.close(timeout=10)
