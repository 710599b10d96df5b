"""Interning of (device, metric)."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingest.contract.topics import partition_of
from processors.series import BAD_DEVICE, METRIC_LIST, NEVER_US, UNKNOWN_METRIC, WRONG_PARTITION, SeriesTable
from tests.processors.known import Row, known

NAMES = [metric.name for metric in METRIC_LIST[:5]]


def resolve(table: SeriesTable, pairs: list[tuple[str, str]], partition: int = 0) -> list[int]:
    devices, metrics = sorted({d for d, _ in pairs}), sorted({m for _, m in pairs})
    codes = np.array([devices.index(d) for d, _ in pairs], np.int32)
    found = table.resolve(devices, metrics, codes, np.array([metrics.index(m) for _, m in pairs], np.int16), partition)
    return [int(series) for series in found]


@given(st.lists(st.tuples(st.integers(0, 300), st.sampled_from(NAMES)), min_size=1), st.integers(1, 5))
def test_a_pair_has_one_index_for_ever_whatever_comes_between(pairs: list[tuple[int, str]], parts: int) -> None:
    table, indices = SeriesTable(1), dict[tuple[str, str], int]()
    named = [(f"dev-{device}", metric) for device, metric in pairs]
    for part in range(parts):
        some = named[part::parts]
        for pair, series in zip(some, resolve(table, some) if some else [], strict=True):
            assert indices.setdefault(pair, series) == series
    assert len(set(indices.values())) == len(indices) == len(table)
    waiting = table.take_waiting()
    assert {(new.device, new.metric.name): new.index for new in waiting} == indices
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
    table.learn(known(Row(5000, 7, "dev-2", "pm2_5", 0, 30, 0), Row(12, 8, "dev-3", "pm10", 0, 60, 0)), fresh=True)
    assert [new.device for new in table.take_waiting()] == ["dev-1"]
    assert table.index_of(np.array([5000, 12], np.int32)).tolist() == [1, 2]
    assert table.column("interval_s").tolist() == [0, 30, 60]
    assert table.column("loaded").tolist() == [False, True, True]


def test_rows_that_no_reading_can_name_are_passed_by_and_known_ones_are_taken_again() -> None:
    table = SeriesTable(1)
    rows = known(
        Row(1, 1, "dev-1", "pm2_5", 0, 60, 0), Row(2, 1, "dev-1", "of_a_later_version", 0, 60, 0), Row(3, 2, "a\0b", "pm2_5", 0, 60, 0),
    )  # fmt: skip
    for _ in range(2):
        table.learn(rows, fresh=False)
        assert table.column("series_id").tolist() == [1]
    assert resolve(table, [("dev-1", "pm2_5")]) == [0]


def test_ten_thousand_series_grow_the_columns_and_new_ones_begin_empty() -> None:
    table = SeriesTable(1)
    rows = [Row(2 * n + 1, n, f"dev-{n}", name, 0, 60, 0) for n in range(2000) for name in NAMES]
    rows = [row._replace(series_id=at + 1) for at, row in enumerate(rows)]
    table.learn(known(*rows), fresh=False)
    assert table.column("series_id").tolist() == list(range(1, 10_001))
    assert set(table.column("last_time_us").tolist()) == {NEVER_US}
    assert np.isnan(table.column("previous_value")).all()
    assert resolve(table, [("dev-1999", NAMES[4]), ("new", NAMES[0])]) == [9999, 10_000]
    assert table.column("last_time_us")[10_000] == NEVER_US
