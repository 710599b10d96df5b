"""Parameters of the routes: each with its bounds, so that a hostile value is a 422 and never reaches the database."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, Literal, TypeVar

from fastapi import Depends, Path, Query, Request
from pydantic import BeforeValidator
from pydantic_core import PydanticCustomError

from control_center.api.errors import ApiError, language_of
from control_center.cursors import CURSOR_MAX_CHARACTERS, BadCursorError, Key, decode_cursor
from control_center.parts import Parts
from control_center.rows import Series
from control_center.texts import Language

API: Final = "/api/v1"
NO_CONTROL_CHARACTERS: Final = r"^[^\x00-\x1f\x7f]*$"
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(2200, 1, 1, tzinfo=UTC)
Item = TypeVar("Item")


def _parse_time(value: object) -> object:
    """RFC 3339 with a zone. Epoch numbers are refused: seconds or milliseconds would be a guess."""
    if not isinstance(value, str):
        return value
    try:
        moment = datetime.fromisoformat(value)
        if moment.tzinfo is None:
            raise ValueError("no zone")
        moment = moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise PydanticCustomError("time", "must be a time with its zone") from None
    if not _EARLIEST <= moment <= _LATEST:
        raise PydanticCustomError("time", "must lie between 1970 and 2200")
    return moment


Filter = Annotated[str | None, Query(min_length=1, max_length=200, pattern=NO_CONTROL_CHARACTERS)]
Name = Annotated[str, Query(min_length=1, max_length=200, pattern=NO_CONTROL_CHARACTERS)]
DevicePath = Annotated[str, Path(min_length=1, max_length=200, pattern=NO_CONTROL_CHARACTERS)]
AlarmPath = Annotated[int, Path(ge=1, le=2**63 - 1)]
Cursor = Annotated[str | None, Query(max_length=CURSOR_MAX_CHARACTERS, description="next_cursor of the page before")]
Limit = Annotated[int, Query(ge=1, le=1000)]
LongLimit = Annotated[int, Query(ge=1, le=10_000)]
From = Annotated[datetime | None, BeforeValidator(_parse_time), Query(alias="from", description="inclusive; RFC 3339")]
To = Annotated[datetime | None, BeforeValidator(_parse_time), Query(description="exclusive; RFC 3339; default now")]
Size = Literal["1m", "15m", "1h", "1d"]


def _parts(request: Request) -> Parts:
    parts = request.app.state.parts
    assert isinstance(parts, Parts)  # noqa: S101 - the lifespan sets it before the first request
    return parts


def _language(
    request: Request, lang: Annotated[Literal["en", "vi"] | None, Query(description="default: Accept-Language")] = None
) -> Language:
    return lang or language_of(request)


PartsOf = Annotated[Parts, Depends(_parts)]
Lang = Annotated[Language, Depends(_language)]


@dataclass(frozen=True, slots=True)
class TimeRange:
    """start <= time < end."""

    start: datetime
    end: datetime


def refuse_unknown_parameters(request: Request, _: Lang) -> None:
    """A misspelt filter must not answer with everything."""
    known: dict[str, frozenset[str]] = request.app.state.query_parameters
    names = known.get(getattr(request.scope.get("route"), "path_format", ""), frozenset())
    given = [name for name, _ in request.query_params.multi_items()]
    if len(given) > len(set(given)):  # one of the two would be taken and the other silently dropped
        raise ApiError(422, "repeated_parameter", names=", ".join(sorted(names)))
    for name in request.query_params:
        if name not in names:
            raise ApiError(422, "unknown_parameter", names=", ".join(sorted(names)))


def cursor_key(cursor: str | None, kind: str, *types: type[Key]) -> tuple[Any, ...] | None:
    """The key in `cursor`, or None without one; 400 where it is not a cursor of this list."""
    if cursor is None:
        return None
    try:
        return decode_cursor(cursor, kind, *types)
    except BadCursorError:
        raise ApiError(400, "bad_cursor") from None


def time_range(
    start: datetime | None, end: datetime | None, *, now: datetime, default: timedelta, limit_days: int, what: str
) -> TimeRange:
    """The range asked for: `end` defaults to a little after now (clocks may lead), `start` to `default` before it.

    Refuses (422) an empty or reversed range and one of more than `limit_days`.
    """
    last = end or now + timedelta(minutes=5)
    first = start or max(_EARLIEST, last - default)
    if first >= last:
        raise ApiError(422, "bad_range")
    days = (last - first) / timedelta(days=1)
    if days > limit_days:
        raise ApiError(422, "range_too_long", days=days, limit=limit_days, what=what)
    return TimeRange(first, last)


async def series_of(parts: Parts, device: str, metric: str) -> Series:
    """The series, or 404 that says which of the two is unknown."""
    found = await parts.queries.series(limit=1, device=device, metric=metric)
    if found:
        return found[0]
    if await parts.queries.device(device) is None:
        raise ApiError(404, "unknown_device", device=device)
    raise ApiError(404, "unknown_series", device=device, metric=metric)


def cut(rows: list[Item], limit: int) -> tuple[list[Item], bool]:
    """Rows were asked for with limit + 1: the page, and whether more follow."""
    return rows[:limit], len(rows) > limit
