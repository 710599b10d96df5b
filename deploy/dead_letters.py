"""What a dead letter would become today: its raw bytes through the gateway's own stages, with the routes and profiles of now.

A letter stands for the readings of one message that were refused for one reason; other letters may hold the rest of the same message.
So a retry would succeed when nothing is refused that another letter of the message does not stand for already. Pure: no server is asked.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from prometheus_client import CollectorRegistry

from ingest.admission import Admitted, TimeWindow
from ingest.catalogue import Catalogue
from ingest.device_profile import load_profiles
from ingest.messages import Message
from ingest.metrics import IngestMetrics
from ingest.reading_slice import SliceReader
from ingest.settings import IngestSettings

_CUT = re.compile(r"\(payload cut: (\d+) more bytes came\)$")


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A row of city.dead_letters, with what its siblings, other letters of the same message, stand for: reason -> readings."""

    letter_id: int
    gateway: str
    epoch: int
    ordinal: int
    received: datetime
    received_us: int
    reason: str
    detail: str
    mqtt_topic: str
    payload: bytes
    readings: int
    retry_epoch: int | None
    retried_at: datetime | None
    retried_readings: int | None
    siblings: Mapping[str, int]

    @property
    def state(self) -> str:
        """`waiting`, `claimed` (its frames are in the outbox), or `retried`."""
        if self.retried_at is not None:
            return "retried"
        return "waiting" if self.retry_epoch is None else "claimed"

    @property
    def message(self) -> tuple[str, int, int, str, bytes]:
        """What tells the message apart that the letter came from."""
        return self.gateway, self.epoch, self.received_us, self.mqtt_topic, self.payload


@dataclass(frozen=True, slots=True)
class Attempt:
    """What a retry of `letter` gives: `readings` of its message are admitted now; `reason` says why it would fail (None: it succeeds)."""

    letter: StoredLetter
    admitted: tuple[Admitted, ...]
    readings: int
    reason: str | None = None
    detail: str = ""


class Redecoder:
    """The gateway's stages from raw bytes to admitted readings, with the settings of now.

    `clock_off_us`: the gateway's clock was ahead by so much when it received the letters.

    Raises:
        UserError: a profile cannot be read.
    """

    def __init__(self, ingest: IngestSettings, partitions: int, clock_off_us: int = 0) -> None:
        self._clock_off_us = clock_off_us
        self.catalogue: Final = Catalogue(partitions, ingest.max_channels)
        self._reader = SliceReader(
            routes=ingest.routes,
            profiles=load_profiles([route.profile for route in ingest.routes], ingest.profiles_dir),
            catalogue=self.catalogue,
            window=TimeWindow(ingest.max_age_s * 1_000_000, ingest.max_ahead_s * 1_000_000),
            max_payload_bytes=ingest.max_payload_bytes,
            metrics=IngestMetrics(CollectorRegistry()),
        )
        # a decoder's own mistake is an answer here ("internal"), not a traceback on the terminal
        logging.getLogger("ingest.reading_slice").setLevel(logging.CRITICAL + 1)

    def attempt(self, letter: StoredLetter) -> Attempt:
        """Decode and admit the letter's bytes as if they had come at its own time of receipt, by a right clock."""
        if letter.ordinal < 0:
            return Attempt(
                letter,
                (),
                0,
                letter.reason,
                "a processor set this aside: it is no payload of a device, no profile mends it",
            )
        cut = _CUT.search(letter.detail)
        message = Message(
            letter.mqtt_topic,
            letter.payload,
            0,
            dup=False,
            received_us=letter.received_us - self._clock_off_us,
            cut=int(cut[1]) if cut else 0,
        )
        taken = self._reader.read([message])
        refused: dict[str, tuple[int, str]] = {}
        for found in taken.letters:
            refused[found.reason] = (refused.get(found.reason, (0, ""))[0] + found.readings, found.detail)
        readings = sum(len(part) for part in taken.admitted)
        for reason, (count, detail) in refused.items():
            if reason == letter.reason or count > letter.siblings.get(reason, 0):
                return Attempt(letter, (), readings, reason, detail)
        return Attempt(letter, tuple(taken.admitted), readings)
