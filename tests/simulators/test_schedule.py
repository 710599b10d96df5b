"""Order and pace: several sources as one stream of event time, never ahead of the wall clock."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from simulators.batch import Batch, Names, Rows, batch_of
from simulators.schedule import Pace, merged


def batch(dues: list[int], label: str) -> Batch:
    n = len(dues)
    codes, values = np.zeros(n, np.int32), np.arange(n, dtype=np.float64)
    rows = Rows(codes, codes, np.asarray(dues, np.int64), values, np.zeros(n, np.uint8))
    return batch_of(dues, [label] * n, [f"{label}{due}".encode() for due in dues], np.ones(n, np.int64), rows)


def source(label: str, chunks: list[list[int]], horizons: list[int]) -> Iterator[tuple[int, Batch]]:
    for horizon, dues in zip(horizons, chunks, strict=True):
        yield horizon, batch(dues, label)


def test_sources_are_interleaved_by_due_time() -> None:
    stream = merged([source("a", [[1, 5, 30], [12, 14]], [10, 20]), source("b", [[2, 3], [11, 13]], [10, 20])])
    out = [int(due) for part in stream for due in part.due_us]
    assert out == [1, 2, 3, 5, 11, 12, 13, 14, 30]


def test_a_source_that_ends_early_does_not_hold_up_the_other() -> None:
    stream = merged([source("a", [[1]], [5]), source("b", [[2], [8], [20]], [5, 10, 30])])
    assert [int(due) for part in stream for due in part.due_us] == [1, 2, 8, 20]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.tuples(st.integers(0, 999), st.integers(0, 500)), max_size=30), min_size=1, max_size=4))
def test_whatever_the_delays_nothing_is_lost_and_the_order_holds(given_sources: list[list[tuple[int, int]]]) -> None:
    sources = []
    for label, messages in enumerate(
        given_sources
    ):  # (time, delay): made in the chunk of its time, sent after its delay
        chunks = [sorted(time + delay for time, delay in messages if time // 100 == chunk) for chunk in range(10)]
        sources.append(source(str(label), chunks, [100 * (chunk + 1) for chunk in range(10)]))
    out = [int(due) for part in merged(sources) for due in part.due_us]
    assert out == sorted(time + delay for messages in given_sources for time, delay in messages)


def test_event_time_runs_at_its_speed_and_never_ahead_of_now() -> None:
    day_us, start_us = 86_400_000_000, 1_000_000_000_000
    pace = Pace(start_us - day_us, start_us, 480.0)
    assert pace.reached_us(start_us) == start_us - day_us
    assert pace.reached_us(start_us + 1_000_000) == start_us - day_us + 480_000_000
    for later_s in (180, 181, 200, 10_000):
        assert pace.reached_us(start_us + later_s * 1_000_000) <= start_us + later_s * 1_000_000
    assert pace.reached_us(start_us + 200_000_000) == start_us + 200_000_000  # the day is over, the city is live


def test_at_full_speed_all_up_to_now_is_due() -> None:
    assert Pace(0, 100, math.inf).reached_us(100) == 100


def test_names_get_codes_in_order_of_first_use() -> None:
    names = Names()
    assert [names.code("b"), names.code("a"), names.code("b")] == [0, 1, 0]
    assert names.since(1) == ["a"]


def test_taking_messages_takes_their_rows() -> None:
    whole = batch([1, 2, 3, 4], "x")
    some = whole.take(np.asarray([3, 1]))
    assert (some.due_us.tolist(), some.value.tolist(), some.payloads) == ([4, 2], [3.0, 1.0], [b"x4", b"x2"])
    early, late = whole.split(3)
    assert (early.due_us.tolist(), late.due_us.tolist(), late.first.tolist()) == ([1, 2], [3, 4], [0, 1, 2])
