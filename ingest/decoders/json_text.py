"""Bytes to JSON values with every hostile case answered by a reason: not UTF-8, broken, too deep, numbers that are not finite."""

from __future__ import annotations

import json
import math
from typing import Any, NoReturn, TypeVar

import msgspec

from ingest.contract.rejects import RejectReason
from ingest.decoders.columns import RefusedError

MAX_DEPTH = 32
"""Deepest nesting accepted. Real payloads stay under 10; both msgspec and the standard library give up near 1,000 with RecursionError."""

_BOM = b"\xef\xbb\xbf"
_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
T = TypeVar("T")


def parse(payload: bytes) -> Any:
    """The JSON value of a payload (dict, list, str, int, float, bool or None).

    Raises:
        RefusedError: with the reason.
    """
    value = parse_typed(payload, _ANY)
    # a nesting can only be deep when there are many opening brackets; counting them is 50 times cheaper than walking the value
    if payload.count(b"[") + payload.count(b"{") > MAX_DEPTH and _deeper_than(value, MAX_DEPTH):
        raise RefusedError(RejectReason.TOO_DEEP, f"nested deeper than {MAX_DEPTH} levels")
    return value


def parse_typed(payload: bytes, decoder: msgspec.json.Decoder[T]) -> T:
    """Decode with a prepared decoder; see `parse`. A value of the wrong type is BAD_SCHEMA."""
    text = payload[3:] if payload.startswith(_BOM) else payload
    try:
        return decoder.decode(text)
    except msgspec.ValidationError as error:
        if "Number out of range" in str(error):
            raise RefusedError(RejectReason.NOT_FINITE, "a number is too large for 64 bits (like 1e400)") from None
        raise RefusedError(RejectReason.BAD_SCHEMA, str(error)) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        _explain(text, str(error))
    except RecursionError:
        raise RefusedError(RejectReason.TOO_DEEP, "nested deeper than the reader can follow") from None
    except MemoryError:
        raise RefusedError(RejectReason.TOO_LARGE, "the value does not fit in memory") from None


def _explain(text: bytes, syntax_error: str) -> NoReturn:
    """Find the reason msgspec did not accept the text; only broken payloads pay for this second look."""
    try:
        decoded = text.decode("utf-8")
    except UnicodeDecodeError as error:
        raise RefusedError(RejectReason.NOT_UTF8, f"byte {error.start} is not UTF-8") from None
    try:
        json.loads(decoded, parse_constant=_not_finite, parse_float=_finite)
    except RefusedError:
        raise
    except (ValueError, RecursionError, MemoryError):
        pass
    raise RefusedError(RejectReason.MALFORMED, f"not JSON: {syntax_error}")


def _not_finite(name: str) -> NoReturn:
    raise RefusedError(RejectReason.NOT_FINITE, f"{name} is no JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise RefusedError(RejectReason.NOT_FINITE, f"{text[:40]} is too large for a 64-bit number")
    return number


def _deeper_than(value: Any, levels: int) -> bool:
    """Level by level rather than by recursion, so that no input can exhaust the stack."""
    layer = [value]
    for _ in range(levels + 1):
        layer = [
            child
            for item in layer
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
        if not layer:
            return False
    return True
