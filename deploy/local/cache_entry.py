"""Entries of the cache folder: built once, in a folder beside, moved into place whole, never by two processes at once.

Standard library only.
"""

import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.places import cache_folder
from deploy.local.progress import say
from deploy.local.trouble import Trouble

STAMP = "citynerve-stamp.json"
LOCK_BUDGET_S = 900


def cached(name: str, recipe: str, build: Callable[[Path, Path], None]) -> Path:
    """Return the cache entry `name` made by `recipe`, building it where it is absent or was made otherwise.

    `build(folder, final)` fills an empty folder, which is then moved to `final`. An entry also counts as made otherwise
    when the cache folder was moved, because programs hold their absolute place.
    """
    final = cache_folder() / name
    wanted = {"recipe": recipe, "place": str(final)}
    if _stamp_of(final) == wanted:
        return final
    with locked(name):
        if _stamp_of(final) == wanted:
            return final
        beside = f".{final.name}-"
        for left in final.parent.glob(f"{beside}*"):  # of a build that was killed: we hold the lock
            shutil.rmtree(left)
        folder = Path(tempfile.mkdtemp(prefix=beside, dir=final.parent))
        try:
            folder.chmod(0o755)
            build(folder, final)
            (folder / STAMP).write_text(json.dumps(wanted))
            if final.exists():
                shutil.rmtree(final)
            folder.rename(final)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return final


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock of one cache entry across processes."""
    path = cache_folder() / "locks" / f"{name.replace('/', '-')}.lock"
    make_folder(path.parent)
    make_folder((cache_folder() / name).parent)
    with path.open("w") as file:
        wait_for_lock(file.fileno(), f"another process is building {name}", LOCK_BUDGET_S)
        yield


def wait_for_lock(descriptor: int, why: str, budget_s: float) -> None:
    """Take an exclusive lock on an open file, saying once that it waits; raises Trouble after `budget_s`."""
    deadline_s = time.monotonic() + budget_s
    told = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline_s:
                msg = f"{why} for more than {budget_s:.0f} s; end it, then try again"
                raise Trouble(msg) from None
            if not told:
                say(f"{why}: waiting for it")
                told = True
            time.sleep(0.2)


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, readable for the uid that PostgreSQL runs as; raises Trouble where it cannot."""
    old = os.umask(0o022)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        remedy = "set CITYNERVE_CACHE and CITYNERVE_DATA to folders you may write to"
        msg = f"cannot make the folder {folder} ({error.strerror}); {remedy}"
        raise Trouble(msg) from None
    finally:
        os.umask(old)


def need_space(folder: Path, needed_mb: int, what: str) -> None:
    """Raise Trouble unless the disk under `folder` has room."""
    free_mb = shutil.disk_usage(folder).free // 1_000_000
    if free_mb < needed_mb:
        remedy = "free some, or set CITYNERVE_CACHE to a folder with room"
        msg = f"{what} needs {needed_mb} MB and the disk of {folder} has {free_mb} MB free; {remedy}"
        raise Trouble(msg)


def _stamp_of(folder: Path) -> dict[str, str] | None:
    try:
        stamp = json.loads((folder / STAMP).read_text())
    except (OSError, ValueError):
        return None
    return stamp if isinstance(stamp, dict) else None
