"""What every service shows its operator: settings read once, one-line errors, log lines, the stop signal, /healthz /readyz /metrics."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
import tomllib
from collections.abc import AsyncIterator, Callable, Generator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, TypeVar

import uvicorn
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from pydantic import BaseModel, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ingest.contract.log_repeats import Repeats
from ingest.contract.user_error import EXIT_OK, EXIT_TROUBLE, EXIT_USAGE, UserError

__all__ = [
    "EXIT_OK", "EXIT_TROUBLE", "EXIT_USAGE", "JsonLines", "UserError", "configure_logging", "load_section", "load_sections",
    "serve_application", "status_server", "stop_event_on_signals",
]  # fmt: skip

ENV_PREFIX = "CITYNERVE_"
SECTIONS = ("city", "mqtt", "kafka", "database", "ingest", "processors", "control", "local", "simulators")
"""Every section that any part of the program reads; a program reads a few, and a mistyped name must not pass for another's."""
Model = TypeVar("Model", bound=BaseModel)


def load_sections(
    models: Mapping[str, type[BaseModel]], config: Path | None, environ: Mapping[str, str] | None = None
) -> dict[str, BaseModel]:
    """Read the named sections of the settings file, with CITYNERVE_<SECTION>__<FIELD> winning over it.

    The file is `config`, or CITYNERVE_CONFIG, or ./citynerve.toml where that exists.

    Raises:
        UserError: the file cannot be read, it has a section nobody reads, or any value is wrong; all mistakes in one message.
    """
    env = os.environ if environ is None else environ
    document = _read_toml(config, env)
    loaded: dict[str, BaseModel] = {}
    problems = _unknown_sections(document, env)
    for section, model in models.items():
        raw = dict(document.get(section, {}))
        start = f"{ENV_PREFIX}{section.upper()}__"
        raw |= {key[len(start) :].lower(): _env_value(value) for key, value in env.items() if key.startswith(start)}
        try:
            loaded[section] = model.model_validate(raw)
        except ValidationError as error:
            problems += [_problem(section, item) for item in error.errors(include_url=False, include_input=False)]
    if problems:
        raise UserError("wrong settings, nothing was started:\n  " + "\n  ".join(problems))
    return loaded


def load_section(
    section: str, model: type[Model], config: Path | None, environ: Mapping[str, str] | None = None
) -> Model:
    """One section; see `load_sections`."""
    loaded = load_sections({section: model}, config, environ)[section]
    assert isinstance(loaded, model)  # noqa: S101 - narrows for mypy what load_sections built from this very model
    return loaded


def _read_toml(config: Path | None, env: Mapping[str, str]) -> dict[str, Any]:
    named = config or (Path(env["CITYNERVE_CONFIG"]) if env.get("CITYNERVE_CONFIG") else None)
    path = named or Path("citynerve.toml")
    if named is None and not path.exists():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the settings file {path}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"the settings file {path} is not valid TOML: {error}") from None


def _unknown_sections(document: Mapping[str, Any], env: Mapping[str, str]) -> list[str]:
    named = {section: f"[{section}]" for section in document}
    for key in env:
        section, apart, _ = key.removeprefix(ENV_PREFIX).partition("__")
        if key.startswith(ENV_PREFIX) and apart:
            named[section.lower()] = key
    known = ", ".join(SECTIONS)
    return [
        f"{where}: there is no section {name}; known are {known}"
        for name, where in named.items()
        if name not in SECTIONS
    ]


def _env_value(text: str) -> Any:
    """JSON lists and objects are taken as such; everything else stays text for pydantic to convert."""
    if text[:1] in "[{" and text:
        with contextlib.suppress(ValueError):
            return json.loads(text)
    return text


def _problem(section: str, item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"])
    text = str(item["msg"]).removeprefix("Value error, ")
    if item["type"] == "extra_forbidden":
        text = "there is no such setting; citynerve.toml lists them all"
    return f"[{section}] {where}: {text}" if where else text


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and `extra={"fields": {...}}`. Newlines in data cannot forge a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure_logging(level: str = "INFO") -> None:
    """Send every logger to stderr as JSON lines; what aiokafka repeats several times a second is thinned out."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    handler.addFilter(Repeats("aiokafka"))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def stop_event_on_signals() -> asyncio.Event:
    """An event that SIGTERM and SIGINT set. Call inside the running loop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    return stop


@contextlib.asynccontextmanager
async def status_server(
    host: str, port: int, registry: CollectorRegistry, reasons_not_ready: Callable[[], list[str]]
) -> AsyncIterator[int]:
    """Serve /healthz, /readyz and /metrics while the body runs; yields the bound port (0 asks for a free one)."""

    async def healthz(_: Request) -> Response:
        return JSONResponse({"alive": True})

    async def readyz(_: Request) -> Response:
        reasons = reasons_not_ready()
        return JSONResponse({"ready": not reasons, "reasons": reasons}, status_code=503 if reasons else 200)

    async def metrics(_: Request) -> Response:
        return Response(generate_latest(registry), media_type="text/plain; version=0.0.4; charset=utf-8")

    routes = [Route("/healthz", healthz), Route("/readyz", readyz), Route("/metrics", metrics)]
    async with serve_application(Starlette(routes=routes), host, port, stop_budget_s=2.0) as bound:
        yield bound


@contextlib.asynccontextmanager
async def serve_application(
    application: Callable[..., Any],
    host: str,
    port: int,
    *,
    stop_budget_s: float,
    lifespan: Literal["on", "off"] = "off",
) -> AsyncIterator[int]:
    """Serve an ASGI application while the body runs; yields the bound port (0 asks for a free one).

    Open requests get `stop_budget_s` to end. With lifespan "on" the body runs once the application's start-up is done.

    Raises:
        UserError: the port is taken, or the application's start-up failed.
    """
    listening = _listen(host, port)
    config = uvicorn.Config(
        application, log_config=None, access_log=False, lifespan=lifespan, server_header=False,
        timeout_graceful_shutdown=max(1, int(stop_budget_s)),
    )  # fmt: skip
    server = _QuietServer(config)
    serving = asyncio.create_task(server.serve(sockets=[listening]), name="http server")
    try:
        while not server.started and not serving.done():  # noqa: ASYNC110 - uvicorn tells of its start by a flag only
            await asyncio.sleep(0.01)
        if not server.started:
            raise UserError("the HTTP server did not start; the log lines above say why", exit_code=EXIT_TROUBLE)
        yield int(listening.getsockname()[1])
    finally:
        server.should_exit = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(stop_budget_s + 1):
                await serving
        listening.close()


class _QuietServer(uvicorn.Server):
    """uvicorn without its own signal handlers: the service decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


def _listen(host: str, port: int) -> socket.socket:
    # bound here because uvicorn answers a taken port with sys.exit and a traceback
    # the protocol is named because asyncio sets TCP_NODELAY only on sockets that say so; without it each answer waits 40 ms for an ACK
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        listening.close()
        raise UserError(f"cannot listen on {host}:{port}: {error.strerror}; set another http_port") from None
    return listening
