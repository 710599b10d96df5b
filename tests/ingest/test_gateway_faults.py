"""A gateway whose servers are hurt: Kafka away, frozen, away at the start, the spool full, the broker restarted. Nothing is lost."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from deploy.local.stack import LocalStack
from ingest.contract.topics import Topics
from ingest.metrics import RENEWAL_REASONS
from tests.ingest.conftest import MakeGateway
from tests.ingest.gateway_process import (
    GatewayProcess,
    Publisher,
    assert_numbers_follow,
    eventually,
    numbered,
    read_frames,
    read_readings,
    read_statements,
    values_of,
)

MakePublisher = Callable[[GatewayProcess], Publisher]

pytestmark = pytest.mark.slow


def drained(running: GatewayProcess, messages: int) -> None:
    """Wait until everything is through Kafka again."""
    eventually(lambda: running.metric("messages_total") >= messages, 60, f"{messages} messages received")
    eventually(lambda: running.metric("unacked_messages") == 0, 60, "nothing unacknowledged")
    eventually(lambda: running.metric("spool_frames") == 0, 60, "the spool drained")
    eventually(lambda: running.metric("kafka_up") == 1, 30, "Kafka up")


def assert_all_there(running: GatewayProcess, sender: Publisher, own_stack: LocalStack) -> None:
    """Every acknowledged reading is in Kafka, frames are numbered without a gap, and the statement adds up."""
    running.stop()
    assert values_of(read_readings(own_stack.kafka_bootstrap, running.prefix)) == sender.acked
    assert_numbers_follow(read_frames(own_stack.kafka_bootstrap, Topics(running.prefix).readings))
    newest = {said["epoch"]: said for said in read_statements(own_stack.kafka_bootstrap, running.prefix)}
    for said in newest.values():
        assert said["spooled"] == 0
        assert said["acked_kafka"] <= said["received"]
    last = newest[max(newest)]
    assert last["acked_kafka"] == last["received"]


def test_readings_wait_on_disk_while_kafka_is_away_and_follow_in_order(
    own_stack: LocalStack, fragile_gateway: MakeGateway, publisher: MakePublisher, now_us: int
) -> None:
    running = fragile_gateway(spool_after_s=0.5)
    running.start()
    eventually(lambda: running.metric("kafka_up") == 1, 20, "Kafka connected")
    sender = publisher(running)
    sender.send(numbered(running.root, range(2000), now_us))
    own_stack.kill("kafka")
    sender.send(numbered(running.root, range(2000, 6000), now_us))
    eventually(lambda: running.metric("spool_frames") > 0, 30, "frames in the spool")
    sender.wait()
    eventually(lambda: running.metric("unacked_messages") == 0, 30, "MQTT acknowledged from the spool")
    assert running.ready()
    assert 0 < running.metric("spool_hours_left") < float("inf")
    own_stack.start_servers(["kafka"])
    sender.send(numbered(running.root, range(6000, 8000), now_us))
    sender.wait()
    drained(running, 8000)
    assert sum(running.metric("producer_renewals_total", f'reason="{reason}"') for reason in RENEWAL_REASONS) >= 1
    assert_all_there(running, sender, own_stack)


def test_a_kafka_that_answers_nothing_is_given_up_at_the_deadline_and_its_readings_are_sent_again(
    own_stack: LocalStack, fragile_gateway: MakeGateway, publisher: MakePublisher, now_us: int
) -> None:
    running = fragile_gateway(spool_after_s=0.5, deliver_deadline_s=3)
    running.start()
    eventually(lambda: running.metric("kafka_up") == 1, 20, "Kafka connected")
    sender = publisher(running)
    sender.send(numbered(running.root, range(1000), now_us))
    own_stack.pause("kafka")
    try:
        sender.send(numbered(running.root, range(1000, 2500), now_us))
        eventually(lambda: running.metric("spool_frames") > 0, 40, "frames in the spool")
        sender.wait()
    finally:
        own_stack.resume("kafka")
    sender.send(numbered(running.root, range(2500, 3000), now_us))
    sender.wait()
    drained(running, 3000)
    assert_all_there(running, sender, own_stack)


def test_a_kill_with_frames_on_disk_leaves_them_to_the_next_life(
    own_stack: LocalStack, fragile_gateway: MakeGateway, publisher: MakePublisher, now_us: int
) -> None:
    running = fragile_gateway(spool_after_s=0.2)
    running.start()
    sender = publisher(running)
    own_stack.kill("kafka")
    sender.send(numbered(running.root, range(3000), now_us))
    sender.wait()
    eventually(lambda: running.metric("spool_frames") > 3, 30, "frames in the spool")
    running.kill()
    running.start()  # Kafka away at the start
    sender.send(numbered(running.root, range(3000, 4000), now_us))
    sender.wait()
    eventually(lambda: running.metric("unacked_messages") == 0, 30, "MQTT acknowledged from the spool")
    own_stack.start_servers(["kafka"])
    drained(running, 1000)
    assert_all_there(running, sender, own_stack)
    epochs = {record.header.epoch for record in read_frames(own_stack.kafka_bootstrap, Topics(running.prefix).readings)}
    assert len(epochs) == 2


def test_a_full_spool_stops_acknowledgements_and_memory_stays_bounded(
    own_stack: LocalStack, fragile_gateway: MakeGateway, publisher: MakePublisher, now_us: int
) -> None:
    running = fragile_gateway(
        spool_after_s=0.2,
        spool_max_bytes=1_048_576,
        spool_segment_bytes=65_536,
        receive_maximum=500,
        max_unacked_messages=1000,
    )
    running.start()
    sender = publisher(running)
    own_stack.kill("kafka")
    before_mb = running.resident_mb()
    sender.send(numbered(running.root, range(30_000), now_us), most_unacked=20_000)
    eventually(lambda: running.metric("spool_full") == 1, 60, "the spool full")
    eventually(lambda: not running.ready(), 10, "readiness to say so")
    time.sleep(2)
    assert running.metric("unacked_messages") <= 1000
    assert running.metric("spool_bytes") <= 1_048_576
    assert running.resident_mb() - before_mb < 60
    own_stack.start_servers(["kafka"])
    sender.wait()
    drained(running, 30_000)
    assert_all_there(running, sender, own_stack)


def test_a_broker_restart_costs_no_reading(
    own_stack: LocalStack, fragile_gateway: MakeGateway, publisher: MakePublisher, now_us: int
) -> None:
    running = fragile_gateway()
    running.start()
    sender = publisher(running)
    sender.send(numbered(running.root, range(3000), now_us))
    own_stack.kill("mosquitto")
    time.sleep(0.5)
    own_stack.start_servers(["mosquitto"])
    sender.send(numbered(running.root, range(3000, 6000), now_us))
    sender.wait(60)
    eventually(running.ready, 30, "the session to stand again")
    assert running.metric("mqtt_connects_total", 'outcome="session_lost"') == 0
    eventually(lambda: running.metric("unacked_messages") == 0, 30, "nothing unacknowledged")
    time.sleep(1)
    drained(running, 6000)
    running.stop()
    assert sender.acked <= values_of(read_readings(own_stack.kafka_bootstrap, running.prefix))
