"""Memory that outlives a call.

Fresh memory is dear where a machine is virtual: pages that were given back are fetched from the host again, 0.8 ms a MB measured, so that
the same call took 40 or 120 ns a reading (docs/kernels.md). Who makes many large batches keeps a `Room` for them.
"""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt


class Room:
    """Columns by name, lent again and again: what one call was lent, or returned, the next one with this room overwrites.

    Not for calls at the same time. Grows to the largest call and gives memory back when it is dropped.
    """

    def __init__(self) -> None:
        self._held: dict[str, npt.NDArray[np.uint8]] = {}

    def empty(self, name: str, shape: tuple[int, ...], kind: npt.DTypeLike) -> npt.NDArray[Any]:
        """An array that holds anything, in the memory of that name."""
        dtype = np.dtype(kind)
        size = prod(shape) * dtype.itemsize
        held = self._held.get(name)
        if held is None or len(held) < size:
            self._held.pop(name, None)
            del held  # first given back, then taken: never both at a time
            held = self._held[name] = np.empty(size, np.uint8)
        return held[:size].view(dtype).reshape(shape)

    def forget(self, name: str) -> None:
        """Lend other memory under that name from now on; who was lent this keeps it."""
        self._held.pop(name, None)
