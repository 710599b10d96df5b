"""What the launcher knows of a server before it starts: how to prepare, start, ask and stop it."""

import os
import pwd
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from string import Template

from deploy.local.cache_entry import make_folder
from deploy.local.places import is_root
from deploy.local.ports import Ports
from deploy.local.provision import Programs

UNPRIVILEGED = "nobody"


@dataclass(frozen=True, slots=True)
class Place:
    """Folders of one stack: `data/<server>`, `run` (records, rendered configuration), `logs`."""

    folder: Path

    @property
    def run(self) -> Path:
        """Process records and rendered configuration files."""
        return self.folder / "run"

    @property
    def logs(self) -> Path:
        """One log file for each process."""
        return self.folder / "logs"

    def data(self, server: str) -> Path:
        """A server's data."""
        return self.folder / "data" / server

    def make(self) -> None:
        """Make the folders."""
        for folder in (self.folder, self.run, self.logs, self.folder / "data"):
            make_folder(folder)


@dataclass(frozen=True, slots=True)
class Server:
    """One server of the stack.

    `prepare` makes its data folder and configuration (a second time changes nothing) and returns its command line, of
    which the first is the program; it runs in the folder of the servers' prefix;
    `probe(port)` returns None when it is ready, else why not; the first of `ports` is the one it is asked at.
    """

    name: str
    prepare: Callable[[Place, Ports, Programs], list[str]]
    probe: Callable[[int], str | None]
    ports: tuple[str, ...]
    unprivileged: bool = True
    stop_signal: signal.Signals = signal.SIGTERM
    stop_budget_s: float = 20.0
    ready_budget_s: float = 60.0


def unprivileged_uid() -> int | None:
    """The uid servers run as when we are root, None when we are an ordinary user and they run as us."""
    return pwd.getpwnam(UNPRIVILEGED).pw_uid if is_root() else None


def make_data_folder(folder: Path, *, private: bool = False) -> None:
    """Make a server's data folder, owned by the uid the server runs as."""
    make_folder(folder)
    folder.chmod(0o700 if private else 0o755)
    uid = unprivileged_uid()
    if uid is not None:
        os.chown(folder, uid, uid)


def render(template: Path, target: Path, **values: object) -> Path:
    """Write a configuration file from its template in deploy/ with `$name` replaced; every name must be given."""
    text = Template(template.read_text()).substitute({name: str(value) for name, value in values.items()})
    target.write_text(text)
    return target


def remove_data(folder: Path) -> None:
    """Remove a stack's data for `--fresh`."""
    shutil.rmtree(folder, ignore_errors=True)
