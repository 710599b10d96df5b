"""Where the launcher keeps things. Standard library only: the bootstrap runs before there is a virtual environment."""

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
ROOT_HOME = Path("/var/lib/citynerve")
"""Where root keeps all: PostgreSQL refuses to run as root, and another uid could not enter /root."""


def is_root() -> bool:
    """Tell whether the process may change its uid."""
    return os.geteuid() == 0


def cache_folder() -> Path:
    """Folder of what can be fetched again: server programs, jars, pip's downloads. `CITYNERVE_CACHE` moves it."""
    if chosen := os.environ.get("CITYNERVE_CACHE"):
        return Path(chosen).absolute()
    if is_root():
        return ROOT_HOME / "cache"
    return _xdg("XDG_CACHE_HOME", ".cache") / "citynerve"


def data_folder() -> Path:
    """Folder of what cannot be fetched again: the stacks' data, logs and process records. `CITYNERVE_DATA` moves it."""
    if chosen := os.environ.get("CITYNERVE_DATA"):
        return Path(chosen).absolute()
    if is_root():
        return ROOT_HOME
    return _xdg("XDG_DATA_HOME", ".local/share") / "citynerve"


def stack_folder(stack: str) -> Path:
    """Folder of one stack."""
    return data_folder() / "stacks" / stack


def _xdg(variable: str, fallback: str) -> Path:
    chosen = os.environ.get(variable)
    return Path(chosen).absolute() if chosen else Path.home() / fallback
