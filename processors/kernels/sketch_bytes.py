"""The stored form of sketches: the bytes of many windows are cut from one flat buffer, and read back from one.

One word (uint32, little endian) per bucket by rising key: bits 0-17 the key plus 2**17, bits 18-31 the count less 1. A bucket of
more than 16,384 values takes several words: full ones first, then the rest. Nothing else is stored, so equal sketches
have equal bytes, a window of 6 values takes 24 bytes at most, and no window needs arithmetic of its own.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from processors.kernels.ordering import run_starts
from processors.kernels.sketch import KEY_BIAS, KEY_BITS, Sketches

_WORD_BYTES = 4
_FULL = 1 << (32 - KEY_BITS)
_MANY_OF_ONE_SIZE = 512  # below it slicing (about 75 ns a window) beats the fixed cost of one cast per size


def encode(sketches: Sketches) -> npt.NDArray[np.object_]:
    """Bytes of each sketch, object[w]."""
    key, count, offset = sketches.key, sketches.count, sketches.offset
    if len(count) and int(count.max()) > _FULL:
        key, count, offset = _split(sketches)
    words = (key + KEY_BIAS).astype(np.uint32)
    words |= (count - 1).astype(np.uint32) << np.uint32(KEY_BITS)
    return _cut(words.astype("<u4", copy=False), offset)


def decode(blobs: npt.NDArray[np.object_]) -> Sketches:
    """The sketches of `blobs` (object[w] of bytes). A blob that is none is a ValueError which names its row."""
    pieces = blobs.tolist()
    size = np.fromiter(map(len, pieces), np.int64, len(pieces))
    wrong = (size == 0) | (size % _WORD_BYTES != 0)
    if wrong.any():
        raise _no_sketch(int(np.argmax(wrong)), size)
    words = np.frombuffer(b"".join(pieces), "<u4")
    offset = np.concatenate(([0], np.cumsum(size // _WORD_BYTES))).astype(np.intp)
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


def _no_sketch(row: int, size: npt.NDArray[np.int64]) -> ValueError:
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


def _cut(words: npt.NDArray[np.uint32], offset: npt.NDArray[np.intp]) -> npt.NDArray[np.object_]:
    """One bytes object per sketch. Windows of few readings come in few sizes: those of one size are cut by one cast."""
    w = len(offset) - 1
    out = np.empty(w, np.object_)
    sizes = np.diff(offset)
    often = np.flatnonzero(np.bincount(sizes) >= _MANY_OF_ONE_SIZE).tolist() if w >= _MANY_OF_ONE_SIZE else []
    rest = np.ones(w, np.bool_)
    for size in often:
        of_size = np.flatnonzero(sizes == size)
        block = words if len(of_size) == w else words[offset[of_size][:, None] + np.arange(size)].ravel()
        out[of_size] = block.view(f"V{_WORD_BYTES * size}").astype(np.object_)
        rest[of_size] = False
    left = np.flatnonzero(rest)
    if len(left) == 0:
        return out
    begin, end = (offset[left] * _WORD_BYTES).tolist(), (offset[left + 1] * _WORD_BYTES).tolist()
    whole = words.tobytes()
    pieces = [whole[a:b] for a, b in zip(begin, end, strict=True)]
    if len(left) == w:
        out[:] = pieces
    else:
        out[left] = np.array([*pieces, None], np.object_)[:-1]  # None: an array of bytes alone would be cut at zeros
    return out
