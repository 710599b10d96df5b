"""What a spool folder holds: every record of every segment, counted."""

from __future__ import annotations

import contextlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from ingest.spool_record import Found, is_torn, records


@dataclass(slots=True)
class SpoolState:
    """What opening found."""

    frames: int = 0
    readings: Counter[int] = field(default_factory=Counter)
    torn_bytes: int = 0
    damaged: int = 0
    mended: int = 0
    set_aside: int = 0
    """Files of damaged records that wait for a person."""
    bytes: int = 0
    segments: int = 0


def inspect(folder: Path) -> SpoolState:
    """What a spool folder holds, read without its lock and changing nothing; nothing where there is no folder."""
    state = SpoolState(set_aside=sum(1 for _ in folder.glob("*.damaged")))
    for path in sorted(folder.glob("*.spool")):
        with contextlib.suppress(FileNotFoundError):  # drained and deleted meanwhile
            scan_file(path, state)
    return state


def scan_file(path: Path, state: SpoolState) -> tuple[list[tuple[Found, bool]], int]:
    """Add a segment's records to `state`; (what is damaged or mended, each with whether it is a torn tail; size)."""
    data = path.read_bytes()
    stretches: list[tuple[Found, bool]] = []
    for found in records(data):
        if found.record is not None:
            state.frames += 1
            state.readings[found.record.epoch] += found.record.count
            if found.mended is not None:
                state.mended += 1
                stretches.append((found, False))
        elif found.end == len(data) and is_torn(data, found.start):
            state.torn_bytes += found.end - found.start
            stretches.append((found, True))
        else:
            state.damaged += 1
            stretches.append((found, False))
    state.bytes += len(data)
    state.segments += 1
    return stretches, len(data)
