"""A gateway made of nothing but the frame contract: puts readings on Kafka as ingest would, without ingest."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from aiokafka import AIOKafkaProducer

from ingest.contract.frame import DeadLetter, FrameColumns, FrameHeader, encode_dead_letters, encode_readings
from ingest.contract.reading import Reading
from ingest.contract.topics import Topics, partition_of

PARTITIONS = 4


@dataclass(frozen=True, slots=True)
class Record:
    """One Kafka record to be."""

    topic: str
    partition: int
    headers: list[tuple[str, bytes]]
    value: bytes


@dataclass(slots=True)
class Gateway:
    """Numbers its frames per (topic, partition) from 0, as a gateway does in one life."""

    topics: Topics
    name: str = "gw-1"
    epoch: int = 1
    _seq: dict[tuple[str, int], int] = field(default_factory=dict)
    _before: dict[tuple[str, int], int] = field(default_factory=dict)

    def header(self, topic: str, partition: int, count: int) -> FrameHeader:
        """The next header of a partition."""
        key = (topic, partition)
        seq, before = self._seq.get(key, 0), self._before.get(key, 0)
        self._seq[key], self._before[key] = seq + 1, before + count
        now_us = time.time_ns() // 1000
        return FrameHeader(self.name, self.epoch, seq, before, count, now_us, now_us)

    def frames(self, readings: Iterable[Reading], size: int = 4096) -> list[Record]:
        """Readings as frames of at most `size`, in order within their partition."""
        by_partition: dict[int, list[Reading]] = {}
        records = []
        for reading in readings:
            partition = partition_of(reading.device, PARTITIONS)
            waiting = by_partition.setdefault(partition, [])
            waiting.append(reading)
            if len(waiting) == size:
                records.append(self._frame(partition, by_partition.pop(partition)))
        return records + [self._frame(partition, waiting) for partition, waiting in by_partition.items()]

    def letters(self, letters: Sequence[DeadLetter]) -> Record:
        """Dead letters as one frame."""
        topic = self.topics.dead_letters
        header = self.header(topic, 0, sum(letter.readings for letter in letters))
        return Record(topic, 0, header.to_kafka(), encode_dead_letters(letters))

    def _frame(self, partition: int, readings: Sequence[Reading]) -> Record:
        header = self.header(self.topics.readings, partition, len(readings))
        return Record(self.topics.readings, partition, header.to_kafka(), encode_readings(columns_of(readings)))


def columns_of(readings: Sequence[Reading]) -> FrameColumns:
    """Readings as the columns of a frame."""
    devices = sorted({reading.device for reading in readings})
    metrics = sorted({reading.metric for reading in readings})
    device_code, metric_code = {d: i for i, d in enumerate(devices)}, {m: i for i, m in enumerate(metrics)}
    return FrameColumns(
        devices,
        metrics,
        np.array([device_code[reading.device] for reading in readings], np.int32),
        np.array([metric_code[reading.metric] for reading in readings], np.int16),
        np.array([reading.time_us for reading in readings], np.int64),
        np.array([reading.value for reading in readings], np.float64),
        np.array([reading.flags for reading in readings], np.uint16),
    )


async def produce(bootstrap: str, records: Iterable[Record]) -> None:
    """Put records on Kafka, in order within a partition, and wait until it has them all."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, enable_idempotence=True, max_request_size=4 << 20)
    await producer.start()
    try:
        sent = [
            await producer.send(record.topic, record.value, partition=record.partition, headers=record.headers)
            for record in records
        ]
        async with asyncio.timeout(60):
            await asyncio.gather(*sent)
    finally:
        await producer.stop()


def repeated_as(records: Iterable[Record], epoch: int) -> list[Record]:
    """The same readings again in frames of another life of the gateway."""
    return [
        replace(record, headers=[(k, str(epoch).encode() if k == "epoch" else v) for k, v in record.headers])
        for record in records
    ]
