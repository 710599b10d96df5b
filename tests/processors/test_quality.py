"""Stuck sensors: found in the real Ghent set, never twice judged, and the same however the stream is cut."""

from __future__ import annotations

import csv
import datetime as dt
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.contract.reading import Flag
from processors.quality import OFF, StuckLimit, StuckRuns, judge_stuck, limits_of

GHENT = Path(__file__).parents[3] / "shared" / "data" / "ghent_vlinder_weather"
MINUTE = 60_000_000
FAST = {"air_temperature": StuckLimit(min_count=3, min_duration_s=120)}


def flags_of(values: list[float], *, metric: str = "air_temperature", step_s: int = 60) -> list[bool]:
    n = len(values)
    time_us = np.arange(n, dtype=np.int64) * step_s * 1_000_000
    limits = limits_of([metric], {metric: StuckLimit(3, 120)})
    judged = judge_stuck(limits, StuckRuns.none(1), np.zeros(n, np.int32), time_us, np.array(values))
    assert set(judged.flags.tolist()) <= {0, int(Flag.STUCK)}
    return [bool(flag) for flag in judged.flags.tolist()]


def test_a_run_is_stuck_from_the_reading_that_makes_it_long_enough() -> None:
    assert flags_of([20.0, 21, 21, 21, 21, 22]) == [False, False, False, True, True, False]


def test_a_run_needs_its_duration_too() -> None:
    assert flags_of([21.0] * 6, step_s=30) == [False, False, False, False, True, True]


def test_counters_two_valued_metrics_and_metrics_without_a_limit_are_never_stuck() -> None:
    for metric in ("energy_total", "lamp_on"):
        assert not any(flags_of([0.5] * 9, metric=metric))
    assert limits_of(["battery_level", "no_such_metric"]).min_count.tolist() == [0, 0]
    assert limits_of(["air_temperature"], {"air_temperature": OFF}).min_count.tolist() == [0]


def test_a_value_at_the_end_of_its_range_is_at_rest() -> None:
    assert not any(flags_of([100.0] * 9, metric="relative_humidity"))
    assert not any(flags_of([0.0] * 9, metric="wind_speed"))
    assert any(flags_of([99.0] * 9, metric="relative_humidity"))


def test_series_of_a_kind_share_its_limits() -> None:
    by_kind = replace(limits_of(["battery_level", "air_temperature"], FAST), kind=np.array([1, 0, 1], np.int16))
    series, time_us = np.repeat(np.arange(3, dtype=np.int32), 3), np.tile(np.arange(3) * MINUTE, 3)
    judged = judge_stuck(by_kind, StuckRuns.none(3), series, time_us, np.full(9, 5.0))
    assert [bool(flag) for flag in judged.flags] == [False, False, True, False, False, False, False, False, True]


def test_runs_grow_with_room_and_keep_what_they_hold() -> None:
    runs = StuckRuns.none(100)
    runs.count[7] = 3
    wider = runs.extended(101)
    assert (len(wider.value), wider.count[7], wider.count[111]) == (112, 3, 0)
    assert wider.extended(112) is wider


def test_runs_go_on_over_calls_and_only_what_is_applied_counts() -> None:
    limits, runs = limits_of(["air_temperature"] * 2, FAST), StuckRuns.none(2)

    def judge(at: int) -> int:
        judged = judge_stuck(limits, runs, np.array([1], np.int32), np.array([at * MINUTE]), np.array([5.0]))
        if at != 2:  # the transaction of minute 2 failed
            runs.apply(judged)
        return int(judged.flags[0])

    assert [judge(at) for at in (0, 1, 2, 2, 3, 4)] == [0, 0, 64, 64, 64, 64]
    assert runs.count.tolist() == [0, 4]


def test_late_readings_and_second_values_of_a_moment_change_nothing() -> None:
    limits, runs = limits_of(["air_temperature"], FAST), StuckRuns.none(1)
    time_us = np.array([0, 1, 1, 0, 2, 3]) * MINUTE
    values = np.array([7.0, 7, 8, 9, 7, 7])
    judged = judge_stuck(limits, runs, np.zeros(6, np.int32), time_us, values)
    assert judged.flags.tolist() == [0, 0, 0, 0, 64, 64]


def test_new_series_start_without_a_run() -> None:
    limits, runs = limits_of(["air_temperature"], FAST), StuckRuns.none(1)
    runs.apply(judge_stuck(limits, runs, np.zeros(2, np.int32), np.array([0, MINUTE]), np.array([1.0, 1.0])))
    wider = runs.extended(3)
    assert wider.count.tolist() == [2, 0, 0]
    judged = judge_stuck(
        limits_of(["air_temperature"] * 3, FAST),
        wider,
        np.array([2, 0], np.int32),
        np.array([0, 2 * MINUTE]),
        np.ones(2),
    )
    assert judged.flags.tolist() == [0, 64]
    nothing = judge_stuck(limits, runs, np.empty(0, np.int32), np.empty(0, np.int64), np.empty(0))
    assert len(nothing.flags) == len(nothing.series) == 0


