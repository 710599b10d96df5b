"""Windows of one series, oldest first: what trends and reports are drawn from."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Final

from fastapi import APIRouter, Query

from control_center.api.parameters import (
    API,
    Cursor,
    From,
    LongLimit,
    Name,
    PartsOf,
    Size,
    To,
    cursor_key,
    cut,
    series_of,
    time_range,
)
from control_center.api.payloads import JsonResponse, Page
from control_center.cursors import encode_cursor
from control_center.rows import Window

router = APIRouter(prefix=API, tags=["windows"])

_DEFAULT_DAYS: Final = {"1m": 1, "15m": 7, "1h": 30, "1d": 365}
_LIMIT_FACTOR: Final = {"1m": 1, "15m": 10, "1h": 100, "1d": 100}
_QuerySize = Annotated[Size, Query(description="1d is the city's local day")]


@router.get("/windows", response_model=Page[Window])
async def list_windows(
    *,
    parts: PartsOf,
    device: Name,
    metric: Name,
    size: _QuerySize = "15m",
    start: From = None,
    to: To = None,
    limit: LongLimit = 1000,
    cursor: Cursor = None,
) -> JsonResponse:
    """Windows whose start lies in from <= start < to; without from: the last day (1m), week (15m), month (1h) or year (1d)."""
    key = cursor_key(cursor, f"windows_{size}", datetime)
    asked = time_range(
        start,
        to,
        now=parts.live.clock.now(),
        default=timedelta(days=_DEFAULT_DAYS[size]),
        limit_days=parts.settings.max_range_days * _LIMIT_FACTOR[size],
        what=f"windows of {size}",
    )
    series = await series_of(parts, device, metric)
    first = max(asked.start, key[0] + timedelta(microseconds=1)) if key else asked.start
    rows = await parts.queries.windows(size, series.series_id, first, asked.end, limit=limit + 1)
    items, more = cut(rows, limit)
    return JsonResponse(Page(items, encode_cursor(f"windows_{size}", items[-1].time) if more else None))
