"""Quantile sketch: counts of values in buckets of the float's own logarithm. Exactly mergeable, many windows at once.

A bucket is the sign, the exponent and the first 6 bits of the mantissa of a float64, so an octave has 64 buckets of equal
width. The number given back for a bucket [a, b) is 2ab/(a+b), at most (b-a)/(b+a) <= 1/129 = 0.78 % from any value in it:
under the promised 1 % (the argument of DDSketch, Masson et al. 2019, with log-linear buckets as in HdrHistogram).
Logarithms were rejected: `log` differs in the last bit between processors, so a value on an edge would fall into another
bucket on another machine, and "merge of parts is byte for byte the sketch of all" would break. A shift is exact, and faster.

Zero is a bucket of its own together with magnitudes below 2**-1028; subnormal numbers have no relative guarantee.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from processors.kernels.ordering import run_lengths, run_starts

RELATIVE_ERROR = 0.01
"""What a quantile may differ from the exact lower order statistic, relative to it (guaranteed for |x| >= 2**-1022)."""

_SHIFT = np.int64(46)  # 52 bits of mantissa less the 6 kept
_MAGNITUDE = np.int32((1 << 17) - 1)
KEY_BITS = 18  # keys lie within +-2**17
KEY_BIAS = 1 << 17
_DENSE_SLOTS_PER_VALUE = 4
_FEW_RUNS = 64

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Sketches:
    """w sketches, flat: sketch i holds buckets `key[offset[i]:offset[i+1]]` (rising) with their `count` (>= 1).

    Shapes: offset intp[w+1], key int32[e], count int64[e].
    """

    offset: IndexArray
    key: npt.NDArray[np.int32]
    count: npt.NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.offset) - 1


@dataclass(frozen=True, slots=True)
class RankedBuckets:
    """The buckets of n values in runs, rising within each run: the value of rank r of run i lies in `key_at(starts[i] + r)`.

    `code` holds the number of the run above `bits` of the bucket less `first`, so the codes of all runs rise together.
    """

    code: npt.NDArray[np.uint32] | npt.NDArray[np.int64]
    bits: int
    first: int
    starts: IndexArray
    lengths: IndexArray

    def key_at(self, places: IndexArray) -> npt.NDArray[np.int32]:
        """The bucket keys at some places."""
        key = self.code.take(places)
        key &= (1 << self.bits) - 1
        return key.astype(np.int32, copy=False) + np.int32(self.first)

    def entries(self) -> tuple[IndexArray, IndexArray]:
        """Where each bucket of each run begins, and for each run, and behind the last, the number of buckets before it."""
        code = self.code
        change = np.empty(len(code), np.bool_)
        change[:1] = True
        np.not_equal(code[1:], code[:-1], out=change[1:])
        begin = np.flatnonzero(change)
        if len(self.starts) * _FEW_RUNS < len(code):
            return begin, begin.searchsorted(np.append(self.starts, len(code)))
        # 32 bits: cumsum of booleans takes 0.3 ns a value then, and 5 with 64
        before = np.cumsum(change, dtype=np.int32).take(self.starts) - 1
        return begin, np.append(before, len(begin)).astype(np.intp)

    def sketches(self) -> Sketches:
        """One sketch for each run."""
        begin, offset = self.entries()
        return Sketches(offset, self.key_at(begin), run_lengths(begin, len(self.code)).astype(np.int64, copy=False))

    def quantiles(self, percents: tuple[int, ...], low: FloatArray, high: FloatArray) -> list[FloatArray]:
        """What `quantiles` gives for the sketches; here every rank has a place."""
        last, answers, ranks = self.lengths - 1, list[FloatArray](), list[IndexArray]()
        for percent in percents:
            ranks.append(last * percent // 100)
            if len(ranks) > 1 and np.array_equal(ranks[-1], ranks[-2]):  # p95 and p99 of up to 21 readings
                answers.append(answers[-1])
                continue
            value = value_of(self.key_at(self.starts + ranks[-1]))
            np.minimum(value, high, out=value)
            answers.append(np.maximum(value, low, out=value))
        return answers


def bucket_of(values: FloatArray) -> npt.NDArray[np.int32]:
    """Bucket key of each value: 0 for zero, rising with the value, negative for negative values."""
    bits = (np.ascontiguousarray(values).view(np.int64) >> _SHIFT).astype(np.int32)
    sign = bits >> np.int32(31)  # 0 or -1
    bits &= _MAGNITUDE
    bits ^= sign
    bits -= sign
    return bits


def value_of(keys: npt.NDArray[np.integer]) -> FloatArray:
    """The number that stands for each bucket: the harmonic mean of its edges, 0 for the bucket of zero."""
    return _values().take(keys + KEY_BIAS)


@cache
def _values() -> FloatArray:
    """Of every bucket: 2 MB, of which a metric's values use a few lines (0.5 ns a bucket; the arithmetic takes 40)."""
    magnitude = np.abs(np.arange(-KEY_BIAS, KEY_BIAS, dtype=np.int64))
    low = (magnitude << _SHIFT).view(np.float64)
    high = ((magnitude + 1) << _SHIFT).view(np.float64)
    with np.errstate(invalid="ignore", over="ignore", divide="ignore"):
        # not 2 * low * high / (low + high), which overflows; the last bucket's upper edge is infinite
        middle = np.where(np.isfinite(high), low * (2.0 / (1.0 + low / high)), low)
    signed: FloatArray = np.copysign(np.where(magnitude == 0, 0.0, middle), np.arange(-KEY_BIAS, KEY_BIAS))
    return signed


