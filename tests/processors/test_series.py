"""Interning of (device, metric)."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.contract.topics import partition_of
from processors.series import BAD_DEVICE, METRIC_LIST, UNKNOWN_METRIC, WRONG_PARTITION, KnownSeries, SeriesTable

NAMES = [metric.name for metric in METRIC_LIST[:5]]


def resolve(table: SeriesTable, pairs: list[tuple[str, str]], partition: int = 0) -> list[int]:
    devices, metrics = sorted({d for d, _ in pairs}), sorted({m for _, m in pairs})
    codes = np.array([devices.index(d) for d, _ in pairs], np.int32)
    found = table.resolve(devices, metrics, codes, np.array([metrics.index(m) for _, m in pairs], np.int16), partition)
    return [int(series) for series in found]


@given(st.lists(st.tuples(st.integers(0, 300), st.sampled_from(NAMES)), min_size=1), st.integers(1, 5))
def test_a_pair_has_one_index_for_ever_whatever_comes_between(pairs: list[tuple[int, str]], parts: int) -> None:
    table, known = SeriesTable(1), dict[tuple[str, str], int]()
    named = [(f"dev-{device}", metric) for device, metric in pairs]
    for part in range(parts):
        some = named[part::parts]
        for pair, series in zip(some, resolve(table, some) if some else [], strict=True):
            assert known.setdefault(pair, series) == series
    assert len(set(known.values())) == len(known) == len(table)
    waiting = table.take_waiting()
    assert {(new.device, new.metric.name): new.index for new in waiting} == known
    assert table.take_waiting() == []


def test_what_cannot_be_a_series_says_why() -> None:
    table = SeriesTable(4)
    home = partition_of("dev-1", 4)
    pairs = [("dev-1", "pm2_5"), ("dev-1", "no_such"), ("", "pm2_5"), ("x" * 201, "pm2_5"), ("a\0b", "pm2_5")]
    assert resolve(table, pairs, home) == [0, UNKNOWN_METRIC, BAD_DEVICE, BAD_DEVICE, BAD_DEVICE]
    assert resolve(table, [("dev-1", "pm2_5")], (home + 1) % 4) == [WRONG_PARTITION]
    assert len(table) == 1


def test_ids_learned_from_the_database_are_found_both_ways() -> None:
    table = SeriesTable(1)
    assert resolve(table, [("dev-1", "pm2_5"), ("dev-2", "pm2_5")]) == [0, 1]
    table.learn(
        [KnownSeries(5000, 7, "dev-2", "pm2_5", 0, 30, 0), KnownSeries(12, 7, "dev-3", "pm10", 0, 60, 0)], fresh=True
    )
    assert [new.device for new in table.take_waiting()] == ["dev-1"]
    assert table.index_of(np.array([5000, 12], np.int32)).tolist() == [1, 2]
    assert table.column("interval_s").tolist() == [0, 30, 60]
    assert table.column("loaded").tolist() == [False, True, True]
