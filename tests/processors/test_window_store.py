"""Window rows read back from PostgreSQL: as records and as columns the same."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from pydantic import SecretStr

from processors import window_store
from processors.contract.database import DatabaseSettings
from processors.contract.rows import WindowRows
from processors.database_session import open_session
from processors.kernels.windows_of import empty_rows
from processors.window_store import WindowStore

MINUTE = 60_000_000
BASE_US = 1_700_000_000_000_000 // MINUTE * MINUTE


def rows_of(series: int, minutes: int) -> WindowRows:
    """Rows with every value its own, some without a special aggregate, sketches of 4 to 16 bytes."""
    chance, n = np.random.default_rng(1), series * minutes
    columns: dict[str, object] = {
        field.name: chance.integers(1, 1000, n).astype(getattr(empty_rows(), field.name).dtype)
        for field in dataclasses.fields(WindowRows)
        if field.name != "sketch"
    }
    columns |= {
        "series_id": np.repeat(np.arange(1, series + 1, dtype=np.int32), minutes),
        "start_us": BASE_US + np.tile(np.arange(minutes, dtype=np.int64), series) * MINUTE,
        "special": np.where(np.arange(n) % 3 == 0, np.nan, 7.5),
        "sum_sin": np.full(n, np.nan),
        "valid": np.full(n, 3, np.int32),
        "flagged": np.full(n, 2, np.int32),
        "count": np.full(n, 5, np.int32),
    }
    sketch = type(empty_rows().sketch).of([bytes([at % 256]) * (4 * (at % 4 + 1)) for at in range(n)])
    return WindowRows(**columns, sketch=sketch)  # type: ignore[arg-type]


async def test_columns_and_records_give_the_same_rows(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = await open_session(DatabaseSettings(dsn=SecretStr(database)), "test")
    try:
        store, written = WindowStore(connection), rows_of(40, 15)
        await store.insert_rows("windows_1m", written)
        wanted = [7, 3, 99, *range(10, 30)]
        first = [BASE_US + (number % 4) * MINUTE for number in wanted]
        until = [BASE_US + 9 * MINUTE] * len(wanted)
        found = []
        for bound in (1000, 0):
            monkeypatch.setattr(window_store, "_AS_RECORDS", bound)
            found.append(await store.fetch_rows("windows_1m", wanted, first, until))
            assert len(await store.fetch_rows("windows_1m", [99], [0], [1 << 50])) == 0
        for field in dataclasses.fields(WindowRows):
            as_records, as_columns = (getattr(in_order(rows), field.name) for rows in found)
            if field.name == "sketch":
                assert as_records.tolist() == as_columns.tolist()
                continue
            np.testing.assert_array_equal(as_records, as_columns, strict=True)
        assert len(found[0]) == sum(9 - number % 4 for number in wanted if number != 99)
    finally:
        connection.terminate()


def in_order(rows: WindowRows) -> WindowRows:
    return rows.take(np.lexsort((rows.start_us, rows.series_id)))
