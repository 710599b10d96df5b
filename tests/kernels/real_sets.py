"""Real measurements with an independently computed truth, read by path from beside the repository."""

from __future__ import annotations

import csv
import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ingest.contract.sensor_kinds import Mean
from processors.contract.rows import WindowRows
from tests.kernels.window_cases import Readings, meta_of

DATA = Path(__file__).parents[3] / "shared" / "data"


def table(folder: str, name: str, delimiter: str = ",") -> Iterator[dict[str, str]]:
    """Rows of a file of a set; skips the test where the set is absent."""
    path = DATA / folder / name
    if not path.exists():
        pytest.skip(f"the data set {folder} is not at {DATA}")
    with path.open(encoding="utf-8-sig", newline="") as file:
        yield from csv.DictReader(file, delimiter=delimiter)


def us(text: str) -> int:
    """Microseconds of an ISO time; without a zone it is read as UTC (the file's own clock)."""
    moment = dt.datetime.fromisoformat(text)
    return round(moment.replace(tzinfo=moment.tzinfo or dt.UTC).timestamp() * 1_000_000)


class Series:
    """Readings by name of series, a moment of a series only once (the store refuses the second)."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self._values: dict[tuple[str, int], float] = {}

    def add(self, name: str, time_us: int, text: str) -> None:
        """One cell; an empty or missing one is none."""
        if text in {"", "?", "NA"}:
            return
        if name not in self.names:
            self.names.append(name)
        self._values.setdefault((name, time_us), float(text))

    def readings(self, seed: int = 11) -> Readings:
        """All of them in random order."""
        keys = list(self._values)
        np.random.default_rng(seed).shuffle(keys)
        n = len(keys)
        return Readings(
            meta_of([Mean.ARITHMETIC] * len(self.names)),
            np.array([self.names.index(name) for name, _ in keys], np.int32),
            np.array([time_us for _, time_us in keys], np.int64),
            np.array([self._values[key] for key in keys]),
            np.zeros(n, np.int32),
        )

    def by_window(self, rows: WindowRows) -> dict[tuple[str, int], dict[str, float]]:
        """Rows by (series name, window start)."""
        names = {1000 - 7 * at: name for at, name in enumerate(self.names)}
        columns = ("count", "mean", "min", "max", "last", "p50", "p95")
        return {
            (names[int(rows.series_id[at])], int(rows.start_us[at])): {
                column: float(getattr(rows, column)[at]) for column in columns
            }
            for at in range(len(rows))
        }


def agree(value: float, truth: str) -> None:
    """Equal to the truth to 1e-9, or to the twelve digits it is written with where that is less."""
    assert value == pytest.approx(float(truth), rel=1e-9, abs=1e-9)
