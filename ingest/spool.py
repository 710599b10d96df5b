"""Frames on disk while Kafka is away: append-only segment files with a checksum a record, fsynced before anything is acknowledged.

Plain files rather than SQLite: on a full file system SQLite cannot even delete, so it could never drain; unlinking a segment always works.
Records are `spool_record.py`'s. A torn tail is cut off at opening. A flipped bit is mended as it is read. A record with more damage is
skipped, counted, named in the log, and set aside before its segment is deleted: `SEGMENT-OFFSET.damaged` beside the segments, for a
person to look at and remove.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from ingest.contract.operating import EXIT_TROUBLE, UserError
from ingest.frames import OutFrame
from ingest.spool_record import Found, encode, frame_of, records
from ingest.spool_scan import SpoolState, scan_file

log = logging.getLogger(__name__)


class SpoolFullError(Exception):
    """The byte cap is reached, or the disk is full. Nothing of the batch was kept; the spool is as before."""


@dataclass(slots=True)
class _Segment:
    path: Path
    number: int
    size: int = 0
    frames: int = 0
    aside: dict[int, int] = field(default_factory=dict)
    """Start -> end of each stretch that is no record: kept when the segment goes."""
    mended: set[int] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Position:
    """Just behind a frame: releasing it frees everything before."""

    segment: int
    offset: int


class Spool:
    """A queue of frames on disk, first in first out. One process at a time (a lock file); blocking calls, so use a thread."""

    def __init__(self, folder: Path, max_bytes: int, segment_bytes: int) -> None:
        self._folder = self.folder = folder
        self._max_bytes = max_bytes
        self._segment_bytes = segment_bytes
        self._segments: deque[_Segment] = deque()
        self._file: BinaryIO | None = None
        self._last_number = 0
        self._head = 0
        self._lock: BinaryIO | None = None
        self._busy = threading.Lock()  # a cancelled wait leaves its thread at work
        self.frames = 0
        self.size = 0
        self.damaged = 0
        self.mended = 0
        self._missing = 0

    def open(self) -> SpoolState:
        """Lock the folder, read every segment once, cut a torn tail off.

        Raises:
            UserError: another process has it, or the folder cannot be used.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._lock = (self._folder / "lock").open("ab")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return self._scan_all()
        except BlockingIOError:
            self.close()
            raise UserError(
                f"the spool {self._folder} is in use by another gateway process; stop it, or give this one another gateway_id",
                exit_code=EXIT_TROUBLE,
            ) from None
        except OSError as error:
            self.close()
            raise UserError(
                f"cannot use the spool folder {self._folder}: {error.strerror}", exit_code=EXIT_TROUBLE
            ) from None

    def _scan_all(self) -> SpoolState:
        state = SpoolState()
        # a number is not used again while something that was set aside bears it
        aside = (path.stem.partition("-")[0] for path in self._folder.glob("*.damaged"))
        self._last_number = max((int(number) for number in aside if number.isdecimal()), default=0)
        paths = sorted(self._folder.glob("*.spool"))
        for path in paths:
            segment = _Segment(path, int(path.stem))
            self._scan(segment, state, last=path == paths[-1])
            self._segments.append(segment)
            self._last_number = max(self._last_number, segment.number)
        self.frames = state.frames
        self.size = sum(segment.size for segment in self._segments)
        self._drop_empty()
        return state

    def _scan(self, segment: _Segment, state: SpoolState, *, last: bool) -> None:
        frames = state.frames
        stretches, segment.size = scan_file(segment.path, state)
        segment.frames = state.frames - frames
        for found, torn in stretches:
            if torn and last:
                segment.size = found.start
            elif torn:
                segment.aside[found.start] = found.end
            else:
                self._note(segment, found, found.start)
        if last:
            # also where nothing is torn: a killed process may have written it and not synced it, and from here on it is counted
            with segment.path.open("r+b") as file:
                file.truncate(segment.size)
                os.fsync(file.fileno())

    def _note(self, segment: _Segment, found: Found, start: int) -> bool:
        """Count and name damage once; False where it was before."""
        where = {"segment": segment.path.name, "offset": start}
        if found.record is None and start not in segment.aside:
            segment.aside[start] = start + found.end - found.start
            self.damaged += 1
            log.error(
                "a spool record is damaged beyond mending; its readings are missing, its bytes are set aside",
                extra={"fields": {**where, "bytes": found.end - found.start}},
            )
        elif found.mended is not None and start not in segment.mended:
            segment.mended.add(start)
            self.mended += 1
            log.warning("a flipped bit in the spool is mended", extra={"fields": {**where, "bit": found.mended}})
        else:
            return False
        return True

    def append(self, frames: Iterable[OutFrame]) -> None:
        """Add frames behind all others; on disk (fsync) when this returns.

        Raises:
            SpoolFullError: none of them was kept.
        """
        records = [encode(frame) for frame in frames]
        if records:
            with self._busy:
                self._append(b"".join(records), len(records))

    def _append(self, block: bytes, added: int) -> None:
        if self.size + len(block) > self._max_bytes:
            raise SpoolFullError(f"spool holds {self.size} of at most {self._max_bytes} bytes")
        try:
            segment = self._writable_segment()
            file = self._file
            assert file is not None  # noqa: S101 - `_writable_segment` opened it
            try:
                _write_all(file, block)
                os.fsync(file.fileno())
            except OSError:
                self._cut_back(file, segment.size)
                raise
        except OSError as error:
            raise SpoolFullError(f"cannot write the spool: {error.strerror}") from error
        segment.size += len(block)
        segment.frames += added
        self.size += len(block)
        self.frames += added

    def _writable_segment(self) -> _Segment:
        if self._segments and self._file is not None and self._segments[-1].size < self._segment_bytes:
            return self._segments[-1]
        self._last_number += 1  # also when this fails: a file that was made and could not be used has its name for good
        path = self._folder / f"{self._last_number:020d}.spool"
        self._close_file()
        file = path.open("xb", buffering=0)
        try:
            self._sync_folder()
        except OSError:
            file.close()
            with contextlib.suppress(OSError):
                path.unlink()
            raise
        self._file = file
        self._segments.append(_Segment(path, self._last_number))
        return self._segments[-1]

    def _cut_back(self, file: BinaryIO, size: int) -> None:
        """A full disk may have taken a part; it must go, or it would look like a torn record in mid-file."""
        try:
            file.truncate(size)
            file.seek(size)
        except OSError:  # then it stays behind the end of what counts, and the next append begins another segment
            self._close_file()

    def read(self, limit: int, after: Position | None = None) -> list[tuple[Position, OutFrame]]:
        """The oldest frames not released yet (or those behind `after`), at most `limit` and within one segment."""
        for segment in self._segments:
            start = self._head if segment is self._segments[0] else 0
            if after is not None:
                if segment.number < after.segment:
                    continue
                start = max(start, after.offset) if segment.number == after.segment else start
            found = self._read_segment(segment, start, limit)
            if found:
                return found
        return []

    def _read_segment(self, segment: _Segment, start: int, limit: int) -> list[tuple[Position, OutFrame]]:
        with segment.path.open("rb") as file:
            file.seek(start)
            data = file.read(segment.size - start)
        found: list[tuple[Position, OutFrame]] = []
        for item in records(data):
            if self._note(segment, item, start + item.start) and item.record is None:
                self._missing += 1
            if item.record is not None:
                found.append((Position(segment.number, start + item.end), frame_of(item.record)))
            if len(found) == limit:
                break
        return found

    def release(self, position: Position, frames: int) -> None:
        """The frames up to `position` are safe elsewhere; whole segments before it are deleted."""
        with self._busy:
            self._release(position, frames)

    def _release(self, position: Position, frames: int) -> None:
        self.frames = max(0, self.frames - frames)
        while self._segments and self._segments[0].number < position.segment:
            self._delete_first()
        if self._segments and self._segments[0].number == position.segment:
            self._head = position.offset
            if self._head >= self._segments[0].size and (len(self._segments) > 1 or self.frames == 0):
                self._delete_first()

    def forget_rest(self) -> None:
        """Nothing readable is left: delete what remains (damaged records at the end)."""
        while self._segments:
            self._delete_first()
        self.damaged += max(0, self.frames - self._missing)  # several may have been one stretch
        self.frames = self._missing = 0

    @property
    def empty(self) -> bool:
        """Whether no frame waits."""
        return self.frames == 0 and not self._segments

    def room(self) -> int:
        """Bytes it still takes: what its own cap leaves, or what the file system has where that is less."""
        try:
            disk = os.statvfs(self._folder)
        except OSError:
            return 0
        return max(0, min(self._max_bytes - self.size, disk.f_bavail * disk.f_frsize))

    def close(self) -> None:
        """Give the folder back."""
        with self._busy:
            self._close_file()
            if self._lock is not None:
                self._lock.close()
                self._lock = None

    def _delete_first(self) -> None:
        segment = self._segments.popleft()
        if not self._segments:
            self._close_file()
        self.size -= segment.size
        self._head = 0
        if segment.aside and not self._set_aside(segment):
            # a full disk: the whole segment stays, under a name that needs no room
            segment.path.rename(segment.path.with_suffix(".damaged"))
        segment.path.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            self._sync_folder()

    def _set_aside(self, segment: _Segment) -> bool:
        """Keep what is no record in files of their own; False where they cannot be written."""
        try:
            data = segment.path.read_bytes()
            for start, end in segment.aside.items():
                with segment.path.with_name(f"{segment.path.stem}-{start}.damaged").open("wb") as file:
                    file.write(data[start:end])
                    file.flush()
                    os.fsync(file.fileno())
        except OSError:
            return False
        return True

    def _drop_empty(self) -> None:
        while self._segments and self._segments[0].frames == 0:
            self._delete_first()

    def _close_file(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def _write_all(file: BinaryIO, block: bytes) -> None:
    rest = memoryview(block)
    while rest:  # an unbuffered write may take only a part (556 bytes at ENOSPC in a trial)
        rest = rest[file.write(rest) :]
