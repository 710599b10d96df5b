"""libfaketime from the host's own Debian suite: a clock that steps while its process runs. Fetched for tests and faults only."""

from pathlib import Path

from deploy.chaos.waits import NotHere
from deploy.local import debian_apt
from deploy.local.cache_entry import cached
from deploy.local.progress import step
from deploy.local.trouble import Trouble

_PACKAGE = "libfaketime"
_LIBRARY = "usr/lib/*/faketime/libfaketimeMT.so.1"


def library() -> Path:
    """The library to preload; of the host's suite, because it enters programs of the host. Raises NotHere where it cannot be had."""
    try:
        folder = cached(f"faketime-{debian_apt.architecture()}", _PACKAGE, _build)
        return next(folder.glob(_LIBRARY))
    except (Trouble, OSError, StopIteration) as error:
        raise NotHere(
            f"a clock can be stepped only with Debian's package {_PACKAGE}, which cannot be had: {error}"
        ) from None


def _build(folder: Path, _final: Path) -> None:
    work = folder / ".apt"
    work.mkdir()
    with step(f"downloading {_PACKAGE}, with which faults step a clock"):
        apt = debian_apt.Apt(work)
        apt.update()
        for archive in apt.download([_PACKAGE], work / "archives"):
            debian_apt.unpack(archive, folder)


class SteppedClock:
    """The wall clock of one process, `off_s` from the machine's; its monotonic clocks are left alone."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    def set(self, off_s: int) -> None:
        """Step it; the process sees that within a second."""
        beside = self._file.with_suffix(".new")
        beside.write_text(f"{off_s:+d}\n")
        beside.chmod(0o644)
        beside.replace(self._file)

    def environment(self) -> dict[str, str]:
        """With which a program is started to live by this clock."""
        return {
            "LD_PRELOAD": str(library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_FORCE_MONOTONIC_FIX": "1",
            "NO_FAKE_STAT": "1",
        }
