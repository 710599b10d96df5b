"""Makes the virtual environment: `python3 deploy/local/bootstrap.py [--dev]`. Standard library only; run by the Makefile.

Written so that a Python older than 3.11 gets as far as the sentence that says so.
"""

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
NEEDED_MB = {"requirements.lock": 900, "requirements-dev.lock": 1300}


def main() -> int:
    """Make or renew `.venv`; print one sentence and return 1 where something is missing."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--dev", action="store_true", help="also what tests and checks need")
    lock = "requirements-dev.lock" if parser.parse_args().dev else "requirements.lock"
    if sys.version_info < OLDEST_PYTHON:
        print(
            "CityNerve needs Python 3.11 or later and this is {}.{}; name another with `make PYTHON=/path/to/python3.12`".format(
                *sys.version_info[:2]
            ),
            file=sys.stderr,
        )
        return 1
    sys.path[:] = [str(REPOSITORY), *(entry for entry in sys.path if entry != str(Path(__file__).parent))]
    from deploy.local.trouble import Trouble  # noqa: PLC0415 - an older Python could not even parse some of ours

    try:
        set_up(REPOSITORY / ".venv", REPOSITORY / lock)
    except Trouble as trouble:
        print(trouble, file=sys.stderr)
        return 1
    return 0


def set_up(venv, lock):  # type: (Path, Path) -> None
    """Make the virtual environment hold exactly what `lock` pins, and the project itself; nothing to do where it does."""
    from deploy.local import progress  # noqa: PLC0415
    from deploy.local.cache_entry import need_space  # noqa: PLC0415
    from deploy.local.debian_apt import architecture  # noqa: PLC0415

    architecture()
    stamp = venv / "citynerve-stamp"
    wanted = digest(lock)
    if stamp.exists() and wanted in stamp.read_text().split():
        return
    need_space(REPOSITORY, NEEDED_MB[lock.name], "the virtual environment")
    python = venv / "bin/python"
    with progress.step("virtual environment with Python {}.{}".format(*sys.version_info[:2])):
        fresh = not _is_of_this_python(python)
        pip = make_venv(venv, python) if fresh else _pip_of(python)
    with progress.step("libraries of {} (by pip, checked against their hashes)".format(lock.name)):
        _pip(pip, ["install", "--require-hashes", "--no-deps", "--only-binary=:all:", "-r", str(lock)], lock.name)
    with progress.step("CityNerve itself"):
        _pip(pip, ["install", "--no-deps", "--no-build-isolation", "--no-index", "-e", str(REPOSITORY)], "CityNerve")
    done = {wanted}
    if lock.name == "requirements-dev.lock":
        done.add(digest(lock.with_name("requirements.lock")))  # what tests need includes what the demo needs
    stamp.write_text("\n".join(sorted(done)) + "\n")


def digest(lock):  # type: (Path) -> str
    """What decides whether the environment must be renewed: lock, project file and Python."""
    content = lock.read_bytes() + (REPOSITORY / "pyproject.toml").read_bytes() + sys.version.encode() + sys.prefix.encode()
    return hashlib.sha256(content).hexdigest()


def make_venv(venv, python):  # type: (Path, Path) -> list[str]
    """Make an empty environment; return the command that runs pip in it.

    Debian's python3 has no ensurepip without the package python3-venv. Its pip then comes out of Debian's package
    python3-pip-whl, downloaded as an ordinary user, and is run straight from the wheel.
    """
    shutil.rmtree(venv, ignore_errors=True)
    made = subprocess.run([sys.executable, "-m", "venv", str(venv)], capture_output=True, text=True, check=False)
    if made.returncode == 0:
        return [str(python), "-m", "pip"]
    shutil.rmtree(venv, ignore_errors=True)
    made = subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(venv)], capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        from deploy.local.trouble import Trouble  # noqa: PLC0415

        last = ((made.stderr + made.stdout).strip().splitlines() or ["no reason given"])[-1]
        raise Trouble("cannot make the virtual environment {}: {}".format(venv, last))
    return _pip_of(python)


def _pip_of(python):  # type: (Path) -> list[str]
    """Command of pip for an environment: its own, else Debian's wheel, kept beside the environment."""
    own = subprocess.run([str(python), "-m", "pip", "--version"], capture_output=True, check=False)
    if own.returncode == 0:
        return [str(python), "-m", "pip"]
    kept = python.parents[1] / "pip-wheel"
    wheels = sorted(kept.glob("pip-*.whl")) or [_fetch_pip(kept)]
    return [str(python), str(wheels[-1] / "pip")]


def _fetch_pip(kept):  # type: (Path) -> Path
    from deploy.local import progress  # noqa: PLC0415
    from deploy.local.debian_apt import Apt  # noqa: PLC0415

    progress.say("this Python has no ensurepip: taking pip out of Debian's package python3-pip-whl")
    kept.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="citynerve-pip-") as work:
        apt = Apt(Path(work) / "apt")
        apt.update()
        archive = apt.download(["python3-pip-whl"], Path(work) / "archives")[0]
        subprocess.run(["dpkg", "-x", str(archive), work + "/unpacked"], check=True)
        wheel = next(Path(work).glob("unpacked/usr/share/python-wheels/pip-*.whl"))
        return Path(shutil.copy(wheel, kept))


def _pip(pip, arguments, what):  # type: (list[str], list[str], str) -> None
    from deploy.local.trouble import Trouble  # noqa: PLC0415

    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(
        [*pip, "--disable-pip-version-check", "--no-input", "-q", *arguments],
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.startswith("ERROR:")]
        reason = (lines or (done.stderr + done.stdout).strip().splitlines() or ["no reason given"])[0]
        raise Trouble("pip could not install {}: {}; check the network and the disk, then try again".format(what, reason))


def _is_of_this_python(python):  # type: (Path) -> bool
    if not python.exists():
        return False
    said = subprocess.run(
        [str(python), "-c", "import sys; print(sys.base_prefix, sys.version_info[:2])"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return said.stdout.strip() == "{} {}".format(sys.base_prefix, tuple(sys.version_info[:2]))


if __name__ == "__main__":
    sys.exit(main())
