"""Writes the device register: all rows of an import or none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final

import asyncpg

from control_center.device_clocks import DeviceClock
from control_center.device_file import COLUMNS, Entry
from control_center.rows import Device

_TYPES: Final = {
    "device": "text",
    "name": "text",
    "kind": "text",
    "district": "text",
    "latitude": "double precision",
    "longitude": "double precision",
    "expected_interval_s": "int",
}


@dataclass(frozen=True, slots=True)
class Imported:
    """How many devices are new and how many were known before."""

    created: int
    updated: int


async def import_devices(connection: asyncpg.Connection[asyncpg.Record], entries: Sequence[Entry]) -> Imported:
    """Create or update the devices; columns an entry does not have stay as they are. One statement, so all or nothing."""
    if not entries:
        return Imported(0, 0)
    given = [column for column in COLUMNS if column in entries[0]]
    values = [[_stored(column, entry[column]) for entry in entries] for column in given]
    arrays = ", ".join(f"${number}::{_TYPES[column]}[]" for number, column in enumerate(given, 1))
    updates = ", ".join(f"{column} = excluded.{column}" for column in given)
    records = await connection.fetch(
        f"""INSERT INTO city.devices ({", ".join(given)}) SELECT * FROM unnest({arrays})
            ON CONFLICT (device) DO UPDATE SET {updates} RETURNING xmax = 0 AS created""",
        *values,
    )
    created = sum(record["created"] for record in records)
    return Imported(created, len(records) - created)


async def registered(connection: asyncpg.Connection[asyncpg.Record]) -> list[Device]:
    """The whole register by id."""
    columns = ", ".join((*COLUMNS, "created_at"))
    records = await connection.fetch(f"SELECT {columns} FROM city_view.devices ORDER BY device")
    return [Device(**dict(record.items())) for record in records]


async def wrong_clocks(connection: asyncpg.Connection[asyncpg.Record]) -> list[DeviceClock]:
    """Devices heard of within a day whose clock is wrong, by id."""
    columns = ", ".join(field.name for field in fields(DeviceClock))
    sql = f"SELECT {columns} FROM city_view.device_clocks WHERE last_seen > now() - interval '1 day' ORDER BY device, kind"
    return [DeviceClock(**dict(record.items())) for record in await connection.fetch(sql)]


def _stored(column: str, value: str | float | None) -> str | float | None:
    return "unknown" if column == "kind" and not value else value
