"""The table of newest values: the same as a slow loop over single readings, for any frames in any order."""

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from control_center.live_values import LatestValues
from control_center.rows import LatestValue
from ingest.contract.frame import FrameColumns
from ingest.contract.sensor_kinds import METRICS

METRIC_NAMES = ["pm2_5", "laeq", "no_such_metric", "wind_direction"]
Row = tuple[int, int, int, float]
rows = st.lists(
    st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 6), st.floats(-100, 100).map(lambda x: round(x, 2))),
    max_size=30,
)


def frame(given_rows: Sequence[Row], devices: Sequence[str] = tuple("abcdef")) -> FrameColumns:
    return FrameColumns(
        devices=list(devices),
        metrics=METRIC_NAMES,
        device_codes=np.array([row[0] for row in given_rows], np.int32),
        metric_codes=np.array([row[1] for row in given_rows], np.int16),
        time_us=np.array([row[2] for row in given_rows], np.int64),
        values=np.array([row[3] for row in given_rows], np.float64),
        flags=np.zeros(len(given_rows), np.uint16),
    )


def by_loop(frames: Sequence[Sequence[Row]]) -> dict[tuple[str, str], tuple[int, float]]:
    newest: dict[tuple[str, str], tuple[int, float]] = {}
    for given_rows in frames:
        for device, metric, time_us, value in given_rows:
            key = ("abcdef"[device], METRIC_NAMES[metric])
            if key[1] in METRICS and (key not in newest or time_us >= newest[key][0]):
                newest[key] = (time_us, value)
    return newest


def contents(table: LatestValues) -> dict[tuple[str, str], tuple[int, float]]:
    return {(cell.device, cell.metric): (cell.time_us, cell.value) for cell in table.all_cells()}


@given(st.lists(rows, max_size=6))
def test_frames_taken_whole_give_what_single_readings_give(frames: list[list[Row]]) -> None:
    table = LatestValues()
    for given_rows in frames:
        table.update(frame(given_rows))
    assert contents(table) == by_loop(frames)


@given(st.lists(rows, min_size=1, max_size=8), st.data())
def test_a_reader_that_asks_for_changes_ends_with_the_whole_table(frames: list[list[Row]], data: st.DataObject) -> None:
    table = LatestValues()
    known: dict[tuple[str, str], tuple[int, float]] = {}
    seen = 0
    for number, given_rows in enumerate(frames, 1):
        table.update(frame(given_rows))
        table.mark(number)
        if data.draw(st.booleans()):  # a slow reader skips some and is given the newest of each series
            known |= {(c.device, c.metric): (c.time_us, c.value) for c in table.changed(seen, number)}
            seen = number
    known |= {(c.device, c.metric): (c.time_us, c.value) for c in table.changed(seen, len(frames))}
    assert known == contents(table)


def test_nothing_new_is_no_change() -> None:
    table = LatestValues()
    assert table.update(frame([(0, 0, 5, 1.0)])) == 1
    table.mark(1)
    assert table.update(frame([(0, 0, 5, 1.0), (0, 0, 4, 9.0)])) == 0
    assert not table.has_unmarked()
    assert table.update(frame([])) == 0


def test_an_unknown_metric_is_left_out_and_counted() -> None:
    table = LatestValues()
    table.update(frame([(0, 2, 5, 1.0), (0, 0, 5, 1.0)]))
    assert (len(table), table.left_out) == (1, 1)


def test_many_devices_keep_their_values_while_the_table_grows() -> None:
    table = LatestValues()
    names = [f"device-{n}" for n in range(3000)]
    for first, last in pairwise([0, 1, 70, 500, 3000]):
        table.update(frame([(n, n % 2, n, float(n)) for n in range(first, last)], names))
    assert contents(table) == {(f"device-{n}", METRIC_NAMES[n % 2]): (n, float(n)) for n in range(3000)}


def test_primed_values_are_kept_until_something_newer_comes() -> None:
    table = LatestValues()
    table.update(frame([(0, 0, 10_000_000, 1.0)]))
    at = datetime.fromtimestamp(5, UTC)
    table.prime(
        [
            LatestValue("a", "pm2_5", at, 7.0),
            LatestValue("b", "laeq", at, 8.0),
            LatestValue("c", "gone_metric", at, 9.0),
        ]
    )
    table.prime([])
    assert contents(table) == {("a", "pm2_5"): (10_000_000, 1.0), ("b", "laeq"): (5_000_000, 8.0)}


def test_a_device_is_stale_after_its_own_interval_registered_or_not() -> None:
    table = LatestValues()
    second = 1_000_000
    table.update(frame([(0, 0, 1000 * second, 1.0), (1, 3, 1000 * second, 1.0), (2, 0, 1000 * second, 1.0)]))
    table.set_intervals({"c": 600, "never": 60, "a": None})
    # a: pm2_5 is expected each 60 s, b: wind_direction each 300 s, c: registered with 600 s, never: has not spoken
    counts = [table.stale_devices((1000 + age) * second, 3) for age in (0, 180, 181, 901, 1801)]
    assert counts == [1, 1, 2, 3, 4]


def test_the_shortest_interval_of_a_device_counts() -> None:
    table = LatestValues()
    table.update(frame([(0, 3, 0, 1.0)]))
    table.update(frame([(0, 0, 0, 1.0)]))
    assert table.stale_devices(181_000_000, 3) == 1


def test_a_device_belongs_to_the_gateway_it_last_sent_through() -> None:
    values = LatestValues()
    assert values.gateway_of("a") is None
    values.note_gateway(["a", "b"], "gw-1")
    values.note_gateway(["b"], "gw-2")
    assert [values.gateway_of(device) for device in ("a", "b", "c")] == ["gw-1", "gw-2", None]
