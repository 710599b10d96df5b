"""A claim that takes longer than the group's session: the member stays in the group, with real Kafka."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from deploy.local.stack import LocalStack
from ingest.contract.broker import KafkaSettings
from processors.columns import Partition
from processors.kafka_source import KafkaSource
from processors.settings import ProcessorSettings

SESSION_MS = 6_000
CLAIM_S = 9.0


async def test_a_claim_that_outlives_the_session_costs_no_membership(stack: LocalStack, kafka_prefix: str) -> None:
    claimed: list[int] = []
    done = asyncio.Event()

    async def take_over(partitions: Iterable[Partition]) -> None:
        claimed.append(len(list(partitions)))
        await asyncio.sleep(CLAIM_S)
        done.set()

    async def release() -> None: ...

    source = KafkaSource(
        KafkaSettings(bootstrap=stack.kafka_bootstrap, topic_prefix=kafka_prefix),
        ProcessorSettings(session_timeout_ms=SESSION_MS),
        take_over=take_over,
        release=release,
    )
    await source.start()
    try:
        async with asyncio.timeout(30):
            await done.wait()
        await asyncio.sleep(3)  # the heartbeat that would learn of the lost membership, and the join after it
        assert len(claimed) == 1
        assert claimed[0] > 0
    finally:
        await source.close(leave=True, budget_s=10)
