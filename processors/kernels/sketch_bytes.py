"""The stored form of sketches: bytes of many windows are cut from one flat buffer, and read back from one.

Layout of one sketch (little endian): 1 byte `0x10 | w` (format 1, w = bytes of a count: 1, 2, 4 or 8), then for each
bucket by rising key: key as 3 bytes two's complement, count as w bytes. w is the least that holds the largest count, so
equal sketches have equal bytes. A window of 6 values takes 25 bytes at most.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from processors.kernels.sketch import Sketches

_FORMAT = 0x10
_KEY_BYTES = 3


def encode(sketches: Sketches) -> npt.NDArray[np.object_]:
    """Bytes of each sketch, object[w]."""
    w = len(sketches)
    out = np.empty(w, np.object_)
    if w == 0:
        return out
    entries = np.diff(sketches.offset)
    largest = np.maximum.reduceat(sketches.count, sketches.offset[:-1])
    count_bytes = np.ones(w, np.int64)
    for limit, wider in ((1 << 8, 2), (1 << 16, 4), (1 << 32, 8)):
        count_bytes[largest >= limit] = wider
    stride = count_bytes + _KEY_BYTES
    size = 1 + entries * stride
    end = np.cumsum(size)
    begin = end - size
    flat = np.empty(int(end[-1]), np.uint8)
    flat[begin] = _FORMAT | count_bytes
    at = _entry_positions(begin, entries, stride, sketches.offset)
    key = sketches.key
    for byte in range(_KEY_BYTES):
        flat[at + byte] = (key >> (8 * byte)).astype(np.uint8)
    at += _KEY_BYTES
    flat[at] = sketches.count.astype(np.uint8)
    widest = int(count_bytes.max())
    entry_count_bytes = np.repeat(count_bytes, entries) if widest > 1 else count_bytes
    for byte in range(1, widest):
        wide = np.flatnonzero(entry_count_bytes > byte)
        flat[at[wide] + byte] = (sketches.count[wide] >> (8 * byte)).astype(np.uint8)
    whole = flat.tobytes()
    out[:] = [whole[a:b] for a, b in zip(begin.tolist(), end.tolist(), strict=True)]
    return out


def decode(blobs: npt.NDArray[np.object_]) -> Sketches:
    """The sketches of `blobs` (object[w] of bytes). A blob that is none is a ValueError which names its row."""
    w = len(blobs)
    if w == 0:
        return Sketches(np.zeros(1, np.intp), np.empty(0, np.int32), np.empty(0, np.int64))
    pieces = blobs.tolist()
    size = np.fromiter(map(len, pieces), np.int64, w)
    flat = np.frombuffer(b"".join(pieces), np.uint8)
    begin = np.cumsum(size) - size
    head = np.zeros(w, np.int64)  # an empty blob has none, and 0 is no format
    head[size > 0] = flat[begin[size > 0]]
    count_bytes = head & 0x0F
    stride = count_bytes + _KEY_BYTES
    entries = (size - 1) // stride
    wrong = (head & 0xF0 != _FORMAT) | ~np.isin(count_bytes, (1, 2, 4, 8))
    wrong |= (entries * stride != size - 1) | (entries == 0)
    if wrong.any():
        row = int(np.argmax(wrong))
        raise ValueError(
            f"sketch of row {row} ({size[row]} bytes) is not of format 1; recompute its window from readings"
        )
    offset = np.concatenate(([0], np.cumsum(entries))).astype(np.intp)
    at = _entry_positions(begin, entries, stride, offset)
    key = np.zeros(len(at), np.int32)
    for byte in range(_KEY_BYTES):
        key |= flat[at + byte].astype(np.int32) << (8 * byte)
    key = (key << 8) >> 8  # the sign of 24 bits
    at += _KEY_BYTES
    count = flat[at].astype(np.int64)
    entry_count_bytes = np.repeat(count_bytes, entries)
    for byte in range(1, int(count_bytes.max())):
        wide = np.flatnonzero(entry_count_bytes > byte)
        count[wide] |= flat[at[wide] + byte].astype(np.int64) << (8 * byte)
    return Sketches(offset, key, count)


def _entry_positions(
    begin: npt.NDArray[np.int64],
    entries: npt.NDArray[np.int64],
    stride: npt.NDArray[np.int64],
    offset: npt.NDArray[np.intp],
) -> npt.NDArray[np.int64]:
    """Where each bucket of each sketch begins in the flat buffer."""
    every_stride = np.repeat(stride, entries)
    first = begin + 1 - offset[:-1] * stride
    at: npt.NDArray[np.int64] = np.repeat(first, entries) + np.arange(int(offset[-1]), dtype=np.int64) * every_stride
    return at