def rank_runs(values: FloatArray, starts: IndexArray, lengths: IndexArray) -> RankedBuckets:
    """The buckets of each run of `values` beginning at `starts` (the first is 0), rising."""
    key = bucket_of(values)
    first = int(key.min())
    bits = (int(key.max()) - first).bit_length()
    # sorted as one number with their run; the vector sort takes 1.5 ns for 32 bits and 3 for 64
    narrow = bits + len(starts).bit_length() <= 32
    kind: np.dtype[np.uint32] | np.dtype[np.int64] = np.dtype(np.uint32) if narrow else np.dtype(np.int64)
    key -= np.int32(first)
    code = key.view(np.uint32) if narrow else key.astype(np.int64)
    code |= np.repeat((np.arange(len(starts)) << bits).astype(kind), lengths)
    code.sort()
    return RankedBuckets(code, bits, first, starts, lengths)


def sketch_runs(values: FloatArray, starts: IndexArray) -> Sketches:
    """One sketch for each run of `values` beginning at `starts`, the first at 0."""
    return rank_runs(values, starts, run_lengths(starts, len(values))).sketches()


def merge_runs(parts: Sketches, starts: IndexArray) -> Sketches:
    """The sketch of all values behind each run of parts that begins at `starts` (positions in `parts`)."""
    entry_starts = parts.offset[starts]
    keys = parts.key.astype(np.int64)
    low = np.minimum.reduceat(keys, entry_starts) if len(starts) else np.empty(0, np.int64)
    high = np.maximum.reduceat(keys, entry_starts) if len(starts) else np.empty(0, np.int64)
    return _tally(keys, parts.count, entry_starts, low, high)


def _tally(
    keys: npt.NDArray[np.int64],
    weights: npt.NDArray[np.int64],
    starts: IndexArray,
    low: npt.NDArray[np.int64],
    high: npt.NDArray[np.int64],
) -> Sketches:
    lengths = run_lengths(starts, len(keys))
    width = high - low + 1
    base = np.cumsum(width) - width
    slots = int(base[-1] + width[-1]) if len(width) else 0
    if slots > _DENSE_SLOTS_PER_VALUE * len(keys) + 65536:
        return _tally_by_sorting(keys, weights, lengths)
    slot = keys + np.repeat(base - low, lengths)
    tally = np.bincount(slot, weights, slots).astype(np.int64, copy=False)  # exact: float64 holds integers to 2**53
    used = np.flatnonzero(tally)
    offset = np.searchsorted(used, np.append(base, slots))
    key = used - np.repeat(base - low, np.diff(offset))
    return Sketches(offset.astype(np.intp), key.astype(np.int32), tally[used])


def _tally_by_sorting(
    keys: npt.NDArray[np.int64], weights: npt.NDArray[np.int64], lengths: npt.NDArray[np.intp]
) -> Sketches:
    """For windows that hold zero beside large values, whose keys lie too far apart to be counted in a dense array."""
    run = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    code = (run << KEY_BITS) + (keys + KEY_BIAS)
    order = np.argsort(code)
    code = code[order]
    begin = run_starts(code)
    count = np.add.reduceat(weights[order], begin)
    code = code[begin]
    offset = np.searchsorted(code, np.arange(len(lengths) + 1, dtype=np.int64) << KEY_BITS)
    key = (code & ((1 << KEY_BITS) - 1)) - KEY_BIAS
    return Sketches(offset.astype(np.intp), key.astype(np.int32), count)


def quantiles(sketches: Sketches, percents: tuple[int, ...], low: FloatArray, high: FloatArray) -> list[FloatArray]:
    """For each percent (0..100), of every sketch, the lower order statistic: that of rank floor(percent * (n-1) / 100).

    Within RELATIVE_ERROR of it. Sketches must not be empty. The answer is held between the window's `low` and `high`, so a
    window of one value gives that value.
    """
    if len(sketches) == 0:
        return [np.empty(0) for _ in percents]
    if len(sketches.key) == len(sketches):  # one bucket each, as windows of one reading have
        return [np.clip(value_of(sketches.key), low, high)] * len(percents)
    seen = np.cumsum(sketches.count)
    before = np.concatenate(([0], seen))[sketches.offset]
    size = np.diff(before)
    # integers: 0.95 * (n - 1) as a float falls below a whole rank for some n
    ranks = [before[:-1] + (size - 1) * percent // 100 for percent in percents]
    key = sketches.key[np.searchsorted(seen, np.concatenate(ranks), "right")].reshape(len(percents), -1)
    return list(np.clip(value_of(key), low, high))
