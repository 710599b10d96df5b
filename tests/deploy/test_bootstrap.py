"""The bootstrap: what makes it run again, and what it says when something is missing."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import bootstrap
from deploy.local.places import REPOSITORY
from deploy.local.trouble import Trouble


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small repository whose pip is replaced by a record."""
    for name in ("pyproject.toml", "requirements.lock", "requirements-dev.lock"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(bootstrap, "REPOSITORY", tmp_path)
    monkeypatch.setattr(bootstrap, "RUN_LOCK", tmp_path / "requirements.lock")
    monkeypatch.setattr(bootstrap, "NEEDED_MB", {tmp_path / f"requirements{kind}.lock": 1 for kind in ("", "-dev")})
    return tmp_path


@pytest.fixture
def installed(repository: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What pip was asked to install."""
    asked: list[str] = []

    def make(venv: Path) -> None:
        venv.mkdir(exist_ok=True)

    monkeypatch.setattr(bootstrap, "make_venv", make)
    monkeypatch.setattr(bootstrap, "pip_command", lambda venv: [str(venv)])
    monkeypatch.setattr(bootstrap, "run_pip", lambda pip, arguments, what: asked.append(what))  # noqa: ARG005
    assert repository.is_dir()
    return asked


def test_a_second_run_does_nothing_until_the_lock_changes(repository: Path, installed: list[str]) -> None:
    lock = repository / "requirements.lock"
    bootstrap.set_up(repository / ".venv", lock)
    assert installed == ["requirements.lock", "CityNerve"]
    bootstrap.set_up(repository / ".venv", lock)
    assert len(installed) == 2
    lock.write_text("changed")
    bootstrap.set_up(repository / ".venv", lock)
    assert len(installed) == 4


def test_what_tests_need_includes_what_a_demo_needs(repository: Path, installed: list[str]) -> None:
    bootstrap.set_up(repository / ".venv", repository / "requirements-dev.lock")
    bootstrap.set_up(repository / ".venv", repository / "requirements.lock")
    assert installed == ["requirements-dev.lock", "CityNerve"]


def test_a_failing_pip_is_one_sentence(repository: Path) -> None:
    pip = [
        sys.executable,
        "-c",
        "import sys; print('noise\\nERROR: no such host\\nmore', file=sys.stderr); sys.exit(1)",
    ]
    with pytest.raises(Trouble, match=r"^pip could not install the lock: ERROR: no such host; check the network"):
        bootstrap.run_pip(pip, [], "the lock")
    assert repository.is_dir()


def test_an_old_python_is_told_which_it_needs() -> None:
    program = (
        "import runpy, sys; sys.version_info = (3, 10, 2, 'final', 0); sys.argv = ['bootstrap.py'];"
        f"runpy.run_path({str(REPOSITORY / 'deploy/local/bootstrap.py')!r}, run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "needs Python 3.11 or later" in done.stderr
    assert "is 3.10; name a newer one" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_python_without_ensurepip_gets_an_environment_without_pip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ensurepip.py").write_text("raise ImportError('Debian ships none')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    bootstrap.make_venv(tmp_path / "venv")
    assert (tmp_path / "venv/bin/python").exists()
    assert not (tmp_path / "venv/bin/pip").exists()


def test_the_locks_hold_hashes_and_no_addresses() -> None:
    for lock in (bootstrap.RUN_LOCK, bootstrap.DEV_LOCK):
        text = lock.read_text()
        assert "://" not in text
        pinned = [line for line in text.splitlines() if "==" in line and not line.lstrip().startswith("#")]
        assert len(pinned) > 20
        assert all(line.rstrip().endswith("\\") for line in pinned), "a pin without hashes"


def test_both_locks_agree() -> None:
    def pins(lock: Path) -> set[str]:
        return {line.rstrip(" \\") for line in lock.read_text().splitlines() if "==" in line}

    assert pins(bootstrap.RUN_LOCK) <= pins(bootstrap.DEV_LOCK)
