"""One payload decoded by hand, for `citynerve ingest decode`: a line for each reading with what the vendor wrote beside it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from ingest.admission import Admitted, TimeWindow, admit
from ingest.catalogue import Catalogue
from ingest.contract.reading import Flag
from ingest.contract.rejects import RejectReason
from ingest.decoders.columns import Arrival, Columns
from ingest.decoders.timestamps import clamp_us
from ingest.device_profile import DeviceProfile
from ingest.reading_slice import decode_message, decoder_for
from ingest.settings import Format

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ANY_TIME = TimeWindow(2**62, 2**62)


def lines(
    payload: bytes,
    arrival: Arrival,
    *,
    message_format: Format,
    profile: DeviceProfile,
    window: TimeWindow,
    max_payload_bytes: int,
) -> Iterator[dict[str, Any]]:
    """A dict for each reading or reject, in the order of the payload; whole-payload rejects come last."""
    if len(payload) > max_payload_bytes:
        yield {
            "reject": RejectReason.TOO_LARGE.value,
            "detail": f"payload of {len(payload)} bytes; the limit is {max_payload_bytes}",
        }
        return
    columns = Columns()
    decode_message(decoder_for(message_format, profile), payload, arrival, columns)
    catalogue = Catalogue(1)
    for index in range(len(columns)):
        one = _only(columns, index)
        admitted = admit(one, profile, catalogue, window, arrival.received_us)
        vendor = _as_written(one)
        for _, reject in admitted.rejects:
            yield {"reject": reject.reason.value, "detail": reject.detail, "device": one.devices[0], **vendor}
        if len(admitted):
            yield _canonical(admitted, catalogue) | vendor
    for _, reject in columns.rejects:
        yield {"reject": reject.reason.value, "detail": reject.detail, "readings": reject.readings}


def _only(columns: Columns, index: int) -> Columns:
    one = Columns()
    one.add(
        columns.devices[index],
        columns.metrics[index],
        columns.units[index],
        columns.times[index],
        columns.values[index],
        columns.flags[index],
    )
    return one


def _as_written(one: Columns) -> dict[str, Any]:
    return {
        "vendor_metric": one.metrics[0],
        "vendor_unit": one.units[0],
        "vendor_time": None if one.flags[0] & Flag.TIME_FROM_RECEIPT else iso(one.times[0]),
        "vendor_value": one.values[0],
    }


def _canonical(admitted: Admitted, catalogue: Catalogue) -> dict[str, Any]:
    metric = catalogue.metrics[admitted.metrics[0]]
    return {
        "device": catalogue.devices[admitted.devices[0]],
        "metric": metric,
        "unit": catalogue.unit(metric),
        "time": iso(int(admitted.time_us[0])),
        "value": float(admitted.values[0]),
        "flags": int(admitted.flags[0]),
    }


def iso(time_us: int) -> str:
    """RFC 3339 in UTC with microseconds; a time outside the years 1 to 9999 as a number of microseconds."""
    try:
        moment = _EPOCH + timedelta(microseconds=time_us)
    except OverflowError:
        return f"{time_us} us"
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")


def parse_received(text: str | None, now_us: int) -> int:
    """--received as microseconds; now where it is not given.

    Raises:
        ValueError: no ISO 8601 time with a zone.
    """
    if text is None:
        return now_us
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no zone; write e.g. 2026-07-01T12:00:00Z")
    return clamp_us((moment - _EPOCH) / timedelta(microseconds=1))
