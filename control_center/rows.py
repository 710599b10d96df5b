"""What the queries return, one frozen dataclass a row. The field order is the JSON order; times are aware and UTC."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class Device:
    """One device of the register. Position in WGS 84 degrees; `expected_interval_s` null: each metric's own."""

    device: str
    name: str
    kind: str
    district: str
    latitude: float | None
    longitude: float | None
    expected_interval_s: int | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class LastValue:
    """The newest stored value of one series of a device; null where it has none."""

    metric: str
    unit: str
    last_time: datetime | None
    last_value: float | None


@dataclass(frozen=True, slots=True)
class Series:
    """One device and metric. `mean_kind`: 0 arithmetic, 1 circular, 2 energetic, 3 counter."""

    series_id: int
    device: str
    metric: str
    unit: str
    mean_kind: int
    interval_s: int


@dataclass(frozen=True, slots=True)
class StoredReading:
    """One reading. `flags`: bits of ingest.contract.reading.Flag."""

    time: datetime
    value: float
    flags: int


@dataclass(frozen=True, slots=True)
class Window:
    """One window of a series, numbers in the series' unit; `time` is its start. docs/api.md explains each column."""

    time: datetime
    count: int
    mean: float
    min: float
    max: float
    std: float
    first: float
    last: float
    p50: float
    p95: float
    p99: float
    special: float | None
    expected: int
    valid: int
    late: int
    flagged: int
    revision: int


@dataclass(frozen=True, slots=True)
class AlarmRow:
    """One alarm as stored: texts in both languages are in `raised_detail["rule"]`."""

    alarm_id: int
    rule_id: str
    device: str
    name: str | None
    metric: str | None
    unit: str | None
    severity: str
    state: str
    raised_at: datetime
    raised_value: float | None
    raised_detail: dict[str, Any]
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    cleared_at: datetime | None
    cleared_value: float | None
    cleared_detail: dict[str, Any] | None
    latitude: float | None
    longitude: float | None


@dataclass(frozen=True, slots=True)
class AlarmEvent:
    """One entry of an alarm's history. `at` is when it was recorded; the event time of the data is in `detail`."""

    event_id: int
    at: datetime
    event: str
    by_whom: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """What became of the readings of one life of a gateway.

    received = stored + duplicate + dead_letter + refused + in_flight + unaccounted.
    """

    gateway: str
    epoch: int
    open: bool
    received: int
    stored: int
    duplicate: int
    dead_letter: int
    refused: int
    in_flight: int
    unaccounted: int
    redelivered: int
    spooled: int
    messages: int
    last_seen: datetime | None


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """The ledger summed over all lives asked for."""

    received: int
    stored: int
    duplicate: int
    dead_letter: int
    refused: int
    in_flight: int
    unaccounted: int
    redelivered: int
    spooled: int


@dataclass(frozen=True, slots=True)
class LedgerAudit:
    """Stored rows held against what the processors say they stored, summed over the days audited; see docs/ledger.md.

    `missing`: stored and not there any more. `doubled`: rows that no processor stored. `removed`: gone with whole chunks (retention).
    `oldest` and `newest` are the times of the least and the most recent audit of a day.
    """

    days: int = 0
    expected: int = 0
    found: int = 0
    removed: int = 0
    missing: int = 0
    doubled: int = 0
    oldest: datetime | None = None
    newest: datetime | None = None

    def applied_to(self, totals: LedgerTotals) -> LedgerTotals:
        """The totals of all gateways with what is missing counted as unaccounted instead of stored."""
        return replace(totals, stored=totals.stored - self.missing, unaccounted=totals.unaccounted + self.missing)


@dataclass(frozen=True, slots=True)
class DeadLetterRow:
    """One refused payload with its reason. `payload`: at most its first `queries.PAYLOAD_BYTES`, of `payload_bytes` in all."""

    letter_id: int
    received: datetime
    gateway: str
    reason: str
    detail: str
    mqtt_topic: str
    readings: int
    payload: bytes
    payload_bytes: int


@dataclass(frozen=True, slots=True)
class DeadLetterReason:
    """The dead letters of one reason and the newest of them. `waiting`: letters not retried."""

    reason: str
    letters: int
    readings: int
    waiting: int
    newest_id: int
    newest_received: datetime
    newest_gateway: str
    newest_topic: str
    newest_detail: str


@dataclass(frozen=True, slots=True)
class CursorRow:
    """How far the processors are on one partition of the readings topic."""

    partition: int
    next_offset: int
    watermark: datetime | None
    updated_at: datetime


@dataclass(frozen=True, slots=True)
class GatewayWord:
    """The last statement of a gateway that reached the database: when it was made, and how many readings its spool held."""

    gateway: str
    at: datetime
    spooled: int


@dataclass(frozen=True, slots=True)
class OffsetGap:
    """Offsets that Kafka no longer had when the processors came to them; see docs/ledger.md.

    `reason`: retention, damaged or recreated (`to_offset` is null: how far the old topic went nobody knows). `readings` that were in
    it: null until the records behind it came.
    """

    topic: str
    partition: int
    from_offset: int
    to_offset: int | None
    reason: str
    readings: int | None
    seen_at: datetime


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything the status line needs, read in one query; the audit is applied to the totals."""

    totals: LedgerTotals
    audit: LedgerAudit
    cursors: tuple[CursorRow, ...]
    active_alarms: dict[str, int]
    devices: int
    gateways: tuple[GatewayWord, ...] = ()
    recent_gaps: tuple[OffsetGap, ...] = ()


@dataclass(frozen=True, slots=True)
class LatestValue:
    """The newest stored value of a series, with what the live table needs of its device."""

    device: str
    metric: str
    time: datetime
    value: float
