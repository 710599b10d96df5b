"""Programs started in the background and found again: a record on disk that names the process beyond doubt.

A pid alone is not enough: after a reboot or a day it may be another program's, and that one must never be killed.
A record also holds the start time in kernel ticks and the boot id; the three together are never reused.
"""

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from deploy.local.trouble import Trouble

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
LOG_LIMIT_BYTES = 20_000_000
_POLL_S = 0.02
_KILL_BUDGET_S = 10.0
_REAP_BUDGET_S = 5.0


@dataclass(frozen=True, slots=True)
class ProcessRecord:
    """A started program. `start_ticks` is field 22 of /proc/PID/stat, `started_at_s` is Unix time."""

    name: str
    pid: int
    start_ticks: int
    boot_id: str
    started_at_s: float
    command: list[str]
    port: int
    log: str


def start(
    name: str,
    command: Sequence[str],
    *,
    folder: Path,
    working: Path,
    log: Path,
    environment: Mapping[str, str],
    port: int,
    uid: int | None,
) -> ProcessRecord:
    """Start a program in a session of its own, as `uid` where given, its output appended to `log`; keep its record.

    Raises Trouble where it cannot be started at all.
    """
    identity = {} if uid is None else {"user": uid, "group": uid, "extra_groups": []}
    rotate(log)
    with log.open("ab") as output:
        try:
            process = subprocess.Popen(
                list(command), stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=working,
                env=clean_environment(environment), start_new_session=True, **identity,  # type: ignore[call-overload]
            )  # fmt: skip
        except OSError as error:
            msg = f"cannot start {name}: {command[0]}: {error.strerror}; remove the folder it is in and start again"
            raise Trouble(msg) from None
    ticks = start_ticks(process.pid)
    record = ProcessRecord(
        name, process.pid, -1 if ticks is None else ticks, _boot_id(), time.time(), list(command), port, str(log)
    )
    save(record, folder)
    process.returncode = 0  # silences Popen's warning about a child left running: `is_alive` reaps it
    return record


def rotate(log: Path, limit_bytes: int = LOG_LIMIT_BYTES) -> None:
    """Put a long log aside as `<log>.1`, so that a stack started again and again does not fill the disk."""
    if log.exists() and log.stat().st_size > limit_bytes:
        log.replace(log.with_name(f"{log.name}.1"))


def clean_environment(extra: Mapping[str, str]) -> dict[str, str]:
    """The caller's environment, without what would change the libraries or settings our programs load, plus `extra`."""
    unwanted = ("LD_", "PG", "JAVA_TOOL", "_JAVA", "JDK_JAVA", "KAFKA_")
    return {k: v for k, v in os.environ.items() if not k.startswith(unwanted)} | dict(extra)


def save(record: ProcessRecord, folder: Path) -> None:
    """Write the record whole or not at all."""
    path = folder / f"{record.name}.json"
    beside = path.with_suffix(".json.new")
    beside.write_text(json.dumps(asdict(record)))
    beside.replace(path)


def load_all(folder: Path) -> dict[str, ProcessRecord]:
    """Every record in `folder` by name, oldest first; unreadable ones are left out."""
    records = []
    for path in folder.glob("*.json"):
        with contextlib.suppress(OSError, ValueError, TypeError):
            records.append(ProcessRecord(**json.loads(path.read_text())))
    return {record.name: record for record in sorted(records, key=lambda record: record.started_at_s)}


def forget(name: str, folder: Path) -> None:
    """Remove a record."""
    (folder / f"{name}.json").unlink(missing_ok=True)


def start_ticks(pid: int) -> int | None:
    """Start time of a live process in kernel ticks; None where there is none, or only its unreaped remains."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)  # ours to reap where we started it; a zombie would look alive
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    state, *fields = stat[stat.rindex(")") + 2 :].split()
    return None if state in "ZX" else int(fields[18])


def is_alive(record: ProcessRecord) -> bool:
    """Tell whether the very process of the record is running (stopped by SIGSTOP counts as running)."""
    return record.boot_id == _boot_id() and start_ticks(record.pid) == record.start_ticks


def send(record: ProcessRecord, number: signal.Signals, *, tree: bool = False) -> None:
    """Signal the process, with `tree` its descendants too; a process that is gone, or another's, is left alone."""
    if not is_alive(record):
        return
    for process in _family(record) if tree else [psutil.Process(record.pid)]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def stop(record: ProcessRecord, number: signal.Signals, budget_s: float) -> bool:
    """Ask the process to end by `number`, kill it and its descendants after `budget_s`; True where it ended by itself.

    Descendants are remembered first: a server's workers may have sessions of their own and outlive a killed parent.
    """
    if not is_alive(record):
        return True
    with contextlib.suppress(psutil.NoSuchProcess):
        family = _family(record)
        send(record, signal.SIGCONT, tree=True)  # a process paused by SIGSTOP would not hear the request
        send(record, number)
        ended = wait_for_end(record, budget_s)
        left = [process for process in family if _runs(process)]
        if not ended or (left and not _gone(left, _KILL_BUDGET_S if ended else 0)):
            for process in left:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            _gone(left, _KILL_BUDGET_S)
        return ended
    return True


def kill(record: ProcessRecord) -> None:
    """End the process and its descendants by SIGKILL, and wait until they are gone."""
    if not is_alive(record):
        return
    with contextlib.suppress(psutil.NoSuchProcess):
        family = _family(record)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        _gone(family, _KILL_BUDGET_S)
        _wait_until_reaped(record.pid)


def _wait_until_reaped(pid: int) -> None:
    """PostgreSQL takes the unreaped remains of its predecessor for a running server, and refuses to start."""
    deadline_s = time.monotonic() + _REAP_BUDGET_S
    while start_ticks(pid) is None and psutil.pid_exists(pid) and time.monotonic() < deadline_s:
        time.sleep(_POLL_S)


def wait_for_end(record: ProcessRecord, budget_s: float) -> bool:
    """Wait until the process is gone; False after `budget_s`."""
    deadline_s = time.monotonic() + budget_s
    while is_alive(record):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(_POLL_S)
    return True


def _family(record: ProcessRecord) -> list[psutil.Process]:
    process = psutil.Process(record.pid)
    return [*process.children(recursive=True), process]


def _gone(family: Sequence[psutil.Process], budget_s: float) -> bool:
    """Wait until none of them runs. One that ended and was not reaped counts as gone: a container's init may be slow."""
    deadline_s = time.monotonic() + budget_s
    while any(_runs(process) for process in family):
        if time.monotonic() > deadline_s:
            return False
        time.sleep(_POLL_S)
    return True


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _boot_id() -> str:
    return BOOT_ID.read_text().strip()
