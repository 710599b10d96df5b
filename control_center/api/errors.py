"""Refusals: one JSON shape, one sentence in the caller's language, never a traceback for a caller's mistake."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final

import asyncpg
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from control_center.api.payloads import JsonResponse, error_body
from control_center.queries import DATABASE_AWAY
from control_center.texts import LANGUAGES, Language, preferred_language, text

_log = logging.getLogger(__name__)

_PROBLEMS: Final[Mapping[str, tuple[str, str | None]]] = {
    "missing": ("invalid_missing", None),
    "int_parsing": ("invalid_number", None),
    "int_parsing_size": ("invalid_number", None),
    "int_type": ("invalid_number", None),
    "int_from_float": ("invalid_number", None),
    "greater_than_equal": ("invalid_at_least", "ge"),
    "less_than_equal": ("invalid_at_most", "le"),
    "literal_error": ("invalid_choice", "expected"),
    "enum": ("invalid_choice", "expected"),
    "string_too_long": ("invalid_too_long", "max_length"),
    "string_too_short": ("invalid_too_short", "min_length"),
    "string_pattern_mismatch": ("invalid_text", None),
    "string_unicode": ("invalid_text", None),
    "string_type": ("invalid_text", None),
    "time": ("invalid_time", None),
    "json_invalid": ("invalid_json", None),
    "model_type": ("invalid_object", None),
    "model_attributes_type": ("invalid_object", None),
    "dict_type": ("invalid_object", None),
    "extra_forbidden": ("invalid_extra", None),
}


class ApiError(Exception):
    """A refusal: the status, the key of its sentence in texts.toml (also its code), and the values for it."""

    def __init__(self, status: int, key: str, **values: object) -> None:
        super().__init__(key)
        self.status = status
        self.key = key
        self.values = values


class BodyTooLargeError(Exception):
    """A body that did not say its length turned out larger than the limit (bytes)."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"more than {limit} bytes")
        self.limit = limit


def language_of(request: Request) -> Language:
    """?lang= where it is one of ours, else Accept-Language, else English."""
    asked = request.query_params.get("lang")
    for language in LANGUAGES:
        if asked == language:
            return language
    return preferred_language(request.headers.get("accept-language", ""))


def refusal(status: int, key: str, language: Language, **values: object) -> Response:
    """The response of a refusal."""
    return JsonResponse(error_body(key, language, **values), status_code=status)


def validation_message(problems: Sequence[Mapping[str, Any]], language: Language) -> str:
    """All mistakes of a request in one sentence; what the caller sent is never repeated, so nothing foreign gets into a log or a page."""
    return "; ".join(_problem(problem, language) for problem in problems[:20])


def _problem(problem: Mapping[str, Any], language: Language) -> str:
    key, limit = _PROBLEMS.get(str(problem["type"]), ("invalid_other", None))
    context = problem.get("ctx") or {}
    value = context.get(limit) if limit is not None else None
    names = [str(part) for part in problem["loc"][1:] if isinstance(part, str)] if key != "invalid_json" else []
    where = ".".join(names)[:100] or "body"
    if key == "invalid_extra":
        where = "".join(character for character in where if character.isalnum() or character in "._-") or "body"
    return text("invalid", language, where=where, problem=text(key, language, limit=value, choices=value))


async def _api_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ApiError)  # noqa: S101 - Starlette calls it for nothing else
    return refusal(error.status, error.key, language_of(request), **error.values)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101 - see above
    message = validation_message(error.errors(), language_of(request))
    return JsonResponse({"error": {"code": "invalid", "message": message}}, status_code=422)


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 - see above
    language = language_of(request)
    if error.status_code == 405:
        return refusal(405, "method_not_allowed", language, method=request.method)
    if error.status_code == 404:
        return refusal(404, "not_found", language)
    if error.status_code >= 500:
        return refusal(error.status_code, "internal", language)
    if isinstance(error.__cause__, BodyTooLargeError):  # FastAPI wraps whatever goes wrong while it reads a body
        return refusal(413, "body_too_large", language, limit=error.__cause__.limit)
    # what is left is FastAPI's answer to a body it cannot read at all
    return refusal(error.status_code, "invalid_body", language)


async def _too_slow(request: Request, _: Exception) -> Response:
    return refusal(503, "query_too_slow", language_of(request))


async def _away(request: Request, error: Exception) -> Response:
    _log.warning("database away", extra={"fields": {"path": request.url.path, "error": repr(error)}})
    return refusal(503, "database_away", language_of(request))


async def _not_migrated(request: Request, _: Exception) -> Response:
    return refusal(503, "not_migrated", language_of(request))


async def _ours(request: Request, _: Exception) -> Response:
    return refusal(500, "internal", language_of(request))


def install_error_handlers(app: FastAPI) -> None:
    """Every way a request can fail, with its answer."""
    app.add_exception_handler(ApiError, _api_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(asyncpg.QueryCanceledError, _too_slow)
    for missing in (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
        app.add_exception_handler(missing, _not_migrated)
    for kind in DATABASE_AWAY:
        app.add_exception_handler(kind, _away)
    app.add_exception_handler(Exception, _ours)
