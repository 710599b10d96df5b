"""A case through the gateway's own decoders and admission: what it becomes, with two good neighbours around it."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from ingest.admission import TimeWindow
from ingest.catalogue import Catalogue
from ingest.device_profile import load_profiles
from ingest.messages import Message
from ingest.metrics import IngestMetrics
from ingest.reading_slice import SliceReader, Taken
from ingest.settings import Route
from tests.corpus.cases import NOW_US, Case, Outcome

LIMIT_BYTES = 262_144
DAY_US = 86_400 * 1_000_000
ROUTES = (
    Route(topic="senml/+", format="senml-json", profile="canonical"),
    Route(topic="json/+", format="plain-json", profile="canonical"),
    Route(topic="application/+/device/+/event/+", format="chirpstack-v4", profile="lorawan"),
)


def reader() -> SliceReader:
    """The gateway's stages 2 to 4 with its default limits."""
    return SliceReader(
        routes=ROUTES,
        profiles=load_profiles(["canonical", "lorawan"]),
        catalogue=Catalogue(4),
        window=TimeWindow(DAY_US, 300_000_000),
        max_payload_bytes=LIMIT_BYTES,
        metrics=IngestMetrics(CollectorRegistry()),
    )


@dataclass(slots=True)
class Became:
    """What one payload became, its neighbours left out."""

    readings: int
    letters: Counter[str] = field(default_factory=Counter)
    seconds: float = 0.0
    neighbours: int = 0
    counted: int = 0

    @property
    def outcome(self) -> Outcome:
        """In the words of the corpus; `any` where parts of it were stored and parts refused."""
        if self.readings and not self.letters:
            return "stored"
        if self.letters and not self.readings:
            return "refused"
        return "any" if self.readings else "nothing"


def message(topic: str, payload: bytes, received_us: int = NOW_US) -> Message:
    """As the MQTT client gives it, oversize payloads cut."""
    kept = payload[:LIMIT_BYTES]
    return Message(topic, kept, 1, dup=False, received_us=received_us, cut=len(payload) - len(kept))


GOOD = message("json/neighbour", b'{"energy_total":1}')


def read_case(stages: SliceReader, case: Case) -> Became:
    """The case between two good messages in one slice."""
    began = time.perf_counter()
    taken = stages.read([GOOD, message(case.topic, case.payload), GOOD])
    return _became(taken, time.perf_counter() - began)


def _became(taken: Taken, seconds: float) -> Became:
    letters: Counter[str] = Counter()
    for letter in taken.letters:
        assert letter.detail, "a dead letter without its reason in words"
        letters[letter.reason] += letter.readings
    admitted = sum(len(part) for part in taken.admitted)
    neighbours = sum(int(((part.messages == 0) | (part.messages == 2)).sum()) for part in taken.admitted)
    return Became(admitted - neighbours, letters, seconds, neighbours, taken.readings - neighbours)
