"""The control center's HTTP API in front of a made-up city, for tests of the page. Shapes as the interface states them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Header, HTTPException, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.staticfiles import StaticFiles

from tests.browser.mock_city import Item, MockCity, iso, now, signal

CONTENT_SECURITY_POLICY = "default-src 'self'"
EVERY_S = 0.25
STEP_S = {"1m": 60, "15m": 900, "1h": 3600}
GAP_FROM, GAP_TO = timedelta(hours=2, minutes=30), timedelta(hours=2)
SHORT_GAP_FROM, SHORT_GAP_TO = timedelta(minutes=30), timedelta(minutes=22)


@dataclass
class Wire:
    """What the tests can do to the connection, and what they can see of it."""

    queues: set[asyncio.Queue[tuple[str, Item]]] = field(default_factory=set)
    mute: bool = False
    refuse: bool = False
    fail: dict[str, int] = field(default_factory=dict)
    requests: list[str] = field(default_factory=list)
    last_event_ids: list[str | None] = field(default_factory=list)
    next_id: int = 1
    generation: int = 0

    def drop(self) -> None:
        """Ends all open streams."""
        self.generation += 1

    def send(self, event: str, data: Item) -> None:
        for queue in self.queues:
            queue.put_nowait((event, data))


def page(items: list[Item], limit: int, cursor: str | None) -> Item:
    start = int(cursor or 0)
    more = start + limit < len(items)
    return {"items": items[start : start + limit], "next_cursor": str(start + limit) if more else None}


def in_gap(time: datetime) -> bool:
    age = now() - time
    return GAP_TO < age < GAP_FROM or SHORT_GAP_TO < age < SHORT_GAP_FROM


def language_of(lang: str | None, accept: str) -> str:
    return lang or ("vi" if accept.lower().startswith("vi") else "en")


def create(city: MockCity, wire: Wire, dist: Path) -> FastAPI:
    app = FastAPI()
    add_headers(app, wire)
    add_catalogue(app, city)
    add_history(app, city)
    add_alarms(app, city, wire)
    add_stream(app, city, wire)
    app.mount("/", StaticFiles(directory=dist, html=True))
    return app


def add_headers(app: FastAPI, wire: Wire) -> None:
    @app.middleware("http")
    async def policy(request: Request, call_next: Any) -> Response:
        wire.requests.append(request.url.path)
        status = wire.fail.get(request.url.path)
        if status is not None:
            return JSONResponse({"error": {"code": "made_to_fail", "message": "database unreachable"}}, status)
        response: Response = await call_next(request)
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        return response


def add_catalogue(app: FastAPI, city: MockCity) -> None:
    @app.get("/api/v1/city")
    def get_city() -> Item:
        return {
            "name": "Đà Nẵng",
            "time_zone": "Asia/Ho_Chi_Minh",
            "latitude": 16.06,
            "longitude": 108.21,
            "languages": ["en", "vi"],
        }

    @app.get("/api/v1/devices")
    def get_devices(limit: int = 100, cursor: str | None = None) -> Item:
        return page(city.devices, limit, cursor)

    @app.get("/api/v1/series")
    def get_series(limit: int = 100, cursor: str | None = None) -> Item:
        return page(city.series, limit, cursor)

    @app.get("/api/v1/ledger")
    def get_ledger() -> Item:
        totals = city.totals()
        first = {key: value * 2 // 3 for key, value in totals.items()}
        second = {key: value - first[key] for key, value in totals.items()}
        rest = {"messages": 1, "spooled": 0, "last_seen": iso(now())}
        rows = [
            {"gateway": "gw-1", "epoch": 1764000000, "open": True} | first | rest,
            {"gateway": "gw-2", "epoch": 1764000001, "open": True} | second | rest,
        ]
        return {"totals": totals, "audit": city.audit, "items": rows, "gaps": city.gaps}

    @app.get("/api/v1/deadletters/reasons")
    def get_dead_letter_reasons() -> Item:
        return {"items": city.dead_letter_reasons, "next_cursor": None}

    @app.get("/api/v1/device-clocks")
    def get_device_clocks() -> Item:
        return {"items": city.wrong_clocks, "next_cursor": None}

    @app.get("/api/v1/flow")
    def get_flow() -> Item:
        return city.flow_item()

    @app.get("/api/v1/status")
    def get_status() -> Item:
        return city.status()

    @app.get("/api/v1/live")
    def get_live() -> Item:
        return {"time": iso(now()), "items": [item | {"age_s": 1.0} for item in city.live_items()]}


def add_history(app: FastAPI, city: MockCity) -> None:
    def interval(device: str, metric: str) -> int:
        return next(
            int(one["interval_s"]) for one in city.series if one["device"] == device and one["metric"] == metric
        )

    @app.get("/api/v1/readings")
    def get_readings(request: Request, device: str, metric: str, limit: int = 1000, cursor: str | None = None) -> Item:
        items = [
            {"time": iso(time), "value": signal(device, metric, time.timestamp()), "flags": 0}
            for time in moments(request, interval(device, metric))
            if not in_gap(time)
        ]
        return page(items, limit, cursor)

    @app.get("/api/v1/windows")
    def get_windows(request: Request, device: str, metric: str, limit: int = 1000, cursor: str | None = None) -> Item:
        step_s = STEP_S[request.query_params["size"]]
        items = [window(device, metric, time, step_s) for time in moments(request, step_s) if not in_gap(time)]
        return page(items, limit, cursor)


def moments(request: Request, step_s: int) -> list[datetime]:
    start = datetime.fromisoformat(request.query_params["from"])
    end = min(datetime.fromisoformat(request.query_params["to"]), now())
    first = (int(start.timestamp()) // step_s + 1) * step_s
    return [datetime.fromtimestamp(at, UTC) for at in range(first, int(end.timestamp()) + 1, step_s)]


def window(device: str, metric: str, time: datetime, step_s: int) -> Item:
    values = [signal(device, metric, time.timestamp() + step_s * part / 5) for part in range(5)]
    mean = sum(values) / len(values)
    spread = abs(mean) * 0.06
    return {
        "time": iso(time), "count": len(values), "mean": mean, "min": min(values) - spread, "max": max(values) + spread,
        "std": 1.0, "first": values[0], "last": values[-1], "p50": mean, "p95": max(values), "p99": max(values), "special": mean,
        "expected": 5, "valid": 5, "late": 0, "flagged": 0, "revision": 0,
    }  # fmt: skip


def add_alarms(app: FastAPI, city: MockCity, wire: Wire) -> None:
    @app.get("/api/v1/alarms")
    def get_alarms(
        state: str = "all",
        limit: int = 100,
        cursor: str | None = None,
        lang: str | None = None,
        accept_language: str = Header("en"),
    ) -> Item:
        language = language_of(lang, accept_language)
        chosen = [
            one for one in city.alarms.values() if state == "all" or (state == "open") == (one["state"] != "cleared")
        ]
        chosen.sort(key=lambda one: (one["raised_at"], one["alarm_id"]), reverse=True)
        return page([city.alarm_item(one, language) for one in chosen], limit, cursor)

    @app.post("/api/v1/alarms/{alarm_id}/acknowledge")
    def acknowledge(
        alarm_id: int, body: dict[str, str], lang: str | None = None, accept_language: str = Header("en")
    ) -> Any:
        alarm = city.alarms[alarm_id]
        if alarm["state"] == "cleared":
            return JSONResponse({"error": {"code": "alarm_cleared", "message": "the alarm is cleared"}}, 409)
        if not body.get("by", "").strip():
            raise HTTPException(422)
        alarm |= {"state": "acknowledged", "acknowledged_by": body["by"], "acknowledged_at": iso(now())}
        wire.send("alarm", alarm)
        return city.alarm_item(alarm, language_of(lang, accept_language))


def add_stream(app: FastAPI, city: MockCity, wire: Wire) -> None:
    @app.get("/api/v1/stream")
    async def stream(request: Request, lang: str = "en") -> Response:
        if wire.refuse:
            return Response(status_code=503)
        last = request.headers.get("last-event-id") or request.query_params.get("last_event_id")
        wire.last_event_ids.append(last)
        return StreamingResponse(
            events(city, wire, lang), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )


async def events(city: MockCity, wire: Wire, language: str) -> AsyncIterator[str]:
    queue: asyncio.Queue[tuple[str, Item]] = asyncio.Queue()
    wire.queues.add(queue)
    generation, tick = wire.generation, 0
    yield "retry: 500\n\n"
    try:
        while generation == wire.generation:
            if not wire.mute:
                queue.put_nowait(("live", {"items": city.live_items(0.05)}))
                if tick % 4 == 0:
                    queue.put_nowait(("status", city.status()))
                while not queue.empty():
                    name, data = queue.get_nowait()
                    data = city.alarm_item(data, language) if name == "alarm" else data
                    wire.next_id += 1
                    yield f"id: {wire.next_id}\nevent: {name}\ndata: {json.dumps(data)}\n\n"
            tick += 1
            city.catch_up(EVERY_S)
            await asyncio.sleep(EVERY_S)
    finally:
        wire.queues.discard(queue)
