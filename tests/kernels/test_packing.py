"""Late and flagged readings are counted for each run, however long it is and however many runs there are."""

from __future__ import annotations

import numpy as np
import pytest

from ingest.contract.reading import FLAGGED_MASK, Flag
from processors.kernels.packing import Packing, count_marks


@pytest.mark.parametrize("longest", [1, 6, 500, 66_000, 140_000])
@pytest.mark.parametrize(
    "flags_there_are", [[0], [0, Flag.LATE], [0, Flag.LATE, Flag.STUCK, Flag.LATE | Flag.STALE, Flag.COERCED]]
)
def test_late_and_flagged_readings_of_each_run_are_counted(longest: int, flags_there_are: list[int]) -> None:
    rng = np.random.default_rng(longest)
    lengths = np.append(longest, rng.integers(1, longest, max(1, min(2000, 100_000 // longest)), endpoint=True))
    starts, n = np.cumsum(lengths) - lengths, int(lengths.sum())
    flags = rng.choice(np.array(flags_there_are, np.int32), n)
    if longest == 140_000:
        flags[:] = Flag.LATE | Flag.STUCK if len(flags_there_are) > 1 else 0  # more of both than 16 bits hold
    time_us = np.arange(n, dtype=np.int64)
    codes = Packing.of(0, time_us).codes(np.zeros(n, np.int32), time_us, flags)
    late, flagged = count_marks(codes, starts, lengths)
    assert late.tolist() == [np.count_nonzero(part & Flag.LATE) for part in np.split(flags, starts[1:])]
    assert flagged.tolist() == [np.count_nonzero(part & FLAGGED_MASK) for part in np.split(flags, starts[1:])]
    assert late.dtype == flagged.dtype == np.int32
