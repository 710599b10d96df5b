"""The command line: help, mistakes and exit codes, as a shell sees them."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.cli import COMMANDS


def citynerve(*arguments: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    base = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "CITYNERVE_DATA": str(folder / "data")}
    return subprocess.run(
        [sys.executable, "-m", "deploy.cli", *arguments], capture_output=True, text=True, cwd=folder,
        env=base | environment, timeout=60, check=False,
    )  # fmt: skip


def test_help_names_every_command_and_shows_an_example(tmp_path: Path) -> None:
    done = citynerve("--help", folder=tmp_path)
    assert done.returncode == 0
    assert "Example: citynerve up" in done.stdout
    for name in COMMANDS:
        assert f"\n  {name} " in done.stdout, name


def test_help_imports_none_of_the_heavy_libraries(tmp_path: Path) -> None:
    program = (
        "import sys, deploy.cli\n"
        "try: deploy.cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print([name for name in ('numpy', 'pyarrow', 'aiokafka', 'asyncpg', 'fastapi') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize("command", ["up", "down", "status"])
def test_every_command_of_the_stack_has_help_with_an_example(command: str, tmp_path: Path) -> None:
    done = citynerve(command, "--help", folder=tmp_path)
    assert done.returncode == 0
    assert f"Example: citynerve {command}" in done.stdout


def test_an_unknown_command_is_bad_usage(tmp_path: Path) -> None:
    done = citynerve("fly", folder=tmp_path)
    assert done.returncode == 2
    assert "No such command 'fly'" in done.stderr


def test_a_settings_file_that_is_not_there_is_bad_usage(tmp_path: Path) -> None:
    done = citynerve("--config", "absent.toml", "status", folder=tmp_path)
    assert done.returncode == 2
    assert "there is no settings file absent.toml" in done.stderr


def test_wrong_settings_end_in_sentences_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "citynerve.toml").write_text('[local]\npostgres_port = "many"\nkafka_prot = 1\n')
    done = citynerve("status", folder=tmp_path)
    assert done.returncode == 2
    assert "[local] postgres_port" in done.stderr
    assert "[local] kafka_prot" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", ["up", "demo"])
def test_wrong_settings_of_any_service_are_told_before_a_server_starts(command: str, tmp_path: Path) -> None:
    (tmp_path / "citynerve.toml").write_text('[city]\ntime_zone = "Mars/Olympus"\n[ingest]\nflush_raedings = 1\n')
    done = citynerve(command, "--fresh", folder=tmp_path)
    assert done.returncode == 2
    assert "[city] time_zone: 'Mars/Olympus' is not an IANA time zone" in done.stderr
    assert "[ingest] flush_raedings: there is no such setting; citynerve.toml lists them all" in done.stderr
    assert "is ready" not in done.stderr


def test_a_mistyped_section_is_told_wherever_it_is_set(tmp_path: Path) -> None:
    (tmp_path / "citynerve.toml").write_text("[mqqt]\nport = 1\n")
    done = citynerve("status", folder=tmp_path, CITYNERVE_LOCALE__MQTT_PORT="1")
    assert done.returncode == 2
    assert "[mqqt]: there is no section mqqt; known are city, mqtt," in done.stderr
    assert "CITYNERVE_LOCALE__MQTT_PORT: there is no section locale" in done.stderr


def test_the_status_of_a_stack_that_is_down_says_how_to_start_it_and_exits_1(tmp_path: Path) -> None:
    done = citynerve("status", folder=tmp_path)
    assert done.returncode == 1
    assert "not running; start it with `citynerve up`" in done.stdout
    assert (
        citynerve("status", "--json", folder=tmp_path).stdout == '{"stack": "demo", "ready": false, "processes": []}\n'
    )


def test_down_when_down_is_no_trouble(tmp_path: Path) -> None:
    done = citynerve("down", folder=tmp_path)
    assert (done.returncode, done.stdout) == (0, "the stack demo was not running\n")


def test_a_stack_name_that_would_leave_its_folder_is_refused(tmp_path: Path) -> None:
    done = citynerve("status", "--stack", "../../etc", folder=tmp_path)
    assert done.returncode == 2
    assert "stack" in done.stderr
