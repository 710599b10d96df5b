"""From admitted columns and dead letters to numbered frames, one or more a partition."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ingest.admission import Admitted
from ingest.catalogue import Catalogue
from ingest.contract.frame import (
    DeadLetter,
    FrameColumns,
    FrameHeader,
    encode_dead_letters,
    encode_readings,
)
from ingest.contract.topics import Topics

FRAME_LIMIT_BYTES = 3 * 1024 * 1024
"""Well under max.message.bytes of the topics: a frame that Kafka refuses costs a new producer."""

_LETTERS_LIMIT_BYTES = 1024 * 1024

Numbering = Callable[[str, int, int], tuple[int, int]]
"""(topic, partition, count) -> (seq, before): takes the next number of that partition."""


@dataclass(frozen=True, slots=True)
class OutFrame:
    """One record on its way to Kafka or the spool. The header is fixed here, once, whatever becomes of the frame later."""

    topic: str
    partition: int
    header: FrameHeader
    body: bytes


class FrameBuilder:
    """Gathers a flush: admitted readings, dead letters, and the earliest receipt among them."""

    def __init__(self, gateway: str, epoch: int, topics: Topics, catalogue: Catalogue, number: Numbering) -> None:
        self._gateway = gateway
        self._epoch = epoch
        self._topics = topics
        self._catalogue = catalogue
        self._number = number
        self._admitted: list[Admitted] = []
        self._letters: list[DeadLetter] = []
        self._received_us = 0
        self.readings = 0
        """Readings waiting, those in dead letters included."""

    def add(self, admitted: Sequence[Admitted], letters: Sequence[DeadLetter], received_us: int) -> None:
        """Take a slice in; `received_us` is its earliest receipt."""
        if not self._received_us:
            self._received_us = received_us
        self._admitted += [part for part in admitted if len(part)]
        self._letters += letters
        self.readings += sum(len(part) for part in admitted) + sum(letter.readings for letter in letters)

    def build(self, now_us: int) -> list[OutFrame]:
        """Everything gathered, as frames; the builder is empty afterwards."""
        frames: list[OutFrame] = []
        if self._admitted:
            parts = self._admitted
            devices = np.concatenate([part.devices for part in parts])
            metrics = np.concatenate([part.metrics for part in parts])
            time_us = np.concatenate([part.time_us for part in parts])
            values = np.concatenate([part.values for part in parts])
            flags = np.concatenate([part.flags for part in parts])
            partitions = self._catalogue.partitions[devices]
            order = np.argsort(partitions, kind="stable")  # stable: readings of one device keep their order
            bounds = np.flatnonzero(np.diff(partitions[order])) + 1
            for chosen in np.split(order, bounds):
                partition = int(partitions[chosen[0]])
                columns = (devices[chosen], metrics[chosen], time_us[chosen], values[chosen], flags[chosen])
                frames += self._readings(partition, columns, now_us)
        frames += self._dead_letters(now_us)
        self._admitted, self._letters, self._received_us, self.readings = [], [], 0, 0
        return frames

    def _readings(self, partition: int, columns: tuple[npt.NDArray[np.generic], ...], now_us: int) -> list[OutFrame]:
        body = self._encode(*columns)
        if len(body) > FRAME_LIMIT_BYTES and len(columns[0]) > 1:
            middle = len(columns[0]) // 2
            halves = (tuple(column[:middle] for column in columns), tuple(column[middle:] for column in columns))
            return [frame for half in halves for frame in self._readings(partition, half, now_us)]
        return [self._frame(self._topics.readings, partition, body, len(columns[0]), now_us)]

    def _encode(
        self,
        devices: npt.NDArray[np.generic],
        metrics: npt.NDArray[np.generic],
        time_us: npt.NDArray[np.generic],
        values: npt.NDArray[np.generic],
        flags: npt.NDArray[np.generic],
    ) -> bytes:
        devices, device_codes = np.unique(devices, return_inverse=True)
        metrics, metric_codes = np.unique(metrics, return_inverse=True)
        return encode_readings(
            FrameColumns(
                devices=[self._catalogue.devices[code] for code in devices.tolist()],
                metrics=[self._catalogue.metrics[code] for code in metrics.tolist()],
                device_codes=device_codes.astype(np.int32),
                metric_codes=metric_codes.astype(np.int16),
                time_us=time_us.astype(np.int64, copy=False),
                values=values.astype(np.float64, copy=False),
                flags=flags.astype(np.uint16, copy=False),
            )
        )

    def _dead_letters(self, now_us: int) -> list[OutFrame]:
        frames: list[OutFrame] = []
        batch: list[DeadLetter] = []
        size = 0
        for letter in self._letters:
            if batch and size + len(letter.payload) > _LETTERS_LIMIT_BYTES:
                frames.append(self._letters_frame(batch, now_us))
                batch, size = [], 0
            batch.append(letter)
            size += len(letter.payload) + 500
        if batch:
            frames.append(self._letters_frame(batch, now_us))
        return frames

    def _letters_frame(self, letters: list[DeadLetter], now_us: int) -> OutFrame:
        count = sum(letter.readings for letter in letters)
        return self._frame(self._topics.dead_letters, 0, encode_dead_letters(letters), count, now_us)

    def _frame(self, topic: str, partition: int, body: bytes, count: int, now_us: int) -> OutFrame:
        seq, before = self._number(topic, partition, count)
        header = FrameHeader(self._gateway, self._epoch, seq, before, count, self._received_us, now_us)
        return OutFrame(topic, partition, header, body)
