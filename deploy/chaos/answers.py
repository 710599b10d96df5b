"""Which bytes of a connection are the answer that a fault loses: to a COMMIT, to a produce request, to a PUBLISH."""

import struct
from typing import Protocol

_PRODUCE = 0
_PUBACK = 0x40


class AnswerWatch(Protocol):
    """Follows one connection: what the client asked, and whether a chunk from the server answers it."""

    def asked(self, data: bytes) -> None:
        """The client sent these bytes."""

    def answers(self, data: bytes) -> bool:
        """Tell whether these bytes of the server hold such an answer."""


class CommitAnswers:
    """PostgreSQL: the tag of CommandComplete after COMMIT."""

    def asked(self, data: bytes) -> None:
        """Nothing to follow: the answer names itself."""

    def answers(self, data: bytes) -> bool:
        """The server has committed and says so."""
        return b"COMMIT\x00" in data


class PublishAnswers:
    """MQTT: a chunk from the broker that begins with a PUBACK."""

    def asked(self, data: bytes) -> None:
        """Nothing to follow: the answer names itself."""

    def answers(self, data: bytes) -> bool:
        """The broker acknowledges a message."""
        return bool(data) and data[0] & 0xF0 == _PUBACK


class ProduceAnswers:
    """Kafka: whatever comes back while a produce request is open. Requests are followed by their length prefix."""

    def __init__(self) -> None:
        self._rest, self._head, self._open = 0, b"", False

    def asked(self, data: bytes) -> None:
        """Follow the requests in these bytes: length (4 bytes), api key (2 bytes), the rest."""
        while data:
            if self._rest:
                taken = min(self._rest, len(data))
                self._rest, data = self._rest - taken, data[taken:]
                continue
            taken = 6 - len(self._head)
            self._head, data = self._head + data[:taken], data[taken:]
            if len(self._head) == 6:
                length, api_key = struct.unpack(">ih", self._head)
                self._open |= api_key == _PRODUCE
                self._head, self._rest = b"", length - 2

    def answers(self, data: bytes) -> bool:
        """The broker answers while a produce request is open."""
        found, self._open = self._open and bool(data), False
        return found


WATCHES: dict[str, type[AnswerWatch]] = {
    "postgres": CommitAnswers,
    "mosquitto": PublishAnswers,
    "kafka": ProduceAnswers,
}
"""Server -> what its lost answer is."""
