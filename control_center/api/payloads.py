"""JSON shapes of the API that are not rows as they are, and the one encoder. Times are RFC 3339, UTC, with Z."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

import msgspec
from pydantic import BaseModel, ConfigDict, Field
from starlette.responses import Response

from control_center.rows import (
    AlarmEvent,
    AlarmRow,
    DeadLetterRow,
    LastValue,
    LedgerAudit,
    LedgerRow,
    LedgerTotals,
    OffsetGap,
)
from control_center.texts import Language, text

Item = TypeVar("Item")
_encoder = msgspec.json.Encoder()


class JsonResponse(Response):
    """A response encoded by msgspec: rows are dataclasses and a page may hold 10,000 of them."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return encode(content)


def encode(content: object) -> bytes:
    """Compact JSON in UTF-8; dataclasses as objects, NaN as null."""
    return _encoder.encode(content)


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """A page of a list. `next_cursor` null: this was the last page."""

    items: list[Item]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class DeviceDetail:
    """A device and the newest stored value of each of its series."""

    device: str
    name: str
    kind: str
    district: str
    latitude: float | None
    longitude: float | None
    expected_interval_s: int | None
    created_at: datetime
    series: list[LastValue]


@dataclass(frozen=True, slots=True)
class AlarmItem:
    """An alarm in one language. `detail`: what raised it (threshold, column, window ...) and, once cleared, what cleared it.

    `gateway`: through which the device last sent, null where that has not been seen since this service started.
    """

    alarm_id: int
    rule_id: str
    title: str
    device: str
    name: str | None
    metric: str | None
    unit: str | None
    severity: str
    state: str
    raised_at: datetime
    raised_value: float | None
    detail: dict[str, Any]
    advice: str
    acknowledged_at: datetime | None
    acknowledged_by: str | None
    cleared_at: datetime | None
    cleared_value: float | None
    latitude: float | None
    longitude: float | None
    gateway: str | None


@dataclass(frozen=True, slots=True)
class AlarmDetail(AlarmItem):
    """An alarm with its history."""

    events: list[AlarmEvent]


@dataclass(frozen=True, slots=True)
class LedgerPage:
    """The ledger: totals over all lives asked for, and a page of them. Without a gateway asked for, the totals have the audit applied.

    `gaps`: offsets that Kafka no longer had, the newest hundred; they belong to no gateway.
    """

    totals: LedgerTotals
    audit: LedgerAudit
    items: list[LedgerRow]
    next_cursor: str | None
    gaps: list[OffsetGap] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class DeadLetterItem:
    """One refused payload; the bytes as they came, in base64: the first 16 KiB of `payload_bytes`."""

    letter_id: int
    received: datetime
    gateway: str
    reason: str
    detail: str
    mqtt_topic: str
    readings: int
    payload_base64: str
    payload_bytes: int


@dataclass(frozen=True, slots=True)
class LiveItem:
    """The newest value of a series and how old it is now."""

    device: str
    metric: str
    value: float
    time: datetime
    age_s: float


@dataclass(frozen=True, slots=True)
class LiveSnapshot:
    """The newest value of every series at `time`."""

    time: datetime
    items: list[LiveItem]


@dataclass(frozen=True, slots=True)
class StatusItem:
    """The state of the data's way. Rates are averages over the last seconds; null: not known now.

    `sampled_at`: of which moment everything is that comes from the database. `behind_s`: a backlog is being worked off, the data
    lies so far behind; `left_s`: until it does not (null: it does not come closer).
    """

    lag_s: float | None
    watermark: datetime | None
    readings_per_s: float
    stored_per_s: float
    rejected_per_s: float
    duplicate_per_s: float
    in_flight: int
    unaccounted: int
    active_alarms: int
    spooled: int
    devices: int
    stale_devices: int
    sampled_at: datetime | None = None
    behind_s: float | None = None
    left_s: float | None = None


@dataclass(frozen=True, slots=True)
class CityItem:
    """Which city this is."""

    name: str
    time_zone: str
    latitude: float
    longitude: float
    languages: list[Language]


@dataclass(frozen=True, slots=True)
class ErrorBody:
    """`code` is stable and for programs, `message` is for people."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ErrorItem:
    """How every refusal looks."""

    error: ErrorBody


class Acknowledgement(BaseModel):
    """Who takes care of an alarm, and a word for the next shift."""

    model_config = ConfigDict(frozen=True, extra="forbid", str_strip_whitespace=True)

    by: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]*$")
    comment: str = Field("", max_length=2000, pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$")


def alarm_item(row: AlarmRow, language: Language, gateway: str | None = None) -> AlarmItem:
    """An alarm in one language.

    Texts are those of the rule at the moment it raised, so that history does not change with the rules file.
    """
    detail = dict(row.raised_detail)
    rule: dict[str, str] = detail.pop("rule", {})
    if row.cleared_detail is not None:
        detail["cleared"] = row.cleared_detail
    return AlarmItem(
        alarm_id=row.alarm_id,
        rule_id=row.rule_id,
        title=rule.get(f"title_{language}") or row.rule_id,
        device=row.device,
        name=row.name,
        metric=row.metric,
        unit=row.unit,
        severity=row.severity,
        state=row.state,
        raised_at=row.raised_at,
        raised_value=row.raised_value,
        detail=detail,
        advice=rule.get(f"advice_{language}", ""),
        acknowledged_at=row.acknowledged_at,
        acknowledged_by=row.acknowledged_by,
        cleared_at=row.cleared_at,
        cleared_value=row.cleared_value,
        latitude=row.latitude,
        longitude=row.longitude,
        gateway=gateway,
    )


def dead_letter_item(row: DeadLetterRow) -> DeadLetterItem:
    """A dead letter with its bytes in base64."""
    return DeadLetterItem(
        letter_id=row.letter_id,
        received=row.received,
        gateway=row.gateway,
        reason=row.reason,
        detail=row.detail,
        mqtt_topic=row.mqtt_topic,
        readings=row.readings,
        payload_base64=base64.b64encode(row.payload).decode(),
        payload_bytes=row.payload_bytes,
    )


def error_body(key: str, language: Language, **values: object) -> ErrorItem:
    """The refusal `key` of the catalogue as JSON shape."""
    return ErrorItem(ErrorBody(key, text(key, language, **values)))
