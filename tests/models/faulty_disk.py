"""A file system that fails or dies at a chosen step, and after a power cut may forget what was not synced."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from io import FileIO
from pathlib import Path
from typing import Any
from unittest import mock


class Killed(BaseException):
    """The process ends here: no handler of the code under test may run on."""


class FaultyDisk:
    """Patches the calls the spool writes with. Each call is a step; at step `fail_at` it fails, `failures` times in a row.

    `crash` makes the failing step the last one of the process, else it is a full disk (ENOSPC).
    """

    def __init__(self) -> None:
        self.files: dict[int, DiskFile] = {}
        self.synced: dict[Path, int] = {}
        self.unsynced_names: set[Path] = set()
        self.removed: dict[Path, bytes] = {}
        self._steps_left = -1
        self._failures = 0
        self._crash = False
        self.part = 0
        self.failed = 0

    @contextlib.contextmanager
    def failing(self, at: int, failures: int, part: int, *, crash: bool) -> Iterator[None]:
        """Within: step `at` (from 0) fails; a write that fails has written `part` bytes before."""
        self._steps_left, self._failures, self._crash, self.part, self.failed = at, failures, crash, part, 0
        try:
            with self.patched():
                yield
        finally:
            self._steps_left = -1

    @contextlib.contextmanager
    def patched(self) -> Iterator[None]:
        """Within: files, fsync, rename and unlink are this disk's."""
        open_, unlink, rename = Path.open, Path.unlink, Path.rename

        def opens(path: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
            if mode not in ("xb", "wb", "r+b"):
                return open_(path, mode, *args, **kwargs)
            self.step()
            return DiskFile(path, mode, self)

        def renames(path: Path, target: Path) -> Path:
            self.step(only_crash=True)
            return rename(path, target)

        def unlinks(path: Path, *, missing_ok: bool = False) -> None:
            self.step(only_crash=True)
            if path.exists():
                self.removed[path] = path.read_bytes()[: self.synced.get(path, 0)]
            unlink(path, missing_ok=missing_ok)

        with (
            mock.patch.object(Path, "open", opens),
            mock.patch.object(Path, "unlink", unlinks),
            mock.patch.object(Path, "rename", renames),
            mock.patch.object(os, "fsync", self.fsync),
        ):
            yield

    def fsync(self, number: int) -> None:
        """Of a file, or of the folder (any other number)."""
        self.step()
        file = self.files.get(number)
        if file is not None and not file.closed:
            self.synced[file.path] = file.path.stat().st_size
        else:
            self.unsynced_names.clear()
            self.removed.clear()

    def step(self, before: Callable[[], object] = lambda: None, *, only_crash: bool = False) -> None:
        """One call to the file system. Deleting and renaming work on a full disk: `only_crash`."""
        if self._steps_left < 0 or (only_crash and not self._crash):
            return
        if self._steps_left > 0:
            self._steps_left -= 1
            return
        before()
        self.failed += 1
        if self._crash:
            raise Killed
        self._failures -= 1
        if self._failures == 0:
            self._steps_left = -1
        raise OSError(errno.ENOSPC, "No space left on device")

    def lose_power(self, choose: Callable[[int, int], int]) -> None:
        """`choose(least, most)` says how much of each file that was not synced is on the disk afterwards."""
        for path, body in self.removed.items():
            if choose(0, 1):
                path.write_bytes(body)
        for path in list(self.unsynced_names):
            if path.exists() and choose(0, 1):
                path.unlink()
        folders = {path.parent for path in self.synced}
        for path in sorted(found for folder in folders for found in folder.glob("*.spool")):
            size = path.stat().st_size
            kept = min(self.synced.get(path, size), size)
            if kept < size:
                os.truncate(path, choose(kept, size))

    def restart(self) -> None:
        """Close what the killed process had open; what is there now is what the next one finds, and syncs before it counts on it."""
        for file in self.files.values():
            file.close()
        self.files.clear()
        self.removed.clear()
        self.unsynced_names.clear()
        self.synced = {path: path.stat().st_size for path in self.synced if path.exists()}


class DiskFile(FileIO):
    """A file being written: a new one, or one that was there (`r+b`)."""

    def __init__(self, path: Path, mode: str, disk: FaultyDisk) -> None:
        super().__init__(path, mode)
        self.path, self._disk = path, disk
        disk.files[self.fileno()] = self
        if mode != "r+b":
            disk.unsynced_names.add(path)
            disk.synced[path] = 0

    def write(self, block: Any) -> int:
        """All of it; the part before the failing step's end."""
        self._disk.step(lambda: FileIO.write(self, bytes(block)[: self._disk.part]))
        return super().write(block)

    def truncate(self, size: int | None = None) -> int:
        """A step of its own: on a broken disk even this fails."""
        self._disk.step()
        return super().truncate(size)
