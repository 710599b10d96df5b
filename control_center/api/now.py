"""What is true now: the newest value of every series, the state of the data's way, the city, and all of it as a stream."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from control_center.api.errors import ApiError
from control_center.api.parameters import API, Lang, PartsOf
from control_center.api.payloads import CityItem, JsonResponse, LiveSnapshot, StatusItem
from control_center.api.sse import EventStream
from control_center.flow_text import FlowItem
from control_center.texts import LANGUAGES

router = APIRouter(prefix=API, tags=["live"])


@router.get("/live", response_model=LiveSnapshot)
async def get_live(parts: PartsOf) -> JsonResponse:
    """The newest value of every series, from the readings topic itself: it does not wait for the database."""
    now = parts.live.clock.now()
    return JsonResponse(LiveSnapshot(now, parts.live.snapshot(now)))


@router.get("/status", response_model=StatusItem)
async def get_status(parts: PartsOf) -> JsonResponse:
    """Lag, rates, what is in flight and what is unaccounted for; taken once a second for all callers."""
    return JsonResponse(parts.status.current(parts.live.clock.now()))


@router.get("/flow", response_model=FlowItem)
async def get_flow(parts: PartsOf, language: Lang) -> JsonResponse:
    """Who waits for whom, from the devices to the database, each hop in a sentence. What nobody has said is unknown, never fine."""
    return JsonResponse(parts.status.flow(parts.live.clock.now(), language))


@router.get("/city", response_model=CityItem)
async def get_city(parts: PartsOf) -> JsonResponse:
    """Name, time zone and centre of the city."""
    city = parts.city
    return JsonResponse(CityItem(city.name, city.time_zone, city.latitude, city.longitude, list(LANGUAGES)))


@router.get("/stream", response_class=Response, responses={200: {"content": {"text/event-stream": {}}}})
async def stream(
    request: Request,
    parts: PartsOf,
    language: Lang,
    last_event_id: Annotated[str | None, Query(max_length=40, description="as the header Last-Event-ID")] = None,
) -> Response:
    """Server-sent events `live`, `alarm`, `status` and, where the place asked for is no longer kept, `reset`. See docs/api.md."""
    client = parts.hub.join(request.headers.get("last-event-id") or last_event_id, language)
    if client is None:
        raise ApiError(503, "too_many_streams", limit=parts.settings.sse_max_clients)
    return EventStream(parts.hub, client, send_timeout_s=parts.settings.sse_send_timeout_s)
