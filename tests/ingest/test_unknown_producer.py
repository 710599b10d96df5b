"""What Kafka does with the first batch of a producer that it does not know: the gateway's counts lean on it."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition

from deploy.local.stack import LocalStack
from ingest.contract.topics import Topics


@pytest.mark.servers
async def test_kafka_takes_any_first_number_so_the_frame_behind_a_refused_one_may_be_taken(
    stack: LocalStack, kafka_prefix: str
) -> None:
    partition = TopicPartition(Topics(kafka_prefix).readings, 0)
    producer = AIOKafkaProducer(bootstrap_servers=stack.kafka_bootstrap, enable_idempotence=True)
    await producer.start()
    try:
        producer._txn_manager._sequence_numbers[partition] = 5
        taken = await producer.send_and_wait(partition.topic, b"the sixth", partition=0)
        assert taken.offset == 0
    finally:
        await producer.stop()
