"""Readings into the hypertable: COPY where they are surely new, a merge where they may be there already, bisection where one is bad.

Answers per reading: new, duplicate, or refused by the database with its words.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import asyncpg
import numpy as np
import numpy.typing as npt

from processors.database_session import copy_binary
from processors.pgcopy import READING_COLUMNS, readings_copy

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

DATA_ERRORS = (asyncpg.DataError, asyncpg.CheckViolationError, asyncpg.NotNullViolationError)
"""Errors of a value, not of the server: these and only these are bisected (FAILURES 24)."""


@dataclass(frozen=True, slots=True)
class StoredReadings:
    """n readings with distinct (series_id, time), sorted by it: the order of the primary key, so that COPY walks the index."""

    series_id: npt.NDArray[np.int32]
    time_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    flags: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.series_id)

    def take(self, index: npt.NDArray[Any]) -> StoredReadings:
        """The readings at `index`."""
        return StoredReadings(self.series_id[index], self.time_us[index], self.values[index], self.flags[index])


@dataclass(slots=True)
class Outcome:
    """Per reading given: `new` (bool[n]); `refused`: position -> the database's words. Neither: it was there already."""

    new: npt.NDArray[np.bool_]
    refused: dict[int, str] = field(default_factory=dict)
    fell_back: bool = False


async def store_readings(
    connection: Connection, readings: StoredReadings, maybe_stored: npt.NDArray[np.bool_]
) -> Outcome:
    """Store inside the caller's transaction. `maybe_stored` marks the readings that are not newer than all stored ones of their series."""
    outcome = Outcome(np.zeros(len(readings), np.bool_))
    await _attempt(connection, readings, np.flatnonzero(~maybe_stored), outcome, merge=False)
    await _attempt(connection, readings, np.flatnonzero(maybe_stored), outcome, merge=True)
    return outcome


async def _attempt(
    connection: Connection, readings: StoredReadings, at: npt.NDArray[np.intp], outcome: Outcome, *, merge: bool
) -> None:
    if len(at) == 0:
        return
    part = readings.take(at)
    try:
        async with connection.transaction():  # a savepoint: a refusal must not end the batch's transaction
            outcome.new[at] = await _merge(connection, part) if merge else await _copy(connection, part)
    except asyncpg.UniqueViolationError:
        outcome.fell_back = True
        await _attempt(connection, readings, at, outcome, merge=True)
    except DATA_ERRORS as error:
        if len(at) == 1:
            outcome.refused[int(at[0])] = str(error)
            return
        for half in np.array_split(at, 2):
            await _attempt(connection, readings, half, outcome, merge=merge)


async def _copy(connection: Connection, part: StoredReadings) -> npt.NDArray[np.bool_]:
    await copy_binary(connection, "readings", "city", READING_COLUMNS, _stream(part))
    return np.ones(len(part), np.bool_)


async def _merge(connection: Connection, part: StoredReadings) -> npt.NDArray[np.bool_]:
    await connection.execute("DELETE FROM pg_temp.staged_readings")
    await copy_binary(connection, "staged_readings", "pg_temp", READING_COLUMNS, _stream(part))
    rows = await connection.fetch(
        "INSERT INTO city.readings (series_id, time, value, flags) SELECT series_id, time, value, flags FROM pg_temp.staged_readings "
        "ORDER BY series_id, time ON CONFLICT DO NOTHING RETURNING series_id, time"
    )
    if len(rows) in {0, len(part)}:
        return np.full(len(part), len(rows) > 0)
    inserted = {(row["series_id"], row["time"]) for row in rows}
    keys = zip(part.series_id.tolist(), part.time_us.tolist(), strict=True)
    return np.fromiter((key in inserted for key in keys), np.bool_, len(part))


def _stream(part: StoredReadings) -> memoryview:
    return readings_copy(part.series_id, part.time_us, part.values, part.flags)
