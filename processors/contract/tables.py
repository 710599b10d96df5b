"""Names of tables and views, and the columns of a window row in SQL order. Migrations are the source; this is how Python names them."""

from __future__ import annotations

from typing import Final

SCHEMA: Final = "city"
VIEWS: Final = "city_view"
CONDITIONS_CHANNEL: Final = "citynerve_conditions"
"""NOTIFYed, without content, by every transaction that puts rows into `condition_changes`. A hint to look, the rows are what counts."""
WINDOW_TABLES: Final = ("windows_1m", "windows_15m", "windows_1h", "windows_1d")
WINDOW_SIZES_S: Final = {"windows_1m": 60, "windows_15m": 900, "windows_1h": 3600}
"""Fixed sizes; `windows_1d` is the city's local day (23, 24 or 25 h)."""

WINDOW_COLUMNS: Final = (
    "series_id", "start", "count", "mean", "min", "max", "std", "first", "last", "p50", "p95", "p99", "special",
    "expected", "valid", "late", "flagged", "revision", "first_time", "last_time", "sum_sin", "sum_cos", "sketch",
)  # fmt: skip
