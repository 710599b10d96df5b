"""Where and when the figures were taken, and the figures as a table or as JSON."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from tests.benchmarks.contest import Row

ROOT = Path(__file__).parents[2]
HEADINGS = ("benchmark", "case", "against", "ours", "theirs", "unit", "ratio", "range", "runs")


def now() -> str:
    """This moment, UTC, to the second."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def commit() -> str:
    """Short hash of the commit, with a word where measured code differs from it."""
    head = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", "ingest", "processors", "tests/benchmarks")
    return f"{head} with uncommitted changes" if changed else head


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip() if done.returncode == 0 else "unknown"


@dataclass
class Report:
    """Rows with the machine, the commit and the load of the machine when the run began and ended."""

    rows: list[Row] = field(default_factory=list)
    began: str = field(default_factory=now)
    measured_commit: str = field(default_factory=commit)
    load_began: tuple[float, ...] = field(default_factory=os.getloadavg)

    def conditions(self) -> dict[str, object]:
        """What one must know to judge the figures."""
        return {
            "began": self.began,
            "ended": now(),
            "commit": self.measured_commit,
            "machine": machine(),
            "load_average_began": [round(load, 1) for load in self.load_began],
            "load_average_ended": [round(load, 1) for load in os.getloadavg()],
        }

    def as_json(self) -> str:
        """One object: conditions and rows."""
        return json.dumps({**self.conditions(), "rows": [asdict(row) for row in self.rows]}, indent=1)

    def as_table(self) -> str:
        """Conditions, then a table in Markdown."""
        lines = [f"{name.replace('_', ' ')}: {value}" for name, value in self.conditions().items()]
        notes = dict.fromkeys(f"- {row.benchmark}, {row.case}: {note}" for row in self.rows for note in row.notes)
        return "\n".join([*lines, "", *table([HEADINGS, *(cells(row) for row in self.rows)]), "", *notes])


def cells(row: Row) -> tuple[str, ...]:
    """A row as the table shows it."""
    shown = f"{row.ratio_low:.2f}-{row.ratio_high:.2f}"
    figures = (f"{row.ours:,.2f}", f"{row.theirs:,.2f}", row.unit, f"{row.ratio:.2f}", shown, str(row.runs))
    return (row.benchmark, row.case, row.against, *figures)


def table(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows as lines of a Markdown table; the first row is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return [lines[0], rule, *lines[1:]]


def machine() -> str:
    """Processor, cores, memory and Python."""
    facts = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if sys.platform == "linux" else []
    model = next(
        (line.partition(":")[2].strip() for line in facts if line.startswith("model name")), platform.machine()
    )
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {memory_gib:.0f} GiB, {platform.system()}, Python {platform.python_version()}"
