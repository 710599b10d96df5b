"""The ledger: what became of every reading, and the dead letters it names."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Query

from control_center.api.parameters import API, Cursor, Filter, Limit, PartsOf, cursor_key, cut
from control_center.api.payloads import DeadLetterItem, JsonResponse, LedgerPage, Page, dead_letter_item
from control_center.cursors import encode_cursor
from control_center.rows import DeadLetterReason
from ingest.contract.rejects import RejectReason

router = APIRouter(prefix=API, tags=["ledger"])


@router.get("/ledger", response_model=LedgerPage)
async def get_ledger(parts: PartsOf, gateway: Filter = None, limit: Limit = 100, cursor: Cursor = None) -> JsonResponse:
    """received = stored + duplicate + dead_letter + refused + in_flight + unaccounted, for each life of each gateway and in total."""
    key = cursor_key(cursor, "ledger", str, int)
    totals, audit = await parts.queries.ledger_totals(gateway), await parts.queries.ledger_audit()
    rows = await parts.queries.ledger(limit=limit + 1, gateway=gateway, after=(key[0], key[1]) if key else None)
    items, more = cut(rows, limit)
    following = encode_cursor("ledger", items[-1].gateway, items[-1].epoch) if more else None
    return JsonResponse(LedgerPage(totals, audit, items, following, await parts.queries.offset_gaps()))


@router.get("/deadletters/reasons", response_model=Page[DeadLetterReason])
async def list_dead_letter_reasons(
    parts: PartsOf, days: Annotated[int, Query(ge=1, le=366, description="received within so many days")] = 7
) -> JsonResponse:
    """Refused payloads by reason, the most readings first, each with the newest example. One page."""
    since = parts.live.clock.now() - timedelta(days=days)
    return JsonResponse(Page(await parts.queries.dead_letter_reasons(since), None))


@router.get("/deadletters", response_model=Page[DeadLetterItem])
async def list_dead_letters(
    parts: PartsOf, reason: RejectReason | None = None, limit: Limit = 100, cursor: Cursor = None
) -> JsonResponse:
    """Refused payloads, newest first."""
    key = cursor_key(cursor, "deadletters", int)
    rows = await parts.queries.dead_letters(limit=limit + 1, reason=reason, before=key[0] if key else None)
    shown, more = cut(rows, limit)
    after = encode_cursor("deadletters", shown[-1].letter_id) if more else None
    return JsonResponse(Page([dead_letter_item(row) for row in shown], after))
