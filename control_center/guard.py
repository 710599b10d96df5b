"""What stands before every route: host names, foreign sites, body size, security headers, the count of requests.

Plain ASGI, so streams pass through it unbuffered.
"""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from control_center.api.errors import BodyTooLargeError, language_of, refusal
from control_center.metrics import ControlMetrics
from control_center.settings import ControlSettings

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_PROBES: Final = frozenset({"/healthz", "/readyz", "/metrics"})  # asked by address, whatever that is
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

SECURITY_HEADERS: Final = {
    # the map draws in a worker it makes from a blob, and paints images it makes itself; nothing comes from elsewhere
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; worker-src 'self' blob:; "
        "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), camera=(), microphone=()",
}


class Guard:
    """The outermost layer of the application."""

    def __init__(self, app: ASGIApp, *, settings: ControlSettings, metrics: ControlMetrics) -> None:
        self._app = app
        self._hosts = settings.hosts
        self._public = settings.public_url
        self._max_body = settings.max_body_bytes
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse what may not enter; count and harden what leaves."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()

        async def hardened(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._leave(scope, message, time.perf_counter() - started)
            await send(message)

        refused = self._refused(Request(scope))
        if refused is not None:
            status, key, values = refused
            await refusal(status, key, language_of(Request(scope)), **values)(scope, receive, hardened)
            return
        await self._app(scope, _limited(receive, self._max_body), hardened)

    def _refused(self, request: Request) -> tuple[int, str, dict[str, object]] | None:
        host = request.headers.get("host", "")
        if self._hosts is not None and _name(host) not in self._hosts and request.url.path not in _PROBES:
            return 400, "unknown_host", {}
        if request.method not in _SAFE_METHODS and not self._own(request.headers, host):
            return 403, "cross_site", {}
        length = request.headers.get("content-length", "0")
        if not (length.isascii() and length.isdigit()) or int(length[:19]) > self._max_body:
            return 413, "body_too_large", {"limit": self._max_body}
        return None

    def _own(self, headers: Headers, host: str) -> bool:
        """Browsers say where a change comes from; programs say nothing and hold no ambient credentials that could be abused."""
        if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return False
        origin = headers.get("origin")
        return origin is None or urlsplit(origin).netloc == host or (bool(self._public) and origin == self._public)

    def _leave(self, scope: Scope, message: Message, seconds: float) -> None:
        headers = MutableHeaders(scope=message)
        for name, value in SECURITY_HEADERS.items():
            headers.setdefault(name, value)
        if scope["path"].startswith("/api/"):
            headers.setdefault("Cache-Control", "no-store")
        route = _route(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.http_requests.labels(f"{method} {route}", str(message["status"])).inc()
        self._metrics.http_seconds.labels(f"{method} {route}").observe(seconds)


def _limited(receive: Receive, limit: int) -> Receive:
    taken = 0

    async def limited() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > limit:
            raise BodyTooLargeError(limit)
        return message

    return limited


def _route(scope: Scope) -> str:
    """The route's pattern, never the path: paths are made up by callers and would grow /metrics without bound."""
    if isinstance(scope.get("endpoint"), StaticFiles):
        return "page"
    route = scope.get("route")
    pattern = getattr(route, "path", None)
    return pattern if isinstance(pattern, str) and pattern else "unmatched"


def _name(host: str) -> str:
    if host.startswith("["):
        return host.partition("]")[0] + "]"
    return host.partition(":")[0].lower()
