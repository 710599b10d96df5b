"""Makes the virtual environment: `python3 deploy/local/bootstrap.py [--dev]`, run by the Makefile.

Standard library only, and written so that a Python older than 3.11 gets as far as the sentence that says so.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
OLDEST_PYTHON = (3, 11)
RUN_LOCK = REPOSITORY / "requirements.lock"
DEV_LOCK = REPOSITORY / "requirements-dev.lock"
NEEDED_MB = {RUN_LOCK: 900, DEV_LOCK: 1300}


def main() -> int:
    """Make or renew `.venv`; print one sentence and return 1 where something is missing."""
    parser = argparse.ArgumentParser(description="Make the virtual environment of CityNerve.")
    parser.add_argument("--dev", action="store_true", help="also what tests and checks need")
    lock = DEV_LOCK if parser.parse_args().dev else RUN_LOCK
    if sys.version_info < OLDEST_PYTHON:
        found = f"{sys.version_info[0]}.{sys.version_info[1]}"
        remedy = "name a newer one, for example `make demo PYTHON=/usr/bin/python3.12`"
        print(f"CityNerve needs Python 3.11 or later and {sys.executable} is {found}; {remedy}", file=sys.stderr)
        return 1
    # Our own folder must not hide modules of the standard library, and the repository must be found.
    sys.path[:] = [str(REPOSITORY), *(entry for entry in sys.path if entry != str(Path(__file__).parent))]
    from deploy.local.cache_entry import locked  # noqa: PLC0415 - an old Python cannot parse ours
    from deploy.local.trouble import Trouble  # noqa: PLC0415

    try:
        with locked("venv" + str(REPOSITORY).replace("/", "-")):
            set_up(REPOSITORY / ".venv", lock)
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted; start again and it goes on", file=sys.stderr)
        return 130
    return 0


def set_up(venv: Path, lock: Path) -> None:
    """Make `venv` hold what `lock` pins, and the project itself; nothing to do where it does already."""
    from deploy.local.cache_entry import need_space  # noqa: PLC0415
    from deploy.local.prerequisites import check_host  # noqa: PLC0415
    from deploy.local.progress import step  # noqa: PLC0415

    stamp = venv / "citynerve-stamp"
    wanted = digest(lock)
    if stamp.exists() and wanted in stamp.read_text().split():
        return
    check_host()
    need_space(REPOSITORY, NEEDED_MB[lock], "the virtual environment")
    python = venv / "bin/python"
    if not is_made_by_this_python(python):
        with step(f"virtual environment with Python {sys.version_info[0]}.{sys.version_info[1]}"):
            make_venv(venv)
    pip = pip_command(venv)
    with step(f"libraries of {lock.name}, by pip, checked against their hashes"):
        run_pip(pip, ["install", "--require-hashes", "--no-deps", "--only-binary=:all:", "-r", str(lock)], lock.name)
    with step("CityNerve itself"):
        run_pip(pip, ["install", "--no-deps", "--no-build-isolation", "-e", str(REPOSITORY)], "CityNerve")
    # What tests need includes what a demo needs.
    held = {wanted, digest(RUN_LOCK)}
    stamp.write_text("\n".join(sorted(held)) + "\n")


def digest(lock: Path) -> str:
    """What decides whether the environment must be renewed: lock, project file and Python."""
    parts = [lock.read_bytes(), (REPOSITORY / "pyproject.toml").read_bytes(), sys.version.encode(), sys.prefix.encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def make_venv(venv: Path) -> None:
    """Make an empty environment, without pip where this Python has none to give (Debian without python3-venv)."""
    command = [sys.executable, "-m", "venv", "--clear"]
    has_pip = (
        subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True, check=False).returncode == 0
    )
    if not has_pip:
        command.append("--without-pip")
    made = subprocess.run([*command, str(venv)], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        from deploy.local.trouble import Trouble  # noqa: PLC0415

        last = ((made.stderr + made.stdout).strip().splitlines() or ["no reason given"])[-1]
        message = f"cannot make the virtual environment {venv}: {last}; is the folder yours, and the disk not full?"
        raise Trouble(message)


def pip_command(venv: Path) -> list[str]:
    """The command of pip for an environment: its own, else pip run from Debian's wheel, kept beside the environment."""
    python = str(venv / "bin/python")
    own = subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=False)
    if own.returncode == 0:
        return [python, "-m", "pip"]
    kept = venv / "pip-wheel"
    wheels = sorted(kept.glob("pip-*.whl"))
    return [python, str((wheels[-1] if wheels else fetch_pip(kept)) / "pip")]


def fetch_pip(kept: Path) -> Path:
    """Take pip's wheel out of Debian's package python3-pip-whl, downloaded as an ordinary user."""
    from deploy.local.debian_apt import Apt, unpack  # noqa: PLC0415
    from deploy.local.progress import step  # noqa: PLC0415

    what = "this Python brings no pip: taking it out of Debian's package python3-pip-whl"
    with step(what), tempfile.TemporaryDirectory(prefix="citynerve-pip-") as work:
        apt = Apt(Path(work) / "apt")
        apt.update()
        archive = apt.download(["python3-pip-whl"], Path(work) / "archives")[0]
        unpack(archive, Path(work) / "unpacked")
        wheel = next(Path(work).glob("unpacked/usr/share/python-wheels/pip-*.whl"))
        kept.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(str(wheel), str(kept)))


def run_pip(pip: list[str], arguments: list[str], what: str) -> None:
    """Run pip quietly; raise Trouble with its first error line."""
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    command = [*pip, "--disable-pip-version-check", "--no-input", "-q", *arguments]
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, env=environment, check=False
    )
    if done.returncode != 0:
        from deploy.local.trouble import Trouble  # noqa: PLC0415

        said = (done.stderr + done.stdout).strip().splitlines()
        reason = ([line for line in said if line.startswith("ERROR:")] or said or ["no reason given"])[0]
        if "from versions: none" in reason:
            reason += " (the package index did not answer, or has nothing for this Python)"
        message = f"pip could not install {what}: {reason}; check the network and the disk, then try again"
        raise Trouble(message)


def is_made_by_this_python(python: Path) -> bool:
    """Tell whether an environment's Python is there and is the one that runs this."""
    if not python.exists():
        return False
    question = "import sys; print(sys.base_prefix, sys.version)"
    said = subprocess.run([str(python), "-c", question], capture_output=True, text=True, check=False)
    return said.stdout.strip() == f"{sys.base_prefix} {sys.version}"


if __name__ == "__main__":
    sys.exit(main())
