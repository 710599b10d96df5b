"""Waiting until a started program answers, and what is said when it does not."""

import time
from collections.abc import Callable
from pathlib import Path

from deploy.local import processes
from deploy.local.processes import ProcessRecord
from deploy.local.trouble import Trouble

_POLL_S = 0.05
_SHOWN_LINES = 12


def wait_until_ready(record: ProcessRecord, probe: Callable[[], str | None], budget_s: float) -> float:
    """Return the seconds it took; raises Trouble with the log's end where the program ended or the budget ran out."""
    start_s = time.monotonic()
    while True:
        reason = probe()
        if not processes.is_alive(record):
            raise Trouble(failure(record, f"{record.name} ended while starting"))
        if reason is None:
            return time.monotonic() - start_s
        if time.monotonic() - start_s > budget_s:
            raise Trouble(failure(record, f"{record.name} was not ready within {budget_s:.0f} s: {reason}"))
        time.sleep(_POLL_S)


def failure(record: ProcessRecord, sentence: str) -> str:
    """The sentence, then the end of the program's log."""
    lines = last_lines(Path(record.log))
    shown = "".join(f"\n    {line}" for line in lines)
    return f"{sentence}; the end of {record.log}:{shown}" if lines else f"{sentence}; its log {record.log} is empty"


def last_lines(log: Path, count: int = _SHOWN_LINES) -> list[str]:
    """The last lines of a log, at most 200 characters each."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 16_384))
            text = file.read().decode(errors="replace")
    except OSError:
        return []
    return [line[:200] for line in text.splitlines() if line.strip()][-count:]
