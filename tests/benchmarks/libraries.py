"""The libraries compared with, in a folder of their own beside the environment: neither `make setup-dev` nor mypy sees them."""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

from deploy.local.bootstrap import pip_command, run_pip
from deploy.local.progress import say, step
from deploy.local.trouble import Trouble

LOCK = Path(__file__).with_name("requirements.lock")
BYTEWAX_LOCK = Path(__file__).with_name("bytewax.lock")


def provide() -> None:
    """Put polars, pandas and ddsketch on the path; installs them by pip, checked against their hashes, where the lock is new.

    Raises:
        Trouble: pip could not install them.
    """
    _provide(LOCK, "benchmark-libraries")


def provide_bytewax() -> str | None:
    """Put Bytewax on the path; its name and version, None (and a sentence) where it has no wheel for this Python or processor."""
    try:
        _provide(BYTEWAX_LOCK, "benchmark-bytewax")
    except Trouble as trouble:
        say(f"Bytewax is left out: {trouble}")
        return None
    return "Bytewax " + BYTEWAX_LOCK.read_text(encoding="utf-8").split()[0].partition("==")[2]


def _provide(lock: Path, name: str) -> None:
    folder = Path(sys.prefix) / name
    stamp = folder / "citynerve-stamp"
    wanted = hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        arguments = ["install", "--require-hashes", "--no-deps", "--only-binary=:all:", "--target", str(folder)]
        with step("libraries to compare with, by pip, checked against their hashes"):
            run_pip(pip_command(Path(sys.prefix)), [*arguments, "-r", str(lock)], lock.name)
        stamp.write_text(wanted, encoding="utf-8")
    sys.path.append(str(folder))
