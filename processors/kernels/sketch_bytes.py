"""The stored form of sketches: the words of many windows in one flat buffer.

One word (uint32, little endian) per bucket by rising key: bits 0-17 the key plus 2**17, bits 18-31 the count less 1. A bucket of
more than 16,384 values takes several words: full ones first, then the rest. Nothing else is stored, so equal sketches
have equal bytes, a window of 6 values takes 24 bytes at most, and no window needs arithmetic of its own.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from processors.contract.binary_column import BinaryColumn
from processors.kernels.ordering import run_starts
from processors.kernels.sketch import KEY_BIAS, KEY_BITS, Sketches

_WORD_BYTES = 4
_FULL = 1 << (32 - KEY_BITS)


def encode(sketches: Sketches) -> BinaryColumn:
    """Bytes of each sketch."""
    key, count, offset = sketches.key, sketches.count, sketches.offset
    if len(count) and int(count.max()) > _FULL:
        key, count, offset = _split(sketches)
    words = count.astype(np.uint32)
    words -= np.uint32(1)
    words <<= np.uint32(KEY_BITS)
    words |= (key + np.int32(KEY_BIAS)).view(np.uint32)
    return BinaryColumn(words.astype("<u4", copy=False).view(np.uint8), offset * _WORD_BYTES)


def decode(column: BinaryColumn) -> Sketches:
    """The sketches of a column. Bytes that are none are a ValueError which names their row."""
    size = column.sizes
    wrong = (size == 0) | (size % _WORD_BYTES != 0)
    if wrong.any():
        raise _no_sketch(int(np.argmax(wrong)), size)
    packed = column.packed()
    words = np.ascontiguousarray(packed.data).view("<u4")
    offset = packed.offset // _WORD_BYTES
    key = (words & np.uint32((1 << KEY_BITS) - 1)).astype(np.int32) - np.int32(KEY_BIAS)
    count = (words >> np.uint32(KEY_BITS)).astype(np.int64) + 1
    same_sketch = np.ones(max(len(words) - 1, 0), np.bool_)
    same_sketch[offset[1:-1] - 1] = False
    falls = same_sketch & (key[1:] < key[:-1])
    if falls.any():
        raise _no_sketch(int(np.searchsorted(offset, np.argmax(falls), "right")) - 1, size)
    if (same_sketch & (key[1:] == key[:-1])).any():
        return _joined(key, count, offset)
    return Sketches(offset, key, count)


def _no_sketch(row: int, size: npt.NDArray[np.intp]) -> ValueError:
    return ValueError(f"sketch of row {row} ({size[row]} bytes) is damaged; recompute its window from readings")


def _split(sketches: Sketches) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int64], npt.NDArray[np.intp]]:
    """Buckets as words: a large count becomes several, all full but the last."""
    words = (sketches.count + _FULL - 1) // _FULL
    end = np.cumsum(words)
    count = np.full(int(end[-1]), _FULL, np.int64)
    count[end - 1] = sketches.count - (words - 1) * _FULL
    offset = np.concatenate(([0], end))[sketches.offset]
    return np.repeat(sketches.key, words), count, offset


def _joined(key: npt.NDArray[np.int32], count: npt.NDArray[np.int64], offset: npt.NDArray[np.intp]) -> Sketches:
    """The reverse of `_split`: words of one bucket become one entry again."""
    sketch = np.repeat(np.arange(len(offset) - 1), np.diff(offset))
    starts = run_starts(sketch, key)
    return Sketches(np.searchsorted(starts, offset).astype(np.intp), key[starts], np.add.reduceat(count, starts))
