"""Background programs: found again beyond doubt, and ended for certain."""

import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from deploy.local import processes
from deploy.local.processes import ProcessRecord
from deploy.local.trouble import Trouble

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
DEAF_PROGRAM = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print("up", flush=True)
time.sleep(60)
"""
DEAF = [sys.executable, "-c", DEAF_PROGRAM]


class Starter:
    """Starts programs in one folder and ends what is left."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.records: list[ProcessRecord] = []

    def __call__(self, name: str, command: list[str]) -> ProcessRecord:
        record = processes.start(
            name, command, folder=self.folder, working=self.folder, log=self.folder / f"{name}.log",
            environment={"MARK": "yes"}, port=1, uid=None,
        )  # fmt: skip
        self.records.append(record)
        self._wait_for_output(record)
        return record

    @staticmethod
    def _wait_for_output(record: ProcessRecord) -> None:
        deadline_s = time.monotonic() + 10
        while not Path(record.log).read_text():
            assert time.monotonic() < deadline_s, "the program did not start"
            time.sleep(0.01)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Starter]:
    starter = Starter(tmp_path)
    yield starter
    for record in starter.records:
        processes.stop(record, signal.SIGKILL, 5)


def test_a_record_finds_its_process_again(start: Starter, tmp_path: Path) -> None:
    record = start("sleeper", SLEEPER)
    assert processes.load_all(tmp_path) == {"sleeper": record}
    assert processes.is_alive(record)
    assert Path(record.log).read_text() == "up\n"


def test_a_reused_pid_is_neither_alive_nor_ever_killed(start: Starter) -> None:
    record = start("sleeper", SLEEPER)
    earlier = replace(record, start_ticks=record.start_ticks - 1)
    other_boot = replace(record, boot_id="another boot")
    for stranger in (earlier, other_boot):
        assert not processes.is_alive(stranger)
        processes.send(stranger, signal.SIGKILL)
        assert processes.stop(stranger, signal.SIGKILL, 1)
    assert processes.is_alive(record)


def test_a_process_that_ended_is_not_alive_although_its_parent_has_not_waited(start: Starter) -> None:
    record = start("sleeper", SLEEPER)
    os.kill(record.pid, signal.SIGKILL)
    assert processes.wait_for_end(record, 5)


def test_stop_asks_and_the_program_ends(start: Starter) -> None:
    record = start("sleeper", SLEEPER)
    assert processes.stop(record, signal.SIGTERM, 5)
    assert not processes.is_alive(record)


def test_a_deaf_program_is_killed_after_its_budget_with_children_of_other_sessions(start: Starter) -> None:
    record = start("deaf", DEAF)
    child = psutil.Process(record.pid).children()[0]
    assert not processes.stop(record, signal.SIGTERM, 0.3)
    assert not processes.is_alive(record)
    assert not processes._runs(child)


def test_a_paused_program_can_be_stopped(start: Starter) -> None:
    record = start("sleeper", SLEEPER)
    processes.send(record, signal.SIGSTOP, tree=True)
    assert processes.is_alive(record)
    assert processes.stop(record, signal.SIGTERM, 5)


def test_the_program_has_a_session_of_its_own_so_ctrl_c_does_not_reach_it(start: Starter) -> None:
    record = start("sleeper", SLEEPER)
    assert os.getsid(record.pid) == record.pid


def test_variables_that_change_what_is_loaded_are_kept_from_our_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LD_LIBRARY_PATH", "PGHOST", "JAVA_TOOL_OPTIONS", "KAFKA_HEAP_OPTS"):
        monkeypatch.setenv(name, "/elsewhere")
    monkeypatch.setenv("CITYNERVE_KAFKA__PARTITIONS", "2")
    environment = processes.clean_environment({"ADDED": "1"})
    assert not {"LD_LIBRARY_PATH", "PGHOST", "JAVA_TOOL_OPTIONS", "KAFKA_HEAP_OPTS"} & set(environment)
    assert environment["CITYNERVE_KAFKA__PARTITIONS"] == "2"
    assert environment["ADDED"] == "1"


def test_a_program_that_is_not_there_is_told_in_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(Trouble, match="cannot start ghost: /no/such/program: No such file or directory; remove"):
        processes.start(
            "ghost", ["/no/such/program"], folder=tmp_path, working=tmp_path, log=tmp_path / "log",
            environment={}, port=1, uid=None,
        )  # fmt: skip


def test_a_long_log_is_put_aside_at_the_next_start(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    log.write_text("a" * 100)
    processes.rotate(log, limit_bytes=100)
    assert log.exists()
    processes.rotate(log, limit_bytes=99)
    assert not log.exists()
    assert (tmp_path / "server.log.1").read_text() == "a" * 100


def test_an_unreadable_record_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "broken.json").write_text('{"name": "broken", "pid"')
    (tmp_path / "foreign.json").write_text('{"something": "else"}')
    assert processes.load_all(tmp_path) == {}
