"""A file system of a few MB that really fills: a tmpfs, mounted where we are root, else in a user namespace of its own."""

import contextlib
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from deploy.chaos.waits import NotHere
from deploy.local.places import is_root

_BUDGET_S = 10
_BALLAST = "ballast"
_BLOCK_BYTES = 1 << 20
_NEEDED = "a small file system cannot be mounted here; being root, or user namespaces for everyone, would be needed"


class SmallDisk:
    """For the `with` statement; `path` is where it is seen. What is on it goes with it.

    An ordinary user mounts it in the namespace of a sleeping process and reaches it through /proc/PID/root.
    """

    def __init__(self, folder: Path, size_bytes: int) -> None:
        self._folder = folder
        self._size_bytes = size_bytes
        self._holder: subprocess.Popen[str] | None = None
        self.path = folder

    def __enter__(self) -> Self:
        self._folder.mkdir(exist_ok=True)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={self._size_bytes},mode=0755", "citynerve", str(self._folder)]
        try:
            if is_root():
                subprocess.run(mount, check=True, capture_output=True, timeout=_BUDGET_S)
            else:
                self._hold(mount)
        except (OSError, subprocess.SubprocessError) as error:
            self._folder.rmdir()
            raise NotHere(f"{_NEEDED} ({error})") from None
        return self

    def _hold(self, mount: list[str]) -> None:
        held = ["unshare", "-Urm", "--kill-child", "sh", "-c", '"$@" && echo $$ && exec sleep infinity', "sh", *mount]
        self._holder = subprocess.Popen(
            held, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._holder.stdout is not None  # noqa: S101 - narrows for mypy: it was opened as a pipe
        said = self._holder.stdout.readline().strip()
        self.path = Path(f"/proc/{said}/root") / self._folder.relative_to("/")
        if not said.isdigit() or not os.access(self.path, os.W_OK):
            self.__exit__(None, None, None)
            raise NotHere(_NEEDED)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._holder is not None:
            self._holder.kill()
            self._holder.wait(_BUDGET_S)
            if self._holder.stdout is not None:
                self._holder.stdout.close()
        else:
            # lazy: a process that was not ended in time may still hold a file
            subprocess.run(["umount", "-l", str(self._folder)], check=False, capture_output=True, timeout=_BUDGET_S)
        with contextlib.suppress(OSError):
            self._folder.rmdir()

    @property
    def free_bytes(self) -> int:
        """What is left."""
        state = os.statvfs(self.path)
        return state.f_bavail * state.f_frsize

    def fill(self) -> None:
        """Take all that is left, and what others give back meanwhile, by a file that `relieve` removes."""
        with (self.path / _BALLAST).open("ab", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(_BLOCK_BYTES))

    def relieve(self) -> None:
        """Remove the ballast."""
        (self.path / _BALLAST).unlink(missing_ok=True)
