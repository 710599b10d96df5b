"""What operators' tools ask: alive, ready, metrics."""

from __future__ import annotations

from fastapi import APIRouter, Request
from prometheus_client.exposition import generate_latest
from starlette.concurrency import run_in_threadpool
from starlette.responses import Response

from control_center.api.parameters import PartsOf
from control_center.api.payloads import JsonResponse

router = APIRouter(include_in_schema=False)


@router.get("/healthz")
async def healthz() -> JsonResponse:
    """The process answers."""
    return JsonResponse({"alive": True})


@router.get("/readyz")
async def readyz(parts: PartsOf) -> JsonResponse:
    """200, or 503 with the reasons."""
    reasons = parts.problems()
    return JsonResponse({"ready": not reasons, "reasons": reasons}, status_code=503 if reasons else 200)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Prometheus text format."""
    body = await run_in_threadpool(generate_latest, request.app.state.metrics.registry)
    return Response(body, media_type="text/plain; version=0.0.4; charset=utf-8")
