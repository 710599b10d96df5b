"""The live tail meets a batch that is damaged on Kafka's disk: it shows what lies before and behind it, and stands still at none."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast
from unittest import mock

import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CorruptRecordException
from prometheus_client import CollectorRegistry

from control_center import live
from control_center.live import LiveTail
from control_center.metrics import ControlMetrics
from ingest.contract.broker import KafkaSettings
from ingest.contract.damaged_log import Stretch

DAMAGED = range(3, 5)
END = 8


class DamagedLog:
    """One partition from offset 1; offsets 3 and 4 are one damaged batch."""

    def __init__(self) -> None:
        self.position = 0
        self.given = 0

    def assign(self, _: Any) -> None: ...

    async def end_offsets(self, assigned: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(assigned, 1)

    def seek(self, _: TopicPartition, offset: int) -> None:
        self.position = offset

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        if self.position == END:
            raise asyncio.CancelledError
        if self.position + 1 in DAMAGED or self.position in DAMAGED:
            raise CorruptRecordException(
                "Invalid CRC"
            )  # also with a good record before the damage: aiokafka throws it away
        self.position += 1
        return {TopicPartition("city.readings.v1", 0): [record(self.position - 1)]}


def record(offset: int) -> Any:
    return SimpleNamespace(offset=offset, timestamp=offset, value=b"%d" % offset, headers=[])


async def read_to_damage(_: DamagedLog, __: TopicPartition, offset: int) -> Stretch:
    return Stretch([record(at) for at in range(offset, DAMAGED[0])], (DAMAGED[0], DAMAGED[-1]))


async def test_what_lies_around_the_damage_is_shown_and_nothing_twice() -> None:
    metrics = ControlMetrics(CollectorRegistry())
    tail = LiveTail(KafkaSettings(partitions=1), cast("Any", None), metrics)
    shown: list[int] = []
    log = cast("Any", DamagedLog())
    with (
        mock.patch.object(tail, "_take", lambda body, *_: shown.append(int(body))),
        mock.patch.object(live, "read_to_damage", read_to_damage),
    ):
        await tail._position(log)
        with pytest.raises(asyncio.CancelledError):
            await tail._follow(log)
    assert shown == [1, 2, 5, 6, 7]