@settings(max_examples=150, deadline=None)
@given(
    arrivals=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12), st.sampled_from([1.0, 2.0])), max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=4),
)
def test_flags_are_those_of_a_loop_over_the_arrivals_however_they_are_cut(
    arrivals: list[tuple[int, int, float]], cuts: list[int]
) -> None:
    state: dict[int, tuple[float, int, int, int]] = {}  # value, since, count, last
    expected = []
    for series, minute, value in arrivals:
        run = state.get(series)
        if run is not None and minute <= run[3]:
            expected.append(0)
            continue
        since, count = (run[1], run[2] + 1) if run is not None and run[0] == value else (minute, 1)
        state[series] = (value, since, count, minute)
        expected.append(64 if count >= 3 and minute - since >= 2 else 0)
    limits, runs = limits_of(["air_temperature"] * 3, FAST), StuckRuns.none(3)
    got: list[int] = []
    edges = [0, *sorted(min(cut, len(arrivals)) for cut in cuts), len(arrivals)]
    for begin, end in pairwise(edges):
        part = arrivals[begin:end]
        judged = judge_stuck(
            limits,
            runs,
            np.array([series for series, _, _ in part], np.int32),
            np.array([minute * MINUTE for _, minute, _ in part], np.int64),
            np.array([value for _, _, value in part], np.float64),
        )
        runs.apply(judged)
        got += judged.flags.tolist()
    assert got == expected


@pytest.mark.parametrize("wrong", [(1, 10), (-2, 10), (3, -1)])
def test_a_limit_that_makes_no_sense_is_refused(wrong: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="min_count must be 0"):
        StuckLimit(*wrong)


def test_the_real_stuck_runs_of_ghent_are_flagged_and_hardly_anything_else() -> None:
    if not GHENT.exists():
        pytest.skip(f"the data set is not at {GHENT}")
    flagged = _flagged_temperatures()
    truth = list(csv.DictReader((GHENT / "derived_stuck_runs.csv").read_text().splitlines()))
    assert len(truth) == 12
    explained: set[tuple[str, int]] = set()
    for run in truth:
        first, last = _us(run["first"]), _us(run["last"])
        due = range(first + 10_800_000_000, last + 1, 300_000_000)
        missing = [at for at in due if (run["station"], at) not in flagged]
        assert missing == [], run
        # other channels may move a little before or after: the temperature alone stood for up to a quarter of an hour longer
        explained |= {(run["station"], at) for at in range(first, last + 2_400_000_000, 300_000_000)}
    beyond = flagged - explained
    assert len(beyond) < 0.01 * len(flagged), sorted(beyond)


@pytest.mark.parametrize(
    ("column", "metric"), [("TEMP", "air_temperature"), ("PM2.5", "pm2_5"), ("NO2", "no2"), ("WSPM", "wind_speed")]
)
def test_two_years_of_beijing_air_are_hardly_ever_flagged(column: str, metric: str) -> None:
    path = GHENT.parent / "beijing_multisite_air" / "Dongsi_2013-03_2015-02.csv"
    if not path.exists():
        pytest.skip(f"the data set is not at {path}")
    rows = [row for row in csv.DictReader(path.read_text().splitlines()) if row[column] != "NA"]
    hours = [f"{row['year']}-{int(row['month']):02}-{int(row['day']):02}T{int(row['hour']):02}:00Z" for row in rows]
    time_us = np.array([_us(hour) for hour in hours])
    values = np.array([float(row[column]) for row in rows])
    judged = judge_stuck(limits_of([metric]), StuckRuns.none(1), np.zeros(len(rows), np.int32), time_us, values)
    assert np.count_nonzero(judged.flags) < 0.004 * len(rows)


def _us(text: str) -> int:
    return round(dt.datetime.fromisoformat(text).timestamp()) * 1_000_000


def _flagged_temperatures() -> set[tuple[str, int]]:
    path = GHENT / "vlinder01-08_2022-09-01_06.csv"
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = [row for row in csv.DictReader(file, delimiter=";") if row["Temperatuur"]]
    stations = sorted({row["Vlinder"] for row in rows})
    series = np.array([stations.index(row["Vlinder"]) for row in rows], np.int32)
    time_us = np.array([_us(f"{row['Datum']}T{row['Tijd (UTC)']}Z") for row in rows])
    values = np.array([float(row["Temperatuur"]) for row in rows])
    judged = judge_stuck(
        limits_of(["air_temperature"] * len(stations)), StuckRuns.none(len(stations)), series, time_us, values
    )
    at = np.flatnonzero(judged.flags)
    return {(stations[int(series[one])], int(time_us[one])) for one in at}
