"""Readings of one series as stored, oldest first."""

from __future__ import annotations

from datetime import datetime, timedelta

from fastapi import APIRouter

from control_center.api.parameters import (
    API,
    Cursor,
    From,
    LongLimit,
    Name,
    PartsOf,
    To,
    cursor_key,
    cut,
    series_of,
    time_range,
)
from control_center.api.payloads import JsonResponse, Page
from control_center.cursors import encode_cursor
from control_center.rows import StoredReading

router = APIRouter(prefix=API, tags=["readings"])


@router.get("/readings", response_model=Page[StoredReading])
async def list_readings(
    *,
    parts: PartsOf,
    device: Name,
    metric: Name,
    start: From = None,
    to: To = None,
    limit: LongLimit = 1000,
    cursor: Cursor = None,
) -> JsonResponse:
    """Readings with from <= time < to, oldest first; by default those of the last day."""
    key = cursor_key(cursor, "readings", datetime)
    limit_days = parts.settings.max_range_days
    asked = time_range(
        start, to, now=parts.live.clock.now(), default=timedelta(days=1), limit_days=limit_days, what="readings"
    )
    series = await series_of(parts, device, metric)
    # a microsecond is the resolution of time, so the next page begins one after the last row
    first = max(asked.start, key[0] + timedelta(microseconds=1)) if key else asked.start
    rows = await parts.queries.readings(series.series_id, first, asked.end, limit=limit + 1)
    items, more = cut(rows, limit)
    return JsonResponse(Page(items, encode_cursor("readings", items[-1].time) if more else None))
