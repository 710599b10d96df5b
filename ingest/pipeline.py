"""The route of a message, step by step: receive, decode, admit, gather, deliver, acknowledge. Nothing else happens here."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from ingest.ack_tracker import Ticket
from ingest.catalogue import Catalogue
from ingest.contract.topics import Topics
from ingest.custody import Custody
from ingest.flush import Flush
from ingest.frames import FrameBuilder
from ingest.messages import Messages
from ingest.metrics import IngestMetrics
from ingest.reading_slice import SliceReader
from ingest.settings import IngestSettings

_MUCH, _SILENCE_S, _LOOK_EVERY_S = 256, 0.012, 0.025
"""Messages gathered and seconds without another one after which a flush waits no longer, and how often that is looked at."""


class Source(Protocol):
    """Where messages come from, and where they are acknowledged."""

    async def batch(self, timeout_s: float, at_least: int = 1) -> Messages:
        """Messages in order of receipt as soon as there are so many of them, or what there is after the timeout."""

    @property
    def silent_s(self) -> float:
        """Seconds since the last message came."""

    def track(self, messages: Messages) -> Ticket:
        """Note that the next messages are being worked on."""

    def finish(self, ticket: Ticket, held_bytes: int) -> None:
        """All of a ticket is safe."""


class Outlet(Protocol):
    """Where flushes go; it calls `safe` when all frames of one are in Kafka or on disk."""

    def put(self, flush: Flush) -> None:
        """Take a flush over."""


class Pipeline:
    """The stages in order. `run` until cancelled or told to stop; then everything received has been handed over."""

    def __init__(
        self,
        *,
        settings: IngestSettings,
        reader: SliceReader,
        source: Source,
        outlet: Outlet,
        custody: Custody,
        metrics: IngestMetrics,
        topics: Topics,
        catalogue: Catalogue,
        now_us: Callable[[], int],
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._source = source
        self._outlet = outlet
        self._custody = custody
        self._metrics = metrics
        self._catalogue = catalogue
        self._now_us = now_us
        self._builder = FrameBuilder(settings.gateway_id, custody.epoch, topics, catalogue, custody.number)
        self._tickets: list[tuple[Ticket, int]] = []
        self._messages = 0
        self._flush_at = 0.0
        # half of what the broker sends without an acknowledgement would wait for the age otherwise, and the rest with it
        self._flush_messages = max(1, settings.receive_maximum // 4)

    async def run(self, stopping: Callable[[], bool]) -> None:
        """Move messages along until `stopping()` and nothing is left to take."""
        while True:
            messages = await self._source.batch(self._patience_s(), self._at_least())  # 1 receive: mqtt_source
            if messages:
                self._take(messages)
            if self._due():
                self._flush()
            if not messages and stopping():
                self._flush()
                return
            await asyncio.sleep(0)  # a slice is at most a few milliseconds: keep-alives and acknowledgements keep time

    def _take(self, messages: Messages) -> None:
        ticket = self._source.track(messages)
        held = messages.size_bytes()
        taken = self._reader.read(
            messages
        )  # 2 decode: decoders/   3 admit: admission   4 set rejects aside: dead_letters
        self._custody.received(len(messages), taken.readings)
        self._builder.add(taken.admitted, taken.letters, messages.received_us[0])  # 5 gather: frames
        if not self._tickets:
            self._flush_at = time.monotonic() + self._settings.flush_age_ms / 1000
        self._tickets.append((ticket, held))
        self._messages += len(messages)

    def _flush(self) -> None:
        tickets, self._tickets, self._messages = self._tickets, [], 0
        if not tickets:
            return
        frames = self._builder.build(self._now_us())
        self._outlet.put(Flush(frames, lambda: self._acknowledge(tickets)))  # 6 deliver: delivery, kafka_sink, spool
        self._catalogue.make_room()
        self._metrics.channels.set(len(self._catalogue))

    def _acknowledge(self, tickets: list[tuple[Ticket, int]]) -> None:
        for ticket, held in tickets:
            self._source.finish(ticket, held)  # 7 acknowledge: ack_tracker

    def _due(self) -> bool:
        if not self._tickets:
            return False
        if self._builder.readings >= self._settings.flush_readings or self._messages >= self._flush_messages:
            return True
        return time.monotonic() >= self._flush_at or self._stuck()

    def _stuck(self) -> bool:
        """Much is gathered and nothing comes any more: the broker may wait for our acknowledgement before it sends on."""
        return self._messages >= _MUCH and self._source.silent_s >= _SILENCE_S

    def _at_least(self) -> int:
        """Messages worth a turn: the first ones begin a flush, the others are decoded by whole slices or when the flush is due."""
        if not self._tickets:
            return 1
        return max(1, min(self._settings.slice_messages, self._flush_messages - self._messages))

    def _patience_s(self) -> float:
        if not self._tickets:
            return 0.25
        left_s = max(0.0005, self._flush_at - time.monotonic())
        return min(left_s, _LOOK_EVERY_S) if self._messages >= _MUCH else left_s
