"""Window rows as a struct of arrays: what the kernels make, the sink writes, and readers of the tables get."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from processors.contract.binary_column import BinaryColumn


@dataclass(frozen=True, slots=True)
class WindowRows:
    """n window rows, one array of length n per column of `tables.WINDOW_COLUMNS` (times as microseconds since 1970, UTC).

    `special`, `sum_sin`, `sum_cos` are NaN where the metric has none (NULL in SQL). `sketch` holds serialised quantile sketches.
    """

    series_id: npt.NDArray[np.int32]
    start_us: npt.NDArray[np.int64]
    count: npt.NDArray[np.int32]
    mean: npt.NDArray[np.float64]
    min: npt.NDArray[np.float64]
    max: npt.NDArray[np.float64]
    std: npt.NDArray[np.float64]
    first: npt.NDArray[np.float64]
    last: npt.NDArray[np.float64]
    p50: npt.NDArray[np.float64]
    p95: npt.NDArray[np.float64]
    p99: npt.NDArray[np.float64]
    special: npt.NDArray[np.float64]
    expected: npt.NDArray[np.int32]
    valid: npt.NDArray[np.int32]
    late: npt.NDArray[np.int32]
    flagged: npt.NDArray[np.int32]
    revision: npt.NDArray[np.int32]
    first_time_us: npt.NDArray[np.int64]
    last_time_us: npt.NDArray[np.int64]
    sum_sin: npt.NDArray[np.float64]
    sum_cos: npt.NDArray[np.float64]
    sketch: BinaryColumn

    def __len__(self) -> int:
        return len(self.series_id)

    def take(self, index: npt.NDArray[np.intp] | npt.NDArray[np.bool_]) -> WindowRows:
        """The rows at `index` (positions or a mask)."""
        return WindowRows(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @classmethod
    def concatenate(cls, parts: Iterable[WindowRows]) -> WindowRows:
        """All rows of `parts`, in order. `parts` must not be empty."""
        pieces = list(parts)
        names = [f.name for f in fields(cls) if f.name != "sketch"]
        return cls(
            **{name: np.concatenate([getattr(piece, name) for piece in pieces]) for name in names},
            sketch=BinaryColumn.concatenate(piece.sketch for piece in pieces),
        )
