"""Dead letters as lines of a terminal and as JSON. What devices sent is shown, never obeyed: control characters are made visible."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from deploy.dead_letters import Attempt, StoredLetter

_SHOWN_BYTES: Final = 4096
_HEX_WIDTH: Final = 16


def letter_row(letter: StoredLetter, *, whole: bool = False) -> dict[str, Any]:
    """A letter as JSON; `whole` with its bytes in base64."""
    row: dict[str, Any] = {
        "letter_id": letter.letter_id,
        "received": _iso(letter.received),
        "gateway": letter.gateway,
        "reason": letter.reason,
        "detail": letter.detail,
        "mqtt_topic": letter.mqtt_topic,
        "readings": letter.readings,
        "payload_bytes": len(letter.payload),
        "state": letter.state,
        "retried_at": None if letter.retried_at is None else _iso(letter.retried_at),
        "retried_readings": letter.retried_readings,
    }
    return row | {"payload_base64": base64.b64encode(letter.payload).decode()} if whole else row


def letter_line(letter: StoredLetter) -> str:
    """A letter in a line."""
    state = "" if letter.state == "waiting" else f"  [{letter.state}]"
    return (
        f"{letter.letter_id:>8}  {letter.received:%Y-%m-%d %H:%M:%S}  {plain(letter.gateway) or '-'}  {letter.reason}"
        f"  {plain(letter.mqtt_topic)}  {plain(letter.detail)}{state}"
    )


def letter_lines(letter: StoredLetter, attempt: Attempt) -> Iterator[str]:
    """Everything about a letter."""
    yield f"letter    {letter.letter_id}"
    yield f"received  {_iso(letter.received)} by gateway {plain(letter.gateway) or '-'}"
    yield f"topic     {plain(letter.mqtt_topic)}"
    yield f"reason    {letter.reason}: {plain(letter.detail)}"
    yield f"readings  {letter.readings}"
    if letter.retried_at is not None:
        yield f"retried   {_iso(letter.retried_at)} with {letter.retried_readings} readings"
    elif letter.state == "claimed":
        yield "retried   claimed by an interrupted retry; the next `citynerve deadletters retry` sends it first"
    yield f"payload   {len(letter.payload)} bytes"
    yield from (f"  {line}" for line in payload_lines(letter.payload))
    if letter.state == "waiting":
        yield _now(attempt)


def _now(attempt: Attempt) -> str:
    if attempt.reason is None:
        return f"a retry now would succeed with {attempt.readings} readings"
    return f"a retry now would fail: {attempt.reason}: {plain(attempt.detail)}"


def attempt_row(attempt: Attempt) -> dict[str, Any]:
    """The outcome of a retry as JSON; `reason` is null where it succeeds."""
    return {
        "letter_id": attempt.letter.letter_id,
        "was": attempt.letter.reason,
        "readings": attempt.readings if attempt.reason is None else 0,
        "reason": attempt.reason,
        "detail": attempt.detail,
    }


def attempt_line(attempt: Attempt) -> str:
    """A letter that is still refused, in a line."""
    changed = "still" if attempt.reason == attempt.letter.reason else f"was {attempt.letter.reason}, now"
    return f"letter {attempt.letter.letter_id}: {changed} {attempt.reason}: {plain(attempt.detail)}"


def payload_lines(payload: bytes) -> Iterator[str]:
    """The bytes to read: as text where they are that, else as a hex dump; at most the first 4 KiB."""
    shown = payload[:_SHOWN_BYTES]
    text = _as_text(shown, cut=len(payload) > len(shown))
    if text is not None:
        yield from text.splitlines() or [""]
    else:
        for at in range(0, len(shown), _HEX_WIDTH):
            piece = shown[at : at + _HEX_WIDTH]
            signs = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
            yield f"{at:06x}  {piece.hex(' '):<{3 * _HEX_WIDTH - 1}}  {signs}"
    if len(payload) > len(shown):
        yield f"... and {len(payload) - len(shown)} more bytes; --json gives all"


def _as_text(shown: bytes, *, cut: bool) -> str | None:
    for spare in range(4 if cut else 1):  # the cut may go through a character of up to four bytes
        try:
            text = shown[: len(shown) - spare].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return text if all(sign.isprintable() or sign in "\t\r\n" for sign in text) else None
    return None


def plain(text: str) -> str:
    """Text on one line whose control characters are made visible."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
