"""Devices whose clock is wrong, each with how far it is off and what that looks like."""

from __future__ import annotations

from fastapi import APIRouter

from control_center.api.parameters import API, Cursor, Filter, Lang, Limit, PartsOf, cursor_key, cut
from control_center.api.payloads import JsonResponse, Page
from control_center.cursors import encode_cursor
from control_center.device_clocks import DeviceClockItem, item

router = APIRouter(prefix=API, tags=["devices"])


@router.get("/device-clocks", response_model=Page[DeviceClockItem])
async def list_device_clocks(
    *, parts: PartsOf, lang: Lang, device: Filter = None, limit: Limit = 100, cursor: Cursor = None
) -> JsonResponse:
    """By device, those heard of within the last day. A device leaves the list with its first reading at the right time."""
    key = cursor_key(cursor, "device-clocks", str, str)
    rows = await parts.queries.device_clocks(limit=limit + 1, device=device, after=(key[0], key[1]) if key else None)
    shown, more = cut(rows, limit)
    after = encode_cursor("device-clocks", shown[-1].device, shown[-1].kind) if more else None
    return JsonResponse(Page([item(row, parts.city.zone, lang) for row in shown], after))
