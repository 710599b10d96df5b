"""Devices: the register, and one device with the newest value of each series."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated

from fastapi import APIRouter, Query

from control_center.api.errors import ApiError
from control_center.api.parameters import (
    API,
    NO_CONTROL_CHARACTERS,
    Cursor,
    DevicePath,
    Filter,
    Limit,
    PartsOf,
    cursor_key,
    cut,
)
from control_center.api.payloads import DeviceDetail, JsonResponse, Page
from control_center.cursors import encode_cursor
from control_center.rows import Device

router = APIRouter(prefix=API, tags=["devices"])
Search = Annotated[
    str | None,
    Query(max_length=200, pattern=NO_CONTROL_CHARACTERS, description="a part of the id or the name, in any case"),
]


@router.get("/devices", response_model=Page[Device])
async def list_devices(
    *,
    parts: PartsOf,
    kind: Filter = None,
    district: Filter = None,
    q: Search = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> JsonResponse:
    """Devices by id."""
    key = cursor_key(cursor, "devices", str)
    after = key[0] if key else None
    rows = await parts.queries.devices(limit=limit + 1, after=after, kind=kind, district=district, q=q or None)
    items, more = cut(rows, limit)
    return JsonResponse(Page(items, encode_cursor("devices", items[-1].device) if more else None))


@router.get("/devices/{device:path}", response_model=DeviceDetail)
async def get_device(parts: PartsOf, device: DevicePath) -> JsonResponse:
    """One device, with the newest stored value of each of its series."""
    row = await parts.queries.device(device)
    if row is None:
        raise ApiError(404, "unknown_device", device=device)
    series = await parts.queries.last_values(device)
    return JsonResponse(
        DeviceDetail(**{field.name: getattr(row, field.name) for field in fields(Device)}, series=series)
    )
