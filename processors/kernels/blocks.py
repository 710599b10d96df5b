"""Readings cut into blocks that fit the processor's cache: whole series, in order, and runs of windows.

Temporaries of a whole batch would be written to fresh memory, which costs more than the arithmetic (measured: 10 M readings took
twice as long in one piece).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from processors.kernels.ordering import is_ordered
from processors.kernels.packing import Packing
from processors.kernels.room import Room

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]
Int64Array = npt.NDArray[np.int64]

A = TypeVar("A")
B = TypeVar("B")

_BLOCK = 1 << 16
_CHUNK = 1 << 16
_LARGE = 1 << 22
_LARGE_CHUNK = 1 << 19
_SAMPLED = 13


@dataclass(frozen=True, slots=True)
class Readings:
    """n readings as columns, in any order."""

    series: npt.NDArray[np.int32]
    time_us: Int64Array
    value: FloatArray
    flags: npt.NDArray[np.integer]

    def __len__(self) -> int:
        return len(self.series)

    def codes(self, packing: Packing, part: slice) -> Int64Array:
        """The codes of a range."""
        return packing.codes(self.series[part], self.time_us[part], self.flags[part])


Block = tuple[Int64Array, FloatArray]
"""Codes and values of readings."""


def in_turn(workers: Executor | None, work: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
    """The results of `work` for each item, in their order; by `workers` where there are some."""
    return map(work, items) if workers is None else workers.map(work, items)


def blocks_of_series(
    readings: Readings, packing: Packing, m: int, memory: Room, workers: Executor | None = None
) -> Iterator[Callable[[], Block]]:
    """All readings of m series in blocks of whole series, about _BLOCK readings each; each is made by a call, in any order."""
    n = len(readings)
    if n <= _BLOCK:
        return iter([partial(_packed, readings, packing, slice(0, n))])
    if is_ordered(readings.series, readings.time_us):
        return _ranges(readings, packing, m)
    return _partition(readings, packing, m, memory, workers)


def check_finite(values: FloatArray, first: int = 0) -> None:
    """ValueError with the position, counted from `first`, of a value that is not finite."""
    if len(values) and not math.isfinite(float(values.min()) + float(values.max())):
        finite = np.isfinite(values)
        if not finite.all():
            at = first + int(np.argmin(finite))
            raise ValueError(f"reading {at} is not finite; refuse such values before aggregating")


def _packed(readings: Readings, packing: Packing, part: slice) -> Block:
    check_finite(readings.value[part], part.start)
    return readings.codes(packing, part), readings.value[part]


def _joined(codes: list[Int64Array], values: list[FloatArray]) -> Block:
    return np.concatenate(codes), np.concatenate(values)


def _ranges(readings: Readings, packing: Packing, m: int) -> Iterator[Callable[[], Block]]:
    """Blocks of readings that stand in order."""
    ends = np.cumsum(np.bincount(readings.series, minlength=m))
    cuts = np.append(np.searchsorted(ends, np.arange(_BLOCK, len(readings), _BLOCK)), m - 1)
    for first, last in pairwise([0, *np.unique(ends[cuts]).tolist()]):
        yield partial(_packed, readings, packing, slice(first, last))


def _partition(
    readings: Readings, packing: Packing, m: int, memory: Room, workers: Executor | None
) -> Iterator[Callable[[], Block]]:
    """Blocks of readings in any order, in two passes that both stay in the cache.

    Chunks of arrivals are ordered by the block they belong to, then the pieces of a block are joined. Fetching each block's readings
    from all over the columns took a page table walk a column and reading: 40 ns against 9 (1 M readings of 10,000 series).
    """
    n = len(readings)
    # counting a sample is enough to cut even blocks: 0.1 ns a reading instead of 1.1; a prime, as arrivals often come in rounds
    sample = np.bincount(readings.series[::_SAMPLED], minlength=m) * _SAMPLED
    block_of = (np.cumsum(sample) - sample) // _BLOCK
    blocks = int(block_of[-1]) + 1
    lowest = packing.lowest(np.append(block_of.searchsorted(np.arange(blocks)), m))
    block_of = block_of.astype(np.uint8 if blocks <= 1 << 8 else np.uint16 if blocks <= 1 << 16 else np.int64)
    codes, values = memory.empty("codes", (n,), np.int64), memory.empty("values", (n,), np.float64)
    size = _CHUNK if n < _LARGE else _LARGE_CHUNK

    def part(begin: int) -> list[int]:
        chunk = slice(begin, begin + size)
        where = block_of.take(readings.series[chunk])
        order = where.argsort(kind="stable")  # by radix: 8 and 16 bits are what numpy sorts in linear time
        readings.codes(packing, chunk).take(order, out=codes[chunk], mode="wrap")  # "raise" would write a copy first
        check_finite(
            readings.value[chunk], begin
        )  # here, so that the values are in the cache when they are fetched out of order
        readings.value[chunk].take(order, out=values[chunk], mode="wrap")
        # codes of a block stand in any order, but all above those of the block before: enough for a binary search
        edges: list[int] = (codes[chunk].searchsorted(lowest) + begin).tolist()
        return edges

    edges = list(in_turn(workers, part, range(0, n, size)))
    for block in range(blocks):
        pieces = [slice(edge[block], edge[block + 1]) for edge in edges if edge[block] < edge[block + 1]]
        if pieces:
            yield partial(_joined, [codes[piece] for piece in pieces], [values[piece] for piece in pieces])


def blocks_of_runs(starts: IndexArray, n: int) -> Iterator[tuple[slice, slice]]:
    """Ranges (of runs, of the n elements they are made of) of about _BLOCK elements each; a run is never cut.

    Up to twice as many stay whole: blocks of series are now and then a little larger, and the little would cost as many calls as a block.
    """
    if n <= 2 * _BLOCK:
        yield slice(0, len(starts)), slice(0, n)
        return
    edges = np.unique(np.append(np.searchsorted(starts, np.arange(0, n, _BLOCK)), len(starts))).tolist()
    for first, last in pairwise(edges):
        yield slice(first, last), slice(int(starts[first]), int(starts[last]) if last < len(starts) else n)
