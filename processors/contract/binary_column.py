"""A column of byte strings in one buffer, as Arrow lays it out: no Python object a row until a row is written."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import overload

import numpy as np
import numpy.typing as npt

IndexArray = npt.NDArray[np.intp]

_WORD = 4
_MANY_OF_ONE_SIZE = 512  # below it slicing (about 75 ns a string) beats the fixed cost of one cast per size


@dataclass(frozen=True, slots=True)
class BinaryColumn:
    """n byte strings: string i is `data[offset[i]:offset[i + 1]]`. Shapes: data uint8[...], offset intp[n + 1], rising."""

    data: npt.NDArray[np.uint8]
    offset: IndexArray

    @classmethod
    def of(cls, strings: Sequence[bytes]) -> BinaryColumn:
        """The column of `strings`."""
        sizes = np.fromiter(map(len, strings), np.intp, len(strings))
        return cls(np.frombuffer(b"".join(strings), np.uint8), _offsets(sizes))

    @classmethod
    def concatenate(cls, parts: Iterable[BinaryColumn]) -> BinaryColumn:
        """All strings of `parts`, in order."""
        pieces = [part.packed() for part in parts]
        if len(pieces) == 1:
            return pieces[0]
        return cls(
            np.concatenate([piece.data for piece in pieces]),
            _offsets(np.concatenate([piece.sizes for piece in pieces])),
        )

    def __len__(self) -> int:
        return len(self.offset) - 1

    @property
    def sizes(self) -> IndexArray:
        """Length of each string in bytes."""
        return np.diff(self.offset)

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice | IndexArray | npt.NDArray[np.bool_]) -> BinaryColumn: ...

    def __getitem__(self, index: int | slice | IndexArray | npt.NDArray[np.bool_]) -> bytes | BinaryColumn:
        """The string at a position, or those at `index`: a range (without a step; not copied), positions or a mask."""
        if isinstance(index, int):
            at = range(len(self))[index]
            return self.data[self.offset[at] : self.offset[at + 1]].tobytes()
        if isinstance(index, slice):
            first, last, _ = index.indices(len(self))
            return BinaryColumn(self.data, self.offset[first : max(last, first) + 1])
        places = np.flatnonzero(index) if index.dtype == np.bool_ else index
        begin, sizes = self.offset[places], self.sizes[places]
        offset = _offsets(sizes)
        if len(self.data) % _WORD == 0 and not (begin % _WORD).any() and not (sizes % _WORD).any():
            words = self.data.view(np.uint32)  # sketches are whole words: a quarter of the positions to fetch
            return BinaryColumn(words.take(_positions(begin // _WORD, offset // _WORD)).view(np.uint8), offset)
        return BinaryColumn(self.data.take(_positions(begin, offset)), offset)

    def packed(self) -> BinaryColumn:
        """The same strings with nothing before and after them in the buffer."""
        first, last = int(self.offset[0]), int(self.offset[-1])
        if first == 0 and last == len(self.data):
            return self
        return BinaryColumn(self.data[first:last], self.offset - first)

    def tolist(self) -> list[bytes]:
        """One bytes object a row. Strings of one size are cut by one cast where they are many."""
        column = self.packed()
        n, sizes = len(column), column.sizes
        often = np.flatnonzero(np.bincount(sizes) >= _MANY_OF_ONE_SIZE).tolist() if n >= _MANY_OF_ONE_SIZE else []
        if often == [0]:
            return [b""] * n
        out: npt.NDArray[np.object_] = np.empty(n, np.object_)
        rest = np.ones(n, np.bool_)
        for size in filter(None, often):
            of_size = sizes == size
            out[of_size] = column[of_size].data.view(f"V{size}").astype(np.object_)
            rest[of_size] = False
        whole, left = column.data.tobytes(), np.flatnonzero(rest)
        for at, begin, end in zip(
            left.tolist(), column.offset[left].tolist(), column.offset[left + 1].tolist(), strict=True
        ):
            out[at] = whole[begin:end]
        strings: list[bytes] = out.tolist()
        return strings


def _offsets(sizes: IndexArray) -> IndexArray:
    offset = np.zeros(len(sizes) + 1, np.intp)
    np.cumsum(sizes, out=offset[1:])
    return offset


def _positions(begin: IndexArray, offset: IndexArray) -> IndexArray:
    """Positions of pieces that start at `begin` and are to fill the ranges of `offset`."""
    return np.repeat(begin - offset[:-1], np.diff(offset)) + np.arange(int(offset[-1]))
