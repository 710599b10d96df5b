"""Why a payload, or a part of it, did not become a reading. A closed list: each is counted, created at 0, and kept with the raw bytes."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class RejectReason(enum.StrEnum):
    """The closed list. Adding one is a change of contract: dashboards, docs and the dead-letter table know them by name."""

    UNKNOWN_TOPIC = "unknown_topic"  # no route in the settings takes this MQTT topic
    TOO_LARGE = "too_large"  # payload over the size limit
    NOT_UTF8 = "not_utf8"
    MALFORMED = "malformed"  # not the syntax of its format (JSON, SenML ...)
    TOO_DEEP = "too_deep"  # nested past the limit
    BAD_SCHEMA = "bad_schema"  # right syntax, but the format's own rules are broken
    NO_DEVICE = "no_device"  # no usable device id in payload or topic
    BAD_DEVICE = "bad_device"  # id empty, too long, or with control characters
    DEVICE_MISMATCH = "device_mismatch"  # the payload names another device than its topic
    UNKNOWN_METRIC = "unknown_metric"  # no profile maps this name to a canonical metric
    UNKNOWN_UNIT = "unknown_unit"  # never a guess
    NOT_A_NUMBER = "not_a_number"  # text, array, object or null where a number is needed
    NOT_FINITE = "not_finite"  # NaN or infinity
    OUT_OF_RANGE = "out_of_range"  # outside the metric's plausible range
    SENTINEL = "sentinel"  # the vendor's code for "no value", e.g. 327.67
    BAD_TIME = "bad_time"  # a time that cannot be read, or has no zone where the profile gives none
    TOO_OLD = "too_old"  # event time before the accepted window
    IN_FUTURE = "in_future"  # event time ahead of the accepted window
    INTERNAL = "internal"  # our own mistake while decoding: kept, counted, and never a stall


@dataclass(frozen=True, slots=True)
class Reject:
    """A refused payload or part of it. `readings` says how many readings it stands for (at least 1), so that the ledger adds up."""

    reason: RejectReason
    detail: str
    readings: int = 1
