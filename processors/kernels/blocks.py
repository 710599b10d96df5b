"""Readings cut into blocks that fit the processor's cache: whole series, in order, and runs of windows.

Temporaries of a whole batch would be written to fresh memory, which costs more than the arithmetic (measured: 10 M readings took
twice as long in one piece).
"""

from __future__ import annotations

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

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]
Int64Array = npt.NDArray[np.int64]

A = TypeVar("A")
B = TypeVar("B")

_BLOCK = 1 << 16
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
    readings: Readings, packing: Packing, m: int, workers: Executor | None = None
) -> Iterator[Callable[[], Block]]:
    """All readings of m series in blocks of whole series, about _BLOCK readings each; each is made by a call, in any order."""
    n = len(readings)
    if n <= _BLOCK:
        return iter([partial(_packed, readings, packing, slice(0, n))])
    if is_ordered(readings.series, readings.time_us):
        return _ranges(readings, packing, m)
    return _partition(readings, packing, m, workers)


def _packed(readings: Readings, packing: Packing, part: slice) -> Block:
    return readings.codes(packing, part), readings.value[part]


def _joined(codes: list[Int64Array], values: list[FloatArray]) -> Block:
    return np.concatenate(codes), np.concatenate(values)


def _ranges(readings: Readings, packing: Packing, m: int) -> Iterator[Callable[[], Block]]:
    """Blocks of readings that stand in order."""
    ends = np.cumsum(np.bincount(readings.series, minlength=m))
    cuts = np.append(np.searchsorted(ends, np.arange(_BLOCK, len(readings), _BLOCK)), m - 1)
    for first, last in pairwise([0, *np.unique(ends[cuts]).tolist()]):
        yield partial(_packed, readings, packing, slice(first, last))


def _partition(readings: Readings, packing: Packing, m: int, workers: Executor | None) -> Iterator[Callable[[], Block]]:
    """Blocks of readings in any order, in two passes that both stay in the cache.

    Chunks of arrivals are ordered by the block they belong to, then the pieces of a block are joined. Fetching each block's readings
    from all over the columns took a page table walk a column and reading: 40 ns against 9 (1 M readings of 10,000 series).
    """
    n = len(readings)
    # counting a sample is enough to cut even blocks: 0.1 ns a reading instead of 1.1; a prime, as arrivals often come in rounds
    sample = np.bincount(readings.series[::_SAMPLED], minlength=m) * _SAMPLED
    block_of = (np.cumsum(sample) - sample) // _BLOCK
    blocks = int(block_of[-1]) + 1
    block_of = block_of.astype(np.uint8 if blocks <= 1 << 8 else np.uint16 if blocks <= 1 << 16 else np.int64)
    codes, values, numbers = np.empty(n, np.int64), np.empty(n), np.arange(blocks + 1)

    def part(begin: int) -> list[int]:
        chunk = slice(begin, begin + _BLOCK)
        where = block_of.take(readings.series[chunk])
        order = where.argsort(kind="stable")  # by radix: 8 and 16 bits are what numpy sorts in linear time
        readings.codes(packing, chunk).take(order, out=codes[chunk], mode="clip")  # "raise" would write a copy first
        readings.value[chunk].take(order, out=values[chunk], mode="clip")
        edges: list[int] = (where.take(order).searchsorted(numbers) + begin).tolist()
        return edges

    edges = list(in_turn(workers, part, range(0, n, _BLOCK)))
    for block in range(blocks):
        pieces = [slice(edge[block], edge[block + 1]) for edge in edges if edge[block] < edge[block + 1]]
        if pieces:
            yield partial(_joined, [codes[piece] for piece in pieces], [values[piece] for piece in pieces])


def blocks_of_runs(starts: IndexArray, n: int) -> Iterator[tuple[slice, slice]]:
    """Ranges (of runs, of the n elements they are made of) of about _BLOCK elements each; a run is never cut."""
    if n <= _BLOCK:
        yield slice(0, len(starts)), slice(0, n)
        return
    edges = np.unique(np.append(np.searchsorted(starts, np.arange(0, n, _BLOCK)), len(starts))).tolist()
    for first, last in pairwise(edges):
        yield slice(first, last), slice(int(starts[first]), int(starts[last]) if last < len(starts) else n)
