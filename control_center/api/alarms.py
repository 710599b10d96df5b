"""Alarms: the list, one with its history, and taking care of one."""

from __future__ import annotations

from dataclasses import fields
from datetime import datetime
from typing import Annotated, Final, Literal

from fastapi import APIRouter, Query

from control_center.api.errors import ApiError
from control_center.api.parameters import API, AlarmPath, Cursor, Filter, Lang, Limit, PartsOf, cursor_key, cut
from control_center.api.payloads import Acknowledgement, AlarmDetail, AlarmItem, JsonResponse, Page, alarm_item
from control_center.cursors import encode_cursor
from control_center.parts import Parts
from control_center.texts import Language
from processors.contract.rules import Severity

router = APIRouter(prefix=API, tags=["alarms"])

StateFilter = Literal["open", "raised", "acknowledged", "cleared", "all"]
_STATES: Final[dict[str, tuple[str, ...] | None]] = {
    "open": ("raised", "acknowledged"),
    "raised": ("raised",),
    "acknowledged": ("acknowledged",),
    "cleared": ("cleared",),
    "all": None,
}


@router.get("/alarms", response_model=Page[AlarmItem])
async def list_alarms(
    *,
    parts: PartsOf,
    language: Lang,
    state: Annotated[StateFilter, Query(description="open: raised or acknowledged")] = "open",
    severity: Severity | None = None,
    device: Filter = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> JsonResponse:
    """Alarms, newest first."""
    key = cursor_key(cursor, "alarms", datetime, int)
    before = (key[0], key[1]) if key else None
    rows = await parts.queries.alarms(
        limit=limit + 1, states=_STATES[state], severity=severity, device=device, before=before
    )
    shown, more = cut(rows, limit)
    gateway_of = parts.live.values.gateway_of
    after = encode_cursor("alarms", shown[-1].raised_at, shown[-1].alarm_id) if more else None
    return JsonResponse(Page([alarm_item(row, language, gateway_of(row.device)) for row in shown], after))


@router.get("/alarms/{alarm_id}", response_model=AlarmDetail)
async def get_alarm(parts: PartsOf, language: Lang, alarm_id: AlarmPath) -> JsonResponse:
    """One alarm with its history."""
    item = await _item(parts, alarm_id, language)
    events = await parts.queries.alarm_events(alarm_id)
    return JsonResponse(
        AlarmDetail(**{field.name: getattr(item, field.name) for field in fields(AlarmItem)}, events=events)
    )


@router.post("/alarms/{alarm_id}/acknowledge", response_model=AlarmItem)
async def acknowledge_alarm(parts: PartsOf, language: Lang, alarm_id: AlarmPath, body: Acknowledgement) -> JsonResponse:
    """Say who takes care of an alarm. Once acknowledged it stays so: a second call changes nothing and answers with the alarm."""
    outcome = await parts.alarms.acknowledge(alarm_id, by=body.by, comment=body.comment, now=parts.live.clock.now())
    if outcome == "unknown":
        raise ApiError(404, "unknown_alarm", alarm_id=alarm_id)
    if outcome == "cleared":
        raise ApiError(409, "alarm_cleared", alarm_id=alarm_id)
    return JsonResponse(await _item(parts, alarm_id, language))


async def _item(parts: Parts, alarm_id: int, language: Language) -> AlarmItem:
    rows = await parts.queries.alarms_by_id([alarm_id])
    if not rows:
        raise ApiError(404, "unknown_alarm", alarm_id=alarm_id)
    return alarm_item(rows[0], language, parts.live.values.gateway_of(rows[0].device))
