"""Series: which device measures what, in which unit and how often."""

from __future__ import annotations

from fastapi import APIRouter

from control_center.api.parameters import API, Cursor, Filter, Limit, PartsOf, cursor_key, cut
from control_center.api.payloads import JsonResponse, Page
from control_center.cursors import encode_cursor
from control_center.rows import Series

router = APIRouter(prefix=API, tags=["series"])


@router.get("/series", response_model=Page[Series])
async def list_series(
    parts: PartsOf, device: Filter = None, metric: Filter = None, limit: Limit = 100, cursor: Cursor = None
) -> JsonResponse:
    """Series by id."""
    key = cursor_key(cursor, "series", int)
    rows = await parts.queries.series(limit=limit + 1, after=key[0] if key else None, device=device, metric=metric)
    items, more = cut(rows, limit)
    return JsonResponse(Page(items, encode_cursor("series", items[-1].series_id) if more else None))
