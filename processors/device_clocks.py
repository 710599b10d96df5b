"""Devices whose clock looks wrong in a batch: always late by the same amount, or without a clock. One upsert a batch that has any.

What is refused for its time is found in the dead letters; this is about readings that are stored. See city_view.device_clocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

import asyncpg
import numpy as np
import numpy.typing as npt

from ingest.contract.reading import Flag
from processors.columns import Columns
from processors.series import NEVER_US, SeriesTable

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

BEHIND_US: Final = 300_000_000
"""Late by less is delay: radio, buffers, retries."""
_STEADY_S: Final = 30.0
"""From the first sighting of a row to each of it: what drains a buffer comes closer, if only slowly."""
_SAME: Final = f"abs(c.offset_s - excluded.offset_s) <= {_STEADY_S}"
_UPSERT: Final = f"""
INSERT INTO city.device_clocks AS c (device_id, kind, offset_s, readings, steady_from, steady_to)
SELECT n.device_id, n.kind, n.offset_s, n.readings, n.at, n.at
FROM unnest($1::int[], $2::text[], $3::float8[], $4::bigint[], $5::timestamptz[]) AS n(device_id, kind, offset_s, readings, at)
ON CONFLICT (device_id, kind) DO UPDATE SET
    readings = c.readings + excluded.readings, last_seen = now(),
    offset_s = CASE WHEN {_SAME} THEN c.offset_s ELSE excluded.offset_s END,
    sightings = CASE WHEN {_SAME} THEN c.sightings + 1 ELSE 1 END,
    steady_from = CASE WHEN {_SAME} THEN c.steady_from ELSE excluded.steady_from END,
    steady_to = excluded.steady_to"""


@dataclass(frozen=True, slots=True)
class Sightings:
    """Distinct devices of a batch by their database ids; `offset_s`: event time less the partition's newest."""

    device: npt.NDArray[np.int32]
    kind: list[str]
    offset_s: npt.NDArray[np.float64]
    readings: npt.NDArray[np.int64]
    at_us: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.device)


def sightings(
    columns: Columns, device: npt.NDArray[np.int32], head_us: npt.NDArray[np.int64], device_id: npt.NDArray[np.int32]
) -> Sightings | None:
    """What the new readings of a batch say of their devices' clocks; None (most batches) where that is nothing. Pure.

    Args:
        columns: n readings with their final flags.
        device: device index of each.
        head_us: newest event time of each reading's partition, this batch included, NEVER_US where it has none.
        device_id: database id of each reading's device.
    """
    if not (columns.flags & int(Flag.LATE | Flag.CLOCK_SUSPECT)).any():
        return None
    _, first, inverse = np.unique(device, return_index=True, return_inverse=True)
    latest = np.full(len(first), NEVER_US, np.int64)
    np.maximum.at(latest, inverse, columns.time_us)
    unset = np.bincount(inverse, (columns.flags & int(Flag.CLOCK_SUSPECT)) != 0, len(first)) > 0
    head = head_us[first]
    behind = (head != NEVER_US) & (head - latest >= BEHIND_US) & ~unset
    chosen = np.flatnonzero(behind | unset)
    if not len(chosen):
        return None
    return Sightings(
        device_id[first[chosen]],
        ["unset" if is_unset else "behind" for is_unset in unset[chosen].tolist()],
        np.where(unset, 0.0, (latest - head) / 1e6)[chosen],
        np.bincount(inverse, minlength=len(first))[chosen].astype(np.int64),
        np.where(head == NEVER_US, latest, head)[chosen],
    )


async def note_clocks(
    connection: Connection, table: SeriesTable, columns: Columns, head_of_partition_us: dict[int, int | None]
) -> None:
    """Write the sightings of a batch, in its transaction. A device belongs to one partition, so no two processors meet on a row."""
    if len(columns) == 0:
        return
    heads = np.full(max([*head_of_partition_us, 0]) + 1, NEVER_US, np.int64)
    for number, value in head_of_partition_us.items():
        heads[number] = NEVER_US if value is None else value
    of = columns.series
    found = sightings(
        columns, table.column("device")[of], heads[table.column("partition")[of]], table.column("device_id")[of]
    )
    if found is None:
        return
    order = np.argsort(found.device)  # one order for all, or two transactions could lock each other out
    await connection.execute(
        _UPSERT,
        found.device[order].tolist(),
        [found.kind[at] for at in order.tolist()],
        found.offset_s[order].tolist(),
        found.readings[order].tolist(),
        found.at_us[order].tolist(),
    )
