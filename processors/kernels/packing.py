"""Series, event time and what a window counts of the flags, packed into one integer that rises with (series, time)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.contract.reading import FLAGGED_MASK, Flag

Int64Array = npt.NDArray[np.int64]
IndexArray = npt.NDArray[np.intp]

_MARK_BITS = 2  # LATE, and above it any of FLAGGED_MASK
_TWO_COUNTS = 0x8001  # times it, the mark of bit 1 is found in bit 16 too
_COUNT_BITS = 16
_COUNTED = 1 | 1 << _COUNT_BITS
_ROOM = 63
_GLANCE = 1 << 10
_LONG = 32


@dataclass(frozen=True, slots=True)
class Packing:
    """Where series, time and marks stand in a code: series above `time_bits` of time above two marks, all in 63 bits.

    Eleven thousand series over a week take 56 bits. Where they do not fit, `moments` lists the distinct times, rising, and codes
    hold positions in it instead of microseconds since `first_us`.
    """

    first_us: int
    time_bits: int
    moments: Int64Array | None = None

    @classmethod
    def of(cls, largest_series: int, time_us: Int64Array) -> Packing:
        """The packing of at least one reading; series are 0 to `largest_series`."""
        first, last = int(time_us.min()), int(time_us.max())
        time_bits = (last - first).bit_length()
        if largest_series.bit_length() + time_bits + _MARK_BITS <= _ROOM:
            return cls(first, time_bits)
        moments = np.unique(time_us)
        return cls(0, len(moments).bit_length(), moments)

    def codes(self, series: npt.NDArray[np.int32], time_us: Int64Array, flags: npt.NDArray[np.integer]) -> Int64Array:
        """One code a reading."""
        code: Int64Array = series.astype(np.int64)
        code <<= self.time_bits
        code |= time_us - self.first_us if self.moments is None else np.searchsorted(self.moments, time_us)
        code <<= _MARK_BITS
        low = flags.astype(np.uint8)  # both masks lie in the low byte, and 64 bytes are one step of the processor
        marks = ((low & np.uint8(FLAGGED_MASK)) != 0).view(np.uint8)
        marks += marks  # a shift would go byte by byte
        marks |= ((low & np.uint8(Flag.LATE)) != 0).view(np.uint8)
        code |= marks
        return code

    def lowest(self, series: npt.NDArray[np.int64]) -> Int64Array:
        """The lowest code each series may have."""
        return series << (self.time_bits + _MARK_BITS)

    def series(self, code: Int64Array) -> Int64Array:
        """The series of each code; 64 bits, as positions in the columns of series are looked up by."""
        return code >> (self.time_bits + _MARK_BITS)

    def time_us(self, code: Int64Array) -> Int64Array:
        """The event time of each code."""
        time = code >> _MARK_BITS
        time &= (1 << self.time_bits) - 1
        if self.moments is not None:
            return self.moments.take(time)
        time += self.first_us
        return time


def count_marks(
    code: Int64Array, starts: IndexArray, lengths: IndexArray
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """How many codes of each run are late, and how many flagged.

    Both are summed in one 32-bit number, 16 bits each; running sums may overflow, their differences do not.
    """
    low = code.astype(np.uint8)
    low &= np.uint8((1 << _MARK_BITS) - 1)
    if not low.any():
        return np.zeros(len(starts), np.int32), np.zeros(len(starts), np.int32)
    marks = low.astype(np.uint32)
    if int(lengths.max()) >= 1 << _COUNT_BITS:
        late, flagged = (
            np.add.reduceat(marks >> np.uint32(bit) & 1, starts, dtype=np.int32) for bit in range(_MARK_BITS)
        )
        return late, flagged
    marks *= np.uint32(_TWO_COUNTS)
    marks &= np.uint32(_COUNTED)
    if len(starts) * _LONG < len(code):
        counts = np.add.reduceat(marks, starts, dtype=np.uint32)
    else:
        counts = np.cumsum(marks, dtype=np.uint32).take(starts + (lengths - 1))
        counts[1:] -= counts[:-1]
    return (counts & np.uint32((1 << _COUNT_BITS) - 1)).view(np.int32), (counts >> np.uint32(_COUNT_BITS)).view(
        np.int32
    )


def _has_twins(code: Int64Array) -> bool:
    """Whether rising codes hold two of one series and time."""
    step = code[1:] - code[:-1]
    if len(step) == 0 or int(step.min()) >= 1 << _MARK_BITS:  # twins differ in marks alone
        return False
    return bool(((code[1:] ^ code[:-1]) >> _MARK_BITS == 0).any())


def _rises(code: Int64Array) -> bool:
    return bool((code[1:] >= code[:-1]).all())


def order_by_code(code: Int64Array, values: npt.NDArray[np.float64]) -> tuple[Int64Array, npt.NDArray[np.float64]]:
    """Codes and values by (series, time, value).

    The position of a reading is packed under its code, where both fit, and sorted along: 3 ns a reading in the cache, and
    the code need not be fetched again. `argsort` and two fetches cost 12.
    """
    if not (_rises(code[:_GLANCE]) and _rises(code)):
        first, place_bits = int(code.min()), len(code).bit_length()
        if (int(code.max()) - first).bit_length() + place_bits <= _ROOM:
            packed = code - first
            packed <<= place_bits
            packed |= np.arange(len(code))
            packed.sort()
            values = values.take(packed & ((1 << place_bits) - 1))
            packed >>= place_bits
            packed += first
            code = packed
        else:
            order = code.argsort()
            code, values = code.take(order), values.take(order)
    if _has_twins(code):
        # the store holds one value a moment; a caller who gives more must still not depend on the order of arrival
        order = np.lexsort((values, code >> _MARK_BITS))
        code, values = code.take(order), values.take(order)
    return code, values
