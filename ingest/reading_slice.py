"""A slice of messages to admitted columns and dead letters: routes them, decodes each, judges all readings of a profile at once."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
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
from ingest.decoders.plain_json_rows import PlainJsonRows
from ingest.device_profile import DeviceProfile
from ingest.messages import Message, Messages
from ingest.metrics import IngestMetrics
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
        self._routes = routes
        self._route_of = TopicRoutes(routes)
        self._profiles = profiles
        self._catalogue = catalogue
        self._window = window
        self._max_payload = max_payload_bytes
        self._metrics = metrics
        self.doubt_us: Callable[[], int] = lambda: 0
        """How much later it may be than the time of receipt says."""
        self._decoders = [decoder_for(route.format, profiles[route.profile]) for route in routes]
        self._rows = {
            number: PlainJsonRows(profiles[route.profile].json_mapping)
            for number, route in enumerate(routes)
            if route.format == "plain-json"
        }

    def read(self, given: Sequence[Message]) -> Taken:
        """Decode and admit; `now` is the slice's latest receipt."""
        taken, messages = Taken(), Messages.of(given)
        columns = self._decode(messages, taken)
        rejects: list[tuple[int, Reject]] = []
        readings = 0
        for name, found in columns.items():
            admitted = self._admit(found, self._profiles[name], messages.received_us)
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

    def _admit(self, columns: Columns, profile: DeviceProfile, received_us: list[int]) -> Admitted:
        now_us = received_us[-1]
        try:
            return admit(columns, profile, self._catalogue, self._window_now(), now_us, received_us=received_us)
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

    def _decode(self, messages: Messages, taken: Taken) -> dict[str, Columns]:
        columns: dict[str, Columns] = {}
        for number, indexes in self._by_route(messages, taken):
            out = columns.setdefault(self._routes[number].profile, Columns())
            rows = self._rows.get(number)
            left = self._decode_rows(rows, indexes, messages, out) if rows is not None else indexes
            decoder = self._decoders[number]
            for index in left:
                out.message = index
                arrival = Arrival(messages.topics[index], messages.received_us[index])
                decode_message(decoder, messages.payloads[index], arrival, out)
        return columns

    @staticmethod
    def _decode_rows(rows: PlainJsonRows, indexes: list[int], messages: Messages, out: Columns) -> list[int]:
        """Many at once; the indexes of those left."""
        readings, rejects = len(out), len(out.rejects)
        try:
            return rows.decode(indexes, messages.topics, messages.payloads, messages.received_us, out)
        except Exception:
            # our own mistake: one by one they are only slower
            log.exception("messages could not be decoded together")
            out.truncate(readings, rejects)
            return indexes

    def _by_route(self, messages: Messages, taken: Taken) -> list[tuple[int, list[int]]]:
        """(route, indexes of messages) of what can be decoded; the rest is set aside."""
        routes = self._route_of.numbers(messages.topics)
        large = {index for index, size in enumerate(map(len, messages.payloads)) if size > self._max_payload}
        large |= messages.cuts.keys()
        if not large and len(set(routes)) == 1 and routes[0] is not None:
            return [(routes[0], list(range(len(routes))))]
        found: dict[int, list[int]] = {}
        for index, number in enumerate(routes):
            if number is None:
                topic = messages.topics[index]
                self._set_aside(
                    messages[index], Reject(RejectReason.UNKNOWN_TOPIC, f"no route takes topic {topic[:200]!r}"), taken
                )
            elif index in large:
                self._set_aside(messages[index], too_large(messages[index], self._max_payload), taken)
            else:
                found.setdefault(number, []).append(index)
        return list(found.items())

    def _set_aside(self, message: Message, reject: Reject, taken: Taken) -> None:
        taken.letters.append(dead_letter(message, reject))
        taken.readings += reject.readings
        self._metrics.rejects.labels(reject.reason.value).inc(reject.readings)
