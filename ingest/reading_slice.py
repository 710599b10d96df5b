"""A slice of messages to admitted columns and dead letters: routes them, decodes each, judges all readings of a profile at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from ingest.admission import Admitted, TimeWindow, admit
from ingest.catalogue import Catalogue
from ingest.contract.frame import DeadLetter
from ingest.contract.rejects import Reject, RejectReason
from ingest.dead_letters import dead_letter, too_large
from ingest.decoders import chirpstack_v4, plain_json, senml_json
from ingest.decoders.columns import Arrival, Columns, RefusedError
from ingest.device_profile import DeviceProfile
from ingest.metrics import IngestMetrics
from ingest.mqtt_packets import Message
from ingest.settings import Format, Route
from ingest.topic_routes import TopicRoutes

log = logging.getLogger(__name__)

Decode = Callable[[bytes, Arrival, Columns], None]
"""(payload, arrival, out): appends to `out`, or raises `RefusedError`."""


def decoder_for(message_format: Format, profile: DeviceProfile) -> Decode:
    """The decoder of a format under a profile. The only place that knows all formats."""
    if message_format == "senml-json":
        return partial(_last, senml_json.decode, profile.knows)
    if message_format == "chirpstack-v4":
        return chirpstack_v4.decode
    return partial(_last, plain_json.decode, profile.json_mapping)


def _last(decode: Callable[..., None], extra: object, payload: bytes, arrival: Arrival, out: Columns) -> None:
    decode(payload, arrival, extra, out)


def decode_message(decode: Decode, payload: bytes, arrival: Arrival, out: Columns) -> None:
    """Decode one payload whole or not at all; whatever goes wrong is a reject in `out`, never an exception."""
    readings, rejects = len(out), len(out.rejects)
    try:
        decode(payload, arrival, out)
    except RefusedError as refused:
        out.truncate(readings, rejects)
        out.refuse(refused.reason, refused.detail)
    except (RecursionError, MemoryError) as error:
        out.truncate(readings, rejects)
        out.refuse(RejectReason.TOO_DEEP, f"the payload exhausts the reader ({type(error).__name__})")
    except Exception as error:
        out.truncate(readings, rejects)
        out.refuse(RejectReason.INTERNAL, f"{type(error).__name__} while decoding")
        log.exception(
            "a decoder failed; the payload is a dead letter", extra={"fields": {"topic": arrival.topic[:200]}}
        )


@dataclass(slots=True)
class Taken:
    """What a slice became. `readings` is what it counts for in the ledger: admitted ones and those the letters stand for."""

    admitted: list[Admitted] = field(default_factory=list)
    letters: list[DeadLetter] = field(default_factory=list)
    readings: int = 0


class SliceReader:
    """Stages 2 to 4 of the pipeline for the gateway's routes."""

    def __init__(
        self,
        *,
        routes: tuple[Route, ...],
        profiles: Mapping[str, DeviceProfile],
        catalogue: Catalogue,
        window: TimeWindow,
        max_payload_bytes: int,
        metrics: IngestMetrics,
    ) -> None:
        self._routes = TopicRoutes(routes)
        self._profiles = profiles
        self._catalogue = catalogue
        self._window = window
        self._max_payload = max_payload_bytes
        self._metrics = metrics
        self.doubt_us: Callable[[], int] = lambda: 0
        """How much later it may be than the time of receipt says."""
        self._decoders = {route.topic: decoder_for(route.format, profiles[route.profile]) for route in routes}

    def read(self, messages: list[Message]) -> Taken:
        """Decode and admit; `now` is the slice's latest receipt."""
        taken = Taken()
        columns = self._decode(messages, taken)
        now_us = messages[-1].received_us
        rejects: list[tuple[int, Reject]] = []
        readings = 0
        for name, found in columns.items():
            admitted = self._admit(found, self._profiles[name], now_us)
            rejects += admitted.rejects
            if len(admitted):
                taken.admitted.append(admitted)
                readings += len(admitted)
        taken.readings += readings
        self._metrics.readings.inc(readings)
        for index, reject in rejects:
            self._set_aside(messages[index], reject, taken)
        if not taken.readings:
            self._metrics.ignored.inc(len(messages))
        return taken

    def _admit(self, columns: Columns, profile: DeviceProfile, now_us: int) -> Admitted:
        try:
            return admit(columns, profile, self._catalogue, self._window_now(), now_us)
        except Exception:
            # our own mistake must not stall the gateway: the slice's readings become dead letters, one by one counted
            log.exception("admission failed; the slice's readings are dead letters")
            lost = admit(Columns(), profile, self._catalogue, self._window, now_us)
            counts = np.bincount(columns.messages) if columns.messages else np.zeros(0, np.int64)
            internal = [
                (index, Reject(RejectReason.INTERNAL, "the readings could not be judged", int(count)))
                for index, count in enumerate(counts.tolist())
                if count
            ]
            lost.rejects = [*columns.rejects, *internal]
            return lost

    def _window_now(self) -> TimeWindow:
        doubt_us = self.doubt_us()
        if not doubt_us:
            return self._window
        return TimeWindow(self._window.max_age_us, self._window.max_ahead_us + doubt_us)

    def _decode(self, messages: list[Message], taken: Taken) -> dict[str, Columns]:
        columns: dict[str, Columns] = {}
        for index, message in enumerate(messages):
            route = self._routes.find(message.topic)
            if route is None:
                reject = Reject(RejectReason.UNKNOWN_TOPIC, f"no route takes topic {message.topic[:200]!r}")
                self._set_aside(message, reject, taken)
                continue
            if message.cut or len(message.payload) > self._max_payload:
                self._set_aside(message, too_large(message, self._max_payload), taken)
                continue
            out = columns.get(route.profile)
            if out is None:
                out = columns[route.profile] = Columns()
            out.message = index
            arrival = Arrival(message.topic, message.received_us)
            decode_message(self._decoders[route.topic], message.payload, arrival, out)
        return columns

    def _set_aside(self, message: Message, reject: Reject, taken: Taken) -> None:
        taken.letters.append(dead_letter(message, reject))
        taken.readings += reject.readings
        self._metrics.rejects.labels(reject.reason.value).inc(reject.readings)
