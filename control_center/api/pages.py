"""What a person opens in a browser: the control center's page, and the API's description without a CDN."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Request
from starlette.responses import FileResponse, HTMLResponse, RedirectResponse, Response
from starlette.staticfiles import StaticFiles

from control_center.api.errors import language_of
from control_center.texts import text

DIST: Final = Path(__file__).parent.parent / "ui" / "dist"
_SWAGGER_FILES: Final = ("swagger-ui.css", "swagger-ui-bundle.js")

_SWAGGER: Final = """<!doctype html><html lang="en"><head><meta charset="utf-8"><title>CityNerve API</title>
<link rel="stylesheet" href="/swagger/swagger-ui.css"></head>
<body><div id="swagger-ui"></div><script src="/swagger/swagger-ui-bundle.js"></script>
<script src="/api/docs/start.js"></script></body></html>"""
_SWAGGER_START: Final = (
    'window.ui = SwaggerUIBundle({url: "/api/openapi.json", dom_id: "#swagger-ui", '
    "deepLinking: true, validatorUrl: null});"
)

router = APIRouter(include_in_schema=False)


def install_page(app: FastAPI, dist: Path = DIST) -> None:
    """Serve the built page at /; where it was not built, a sentence that says how."""
    if (dist / "index.html").is_file():
        app.mount("/", StaticFiles(directory=dist, html=True), name="page")
        return

    @app.get("/", include_in_schema=False)
    async def not_built(request: Request) -> Response:
        sentence = text("page_not_built", language_of(request))
        return HTMLResponse(f"<!doctype html><title>CityNerve</title><p>{html.escape(sentence)}</p>", status_code=503)


@router.get("/api")
@router.get("/api/")
async def api_root() -> Response:
    """The description is what someone looks for here."""
    return RedirectResponse("/api/docs", status_code=307)


@router.get("/api/docs")
async def docs(request: Request) -> Response:
    """Swagger UI from the page's build, or a plain list of the routes."""
    if all((DIST / "swagger" / name).is_file() for name in _SWAGGER_FILES):
        return HTMLResponse(_SWAGGER)
    return HTMLResponse(_plain(request.app.openapi()))


@router.get("/api/docs/start.js")
async def docs_start() -> Response:
    """The call that starts Swagger UI; a file of its own, because our pages allow no inline script."""
    return Response(_SWAGGER_START, media_type="text/javascript")


@router.get("/favicon.ico")
async def favicon() -> Response:
    """Browsers ask for it; the page brings its own icon."""
    icon = DIST / "favicon.ico"
    return FileResponse(icon) if icon.is_file() else Response(status_code=204)


def _plain(document: dict[str, Any]) -> str:
    rows = [
        f"<tr><td><b>{method.upper()}</b></td><td><code>{html.escape(path)}</code></td><td>{_parameters(operation)}</td>"
        f"<td>{html.escape(operation.get('description', ''))}</td></tr>"
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>CityNerve API</title></head><body>'
        f"<h1>CityNerve API {html.escape(document['info']['version'])}</h1>"
        '<p>The whole description, with every shape: <a href="/api/openapi.json">/api/openapi.json</a></p>'
        f"<table>{''.join(rows)}</table></body></html>"
    )


def _parameters(operation: dict[str, Any]) -> str:
    return ", ".join(f"<code>{html.escape(parameter['name'])}</code>" for parameter in operation.get("parameters", []))
