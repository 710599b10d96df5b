"""A reject and the message it came from, as the dead letter that keeps both."""

from __future__ import annotations

from ingest.contract.frame import DeadLetter
from ingest.contract.rejects import Reject, RejectReason
from ingest.messages import Message

_DETAIL_LIMIT = 400
_TOPIC_LIMIT = 1000


def dead_letter(message: Message, reject: Reject) -> DeadLetter:
    """The letter; a payload over the size limit holds its first bytes, and says how many were cut."""
    detail = reject.detail if len(reject.detail) <= _DETAIL_LIMIT else reject.detail[: _DETAIL_LIMIT - 3] + "..."
    if message.cut:
        detail += f" (payload cut: {message.cut} more bytes came)"
    return DeadLetter(
        reason=reject.reason.value,
        detail=_storable(detail),
        mqtt_topic=_storable(message.topic[:_TOPIC_LIMIT]),
        payload=message.payload,
        received_us=message.received_us,
        readings=reject.readings,
    )


def too_large(message: Message, limit: int) -> Reject:
    """The reject of an oversize payload."""
    return Reject(
        RejectReason.TOO_LARGE, f"payload of {len(message.payload) + message.cut} bytes; the limit is {limit}"
    )


def _storable(text: str) -> str:
    """Text that PostgreSQL and Arrow take: no NUL, no lone surrogates."""
    return text.replace("\x00", "\\x00").encode("utf-8", "backslashreplace").decode()
