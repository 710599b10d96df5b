"""A producer given up while Kafka is silent: nothing of it runs on, and a new one works."""

from __future__ import annotations

import asyncio
import logging
import uuid

import pytest

from deploy.local.stack import LocalStack
from ingest.contract.broker import KafkaSettings
from ingest.contract.frame import FrameHeader
from ingest.frames import OutFrame
from ingest.kafka_sink import KafkaSink
from tests.ingest.gateway_process import create_topics

pytestmark = [pytest.mark.servers, pytest.mark.slow]


async def test_a_producer_given_up_leaves_no_task_behind(
    own_stack: LocalStack, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(own_stack.start_servers, ["kafka"])
    prefix = f"t{uuid.uuid4().hex[:10]}"
    await asyncio.to_thread(create_topics, own_stack.kafka_bootstrap, prefix)
    sink = KafkaSink(KafkaSettings(bootstrap=own_stack.kafka_bootstrap, topic_prefix=prefix), "given-up")
    before = asyncio.all_tasks()
    assert await sink.open(20), sink.trouble
    own_stack.pause("kafka")
    try:
        futures = [await sink.send(_frame(prefix, partition), 1) for partition in range(4)]
        await asyncio.sleep(0.5)  # on their way
        with caplog.at_level(logging.ERROR, "asyncio"):
            async with asyncio.timeout(15):
                await sink.close()
            await asyncio.sleep(0.1)
            assert asyncio.all_tasks() == before
        assert not any(future.done() for future in futures)  # whether Kafka has them nobody knows: they are sent again
    finally:
        own_stack.resume("kafka")
    assert caplog.records == []
    assert await sink.open(20), sink.trouble
    async with asyncio.timeout(20):
        await (await sink.send(_frame(prefix, 0), 5))
    await sink.close()


def _frame(prefix: str, partition: int) -> OutFrame:
    return OutFrame(f"{prefix}.readings.v1", partition, FrameHeader("gw", 1, 0, 0, 1, 1, 2), b"x" * 100)


async def test_a_silent_broker_is_not_waited_for_where_another_answers(own_stack: LocalStack) -> None:
    await asyncio.to_thread(own_stack.start_servers, ["kafka"])
    prefix = f"t{uuid.uuid4().hex[:10]}"
    await asyncio.to_thread(create_topics, own_stack.kafka_bootstrap, prefix)
    held: list[asyncio.StreamWriter] = []
    silent = await asyncio.start_server(lambda _, writer: held.append(writer), "127.0.0.1", 0)
    port = silent.sockets[0].getsockname()[1]
    sink = KafkaSink(
        KafkaSettings(bootstrap=f"127.0.0.1:{port}, {own_stack.kafka_bootstrap}", topic_prefix=prefix), "silent"
    )
    before = asyncio.all_tasks()
    try:
        assert await sink.open(20), sink.trouble
        assert len(held) == 1
        assert await sink.open(20), sink.trouble
        assert len(held) == 1, "the one that answered is asked first"
        await sink.close()
        await asyncio.sleep(0.1)
        assert asyncio.all_tasks() == before
    finally:
        silent.close()
        for writer in held:
            writer.close()


async def test_brokers_that_do_not_answer_are_named_and_leave_nothing_behind() -> None:
    sink = KafkaSink(KafkaSettings(bootstrap="127.0.0.1:9,127.0.0.1:10"), "nobody")
    before = asyncio.all_tasks()
    assert not await sink.open(3)
    assert sink.trouble == "Kafka at 127.0.0.1:9,127.0.0.1:10 is not reachable: KafkaConnectionError"
    await asyncio.sleep(0.1)
    assert asyncio.all_tasks() == before
