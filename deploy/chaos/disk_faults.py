"""Faults of the disk under the gateway's spool: full, a torn record, flipped bits. Kafka is away meanwhile, so that it spools."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from deploy.chaos.arena import Arena
from deploy.chaos.destroyed import destroyed
from deploy.chaos.small_disk import SmallDisk
from deploy.chaos.waits import pause, until
from deploy.local.trouble import Trouble
from ingest.spool_record import Found, records
from ingest.spool_scan import inspect

_BUDGET_S = 90.0
_FULL_S = 4.0
_FRAMES = 60
"""Enough for several segments, at the rate of a trial a few seconds."""
_SEGMENT_BYTES = 65_536
_NO_ROOM = "No space left on device"
_HEAD_BYTES = 12
_HEAD_BITS = {"magic": 9, "length": 8 * 4 + 20, "checksum": 8 * 8 + 5}


@dataclass(frozen=True, slots=True)
class FullSpoolDisk:
    """The file system of the gateway's state fills long before the spool's own limit; the gateway is killed then, and started on it."""

    disk_bytes: int = 2 * 1024 * 1024

    def __call__(self, arena: Arena) -> None:
        with SmallDisk(arena.folder / "small-disk", self.disk_bytes) as disk:
            try:
                with _spooling(arena, {"CITYNERVE_INGEST__STATE_DIR": str(disk.path)}):
                    self._fill(arena, disk)
                    disk.fill()  # by something else to the last byte: nothing can be written any more, and all must drain
                    arena.kill("ingest")
                    arena.start("ingest", wait=False)
                    self._fill(arena, disk)
                    pause(_FULL_S)
            finally:  # off the disk before it goes
                arena.terminate("ingest")
                arena.start("ingest")

    def _fill(self, arena: Arena, disk: SmallDisk) -> None:
        _until_metric(arena, "spool_full", lambda value: value == 1, "the spool's disk full")
        _until_metric(arena, "unacked_messages", lambda value: value > 0, "messages held back from acknowledgement")
        if disk.free_bytes > self.disk_bytes // 4 or _NO_ROOM not in _log(arena):
            raise Trouble(f"the spool says full with {disk.free_bytes} bytes free on its disk; nothing was tested")


@dataclass(frozen=True, slots=True)
class TornSegment:
    """kill -9 in the middle of a write, three times: half a record, zeros, and anything at all behind what was synced."""

    def __call__(self, arena: Arena) -> None:
        with _spooling(arena, {}):
            for tear in (_half_a_record, _zeros, _anything):
                arena.kill("ingest")
                segments = _segments(arena)
                path, model = segments[-1], next(found for found in reversed(segments) if _records(found))
                frames = inspect(path.parent).frames
                with path.open("ab") as file:
                    file.write(tear(model))
                found = inspect(path.parent)
                if not found.torn_bytes + found.damaged or found.frames != frames:
                    raise Trouble(f"the segment {path.name} was not torn")
                arena.start("ingest")
                _until_metric(arena, "spooled_frames_total", lambda value: value > 0, "the spool growing on")


@dataclass(frozen=True, slots=True)
class FlippedSegment:
    """One bit flipped in each of four synced records: in the frame, the checksum, the length, the magic. All four are mended."""

    def __call__(self, arena: Arena) -> None:
        with _spooling(arena, {}):
            arena.kill("ingest")
            path = _segments(arena)[0]
            found = _records(path)
            if len(found) < len(_HEAD_BITS) + 1:
                raise Trouble(f"{path.name} holds {len(found)} records only")
            _flip(path, [8 * (found[0].start + (found[0].end - found[0].start) // 2)])
            for record, bit in zip(found[1:], _HEAD_BITS.values(), strict=False):
                _flip(path, [8 * record.start + bit])
            arena.start("ingest")
            wanted = len(_HEAD_BITS) + 1
            _until_metric(arena, "spool_mended_total", lambda value: value == wanted, f"{wanted} records mended")


@dataclass(frozen=True, slots=True)
class DamagedSegment:
    """Several bits flipped in one synced record: nothing can bring its readings back, and the ledger must miss exactly those."""

    bits: int = 40

    def __call__(self, arena: Arena) -> None:
        with _spooling(arena, {}):
            arena.kill("ingest")
            path = _segments(arena)[0]
            found = _records(path)
            victim = next((item for item in found[1:-1] if item.record and ".readings." in item.record.topic), None)
            if victim is None or victim.record is None:
                raise Trouble(f"{path.name} holds no record of readings to damage")
            first, last = 8 * (victim.start + _HEAD_BYTES), 8 * victim.end
            _flip(path, random.Random(1).sample(range(first, last), self.bits))  # noqa: S311 - the same bits each time
            arena.destroyed.append(destroyed("a record of the spool", [victim.record.body]))
            arena.start("ingest")
            _until_metric(arena, "spool_damaged_total", lambda value: value == 1, "one damaged record counted")
        kept = path.with_name(f"{path.stem}-{victim.start}.damaged")
        if not kept.exists() or kept.stat().st_size != victim.end - victim.start:
            raise Trouble(f"the damaged record was not set aside as {kept.name}")


@contextmanager
def _spooling(arena: Arena, settings: dict[str, str]) -> Iterator[None]:
    """Kafka away and a gateway that has spooled for a while; at the end Kafka is back and the spool drained."""
    own = {"CITYNERVE_INGEST__SPOOL_AFTER_S": "0.5", "CITYNERVE_INGEST__SPOOL_SEGMENT_BYTES": str(_SEGMENT_BYTES)}
    arena.set_settings("ingest", own | settings)
    try:
        arena.terminate("ingest")
        arena.start("ingest")
        arena.kill("kafka")
        _until_metric(arena, "spool_frames", lambda value: value >= _FRAMES, f"{_FRAMES} frames in the spool")
        yield
        arena.over()
        arena.start("kafka")
        _until_metric(arena, "spool_frames", lambda value: value == 0, "the spool drained")
    finally:
        arena.set_settings("ingest", {})


def _until_metric(arena: Arena, name: str, condition: Callable[[float], bool], what: str) -> None:
    def so() -> bool:
        value = arena.metric("ingest", f"citynerve_ingest_{name}")
        return value is not None and condition(value)

    until(so, _BUDGET_S, what)


def _log(arena: Arena) -> str:
    return (arena.stack.place.logs / "ingest.log").read_text(encoding="utf-8", errors="replace")


def _segments(arena: Arena) -> list[Path]:
    found = sorted((arena.stack.place.data("ingest")).glob("*/spool/*.spool"))
    if not found:
        raise Trouble("the gateway has no spool segment; nothing was tested")
    return found


def _records(path: Path) -> list[Found]:
    return [item for item in records(path.read_bytes()) if item.record is not None]


def _flip(path: Path, bits: list[int]) -> None:
    body = bytearray(path.read_bytes())
    for bit in bits:
        body[bit // 8] ^= 1 << bit % 8
    with path.open("r+b") as file:
        file.write(body)


def _half_a_record(path: Path) -> bytes:
    first = _records(path)[0]
    return path.read_bytes()[first.start : (first.start + first.end) // 2]


def _zeros(path: Path) -> bytes:
    first = _records(path)[0]
    return path.read_bytes()[first.start : first.start + 100] + bytes(8192)


def _anything(path: Path) -> bytes:
    del path
    return random.Random(2).randbytes(777)  # noqa: S311 - the same bytes each time
