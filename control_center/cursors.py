"""Opaque page cursors: where the last page ended, so that the next begins right after it (keyset paging, never OFFSET)."""

from __future__ import annotations

import base64
import binascii
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

_TEXT = re.compile(r"[^\x00-\x1f\x7f]{1,250}")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_INT = 2**63 - 1
_MAX_US = 2**53
CURSOR_MAX_CHARACTERS = 600

Key = str | int | datetime


class BadCursorError(ValueError):
    """The text is no cursor of this list."""


def encode_cursor(kind: str, *key: Key) -> str:
    """The cursor of list `kind` after the row whose sort key is `key`; times keep their microseconds."""
    parts = [_to_us(part) if isinstance(part, datetime) else part for part in key]
    return base64.urlsafe_b64encode(msgspec.json.encode([kind, *parts])).rstrip(b"=").decode()


def decode_cursor(cursor: str, kind: str, *types: type[Key]) -> tuple[Any, ...]:
    """The sort key inside `cursor`, with parts of exactly `types`.

    Raises:
        BadCursorError: not made by `encode_cursor(kind, ...)`: cut short, of another list, or made up.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        parts = msgspec.json.decode(raw)
    except (binascii.Error, ValueError) as error:
        raise BadCursorError("not a cursor") from error
    if not isinstance(parts, list) or len(parts) != len(types) + 1 or parts[0] != kind:
        raise BadCursorError("a cursor of another list")
    return tuple(_checked(part, expected) for part, expected in zip(parts[1:], types, strict=True))


def _checked(part: object, expected: type[Key]) -> Key:
    if expected is str and isinstance(part, str) and _TEXT.fullmatch(part):
        return part
    if expected is int and type(part) is int and abs(part) <= _MAX_INT:
        return part
    if expected is datetime and type(part) is int and abs(part) <= _MAX_US:
        return _EPOCH + timedelta(microseconds=part)
    raise BadCursorError("a part of the cursor has the wrong type")


def _to_us(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1)
