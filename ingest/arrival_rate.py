"""Today's rate: how many bytes a second come for Kafka, as an outage that begins now would bring them to the spool. Pure."""

from __future__ import annotations

from collections import deque

_BUCKET_S = 60.0
_HOUR_S, _DAY_S = 3600.0, 86_400.0


class ArrivalRate:
    """The larger of the last hour's and the last day's mean: an outage may last into the busy hours, a quiet one must not judge it."""

    def __init__(self, now_s: float) -> None:
        self._began_s = now_s
        self._buckets: deque[tuple[float, int]] = deque()

    def add(self, size: int, now_s: float) -> None:
        """`size` bytes came at `now_s` (any steady clock)."""
        start = now_s - now_s % _BUCKET_S
        if self._buckets and self._buckets[-1][0] == start:
            start, known = self._buckets.pop()
            size += known
        self._buckets.append((start, size))
        while self._buckets[0][0] < now_s - _DAY_S:
            self._buckets.popleft()

    def bytes_per_s(self, now_s: float) -> float | None:
        """Bytes a second; None where nothing came within the last day."""
        rate = max(self._mean(now_s, _HOUR_S), self._mean(now_s, _DAY_S))
        return rate if rate > 0 else None

    def _mean(self, now_s: float, span_s: float) -> float:
        known_s = min(span_s, max(1.0, now_s - self._began_s))
        return sum(size for start, size in self._buckets if start > now_s - span_s - _BUCKET_S) / known_s
