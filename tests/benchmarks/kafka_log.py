"""When Kafka took the frame of each probe, read from the topic once a round is over: a reader meanwhile would be a load of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import numpy as np
from aiokafka import AIOKafkaConsumer, TopicPartition

from ingest.contract.frame import decode_readings
from ingest.contract.topics import Topics
from tests.benchmarks.servers import PARTITIONS

_BUDGET_S = 60.0


async def append_times_s(
    bootstrap: str, prefix: str, published: Mapping[str, float], event_us: Mapping[str, int]
) -> dict[str, float]:
    """Wall-clock seconds by device, of the frame that holds its reading of `event_us`. The log's clock has milliseconds."""
    topic = Topics(prefix).readings
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=None, enable_auto_commit=False)
    await consumer.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(partitions)
        since_ms = int(min(published.values()) * 1e3) - 1
        begins = await consumer.offsets_for_times(dict.fromkeys(partitions, since_ms))
        ends = await consumer.end_offsets(partitions)
        left = {where for where in partitions if begins[where] is not None and begins[where].offset < ends[where]}
        for where in partitions:
            consumer.seek(where, begins[where].offset if where in left else ends[where])
        found: dict[str, float] = {}
        async with asyncio.timeout(_BUDGET_S):
            while left:
                for where, records in (await consumer.getmany(timeout_ms=200)).items():
                    for record in records:
                        if b"probe-" in record.value:
                            found |= dict.fromkeys(_loud(record.value, event_us), record.timestamp / 1e3)
                    if records[-1].offset + 1 >= ends[where]:
                        left.discard(where)
        return found
    finally:
        await consumer.stop()


def _loud(body: bytes, event_us: Mapping[str, int]) -> list[str]:
    columns = decode_readings(body)
    wanted = {code: event_us[device] for code, device in enumerate(columns.devices) if device in event_us}
    return [
        columns.devices[code]
        for code, at_us in wanted.items()
        if np.any((columns.device_codes == code) & (columns.time_us == at_us))
    ]
