"""A gateway between a real Mosquitto and a real Kafka: what comes in goes out, refused payloads keep their reason, kills lose nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial

from deploy.local.stack import LocalStack
from ingest.contract.rejects import RejectReason
from ingest.contract.topics import Topics, partition_of
from tests.ingest.conftest import MakeGateway
from tests.ingest.gateway_process import (
    PARTITIONS,
    GatewayProcess,
    Publisher,
    assert_numbers_follow,
    eventually,
    numbered,
    read_frames,
    read_letters,
    read_readings,
    read_statements,
    values_of,
)

MakePublisher = Callable[[GatewayProcess], Publisher]

EUI = "0102030405060708"


def test_one_json_reading_becomes_one_reading_in_kafka(
    stack: LocalStack, gateway: MakeGateway, publisher: MakePublisher, now_us: int
) -> None:
    running = gateway()
    running.start()
    sender = publisher(running)
    sender.send([(1, f"{running.root}/json/dev1", json.dumps({"time": now_us, "air_temperature": 21.5}).encode())])
    sender.wait()
    eventually(lambda: running.metric("frames_total", f'topic="{running.prefix}.readings.v1"') == 1)
    assert read_readings(stack.kafka_bootstrap, running.prefix) == [("dev1", "air_temperature", now_us, 21.5)]
    (record,) = read_frames(stack.kafka_bootstrap, Topics(running.prefix).readings)
    assert record.partition == partition_of("dev1", PARTITIONS)
    assert (record.header.seq, record.header.before, record.header.count) == (0, 0, 1)


def test_a_pack_keeps_all_its_readings_and_the_custody_statement_counts_them(
    stack: LocalStack, gateway: MakeGateway, publisher: MakePublisher, now_us: int
) -> None:
    running = gateway()
    running.start()
    sender = publisher(running)
    seconds = now_us // 1_000_000
    pack = [{"bn": "urn:dev:city:lamp-7:", "bt": seconds, "n": "active_power", "u": "W", "v": 71.5}]
    pack += [{"n": "voltage", "u": "V", "v": 230 + index, "t": -index} for index in range(19)]
    sender.send([(1, f"{running.root}/senml/gw", json.dumps(pack).encode())])
    sender.send([(2, f"{running.root}/json/lamp-7", b"no json")])
    sender.wait()
    eventually(lambda: running.metric("frames_total", f'topic="{running.prefix}.deadletters.v1"') == 1)
    assert running.stop() == 0
    assert len(read_readings(stack.kafka_bootstrap, running.prefix)) == 20
    last = read_statements(stack.kafka_bootstrap, running.prefix)[-1]
    assert (last["received"], last["acked_kafka"], last["spooled"], last["refused"], last["messages"]) == (
        21,
        21,
        0,
        0,
        2,
    )
    acked = {(mark["topic"], mark["partition"]): mark["acked"] for mark in last["partitions"]}
    assert acked == {
        (f"{running.prefix}.readings.v1", partition_of("lamp-7", PARTITIONS)): 20,
        (f"{running.prefix}.deadletters.v1", 0): 1,
    }


def refused_payloads(root: str) -> dict[RejectReason, tuple[str, bytes]]:
    """For every reason that a payload can provoke: a topic and a payload that does."""
    now = time.time()
    json_topic, senml_topic = f"{root}/json/dev", f"{root}/senml/gw"
    up = f"{root}/application/a/device/{EUI}/event/up"

    def body(**members: object) -> bytes:
        return json.dumps({"time": now, **members}).encode()

    return {
        RejectReason.UNKNOWN_TOPIC: (f"{root}/open/x", b"{}"),
        RejectReason.TOO_LARGE: (json_topic, b'{"air_temperature":' + b" " * 300_000 + b"1}"),
        RejectReason.NOT_UTF8: (json_topic, b"\xff\xfe\x00\x01"),
        RejectReason.MALFORMED: (json_topic, b'{"air_temperature":21,5}'),
        RejectReason.TOO_DEEP: (json_topic, b"[" * 100_000),
        RejectReason.BAD_SCHEMA: (senml_topic, b'{"n":"urn:dev:ow:a","v":1}'),
        RejectReason.NO_DEVICE: (f"{root}/json/ ", body(air_temperature=1)),
        RejectReason.BAD_DEVICE: (json_topic, body(device="d" * 300, air_temperature=1)),
        RejectReason.DEVICE_MISMATCH: (up, body(deviceInfo={"devEui": "ffffffffffffffff"}, object={"temperature": 1})),
        RejectReason.UNKNOWN_METRIC: (json_topic, body(happiness=1)),
        RejectReason.UNKNOWN_UNIT: (json_topic, body(name="air_temperature", value=1, unit="cubits")),
        RejectReason.NOT_A_NUMBER: (json_topic, body(air_temperature="warm")),
        RejectReason.NOT_FINITE: (json_topic, b'{"air_temperature":1e400}'),
        RejectReason.OUT_OF_RANGE: (json_topic, body(air_temperature=1000)),
        RejectReason.SENTINEL: (up, body(deviceInfo={"devEui": EUI}, object={"TempC_SHT": 327.67})),
        RejectReason.BAD_TIME: (json_topic, b'{"time":"2026-07-01 12:00:00","air_temperature":1}'),
        RejectReason.TOO_OLD: (json_topic, json.dumps({"time": now - 90_000, "air_temperature": 1}).encode()),
        RejectReason.IN_FUTURE: (json_topic, json.dumps({"time": now + 3600, "air_temperature": 1}).encode()),
    }


def test_every_reason_a_payload_can_give_is_a_dead_letter_with_its_bytes(
    stack: LocalStack, gateway: MakeGateway, publisher: MakePublisher
) -> None:
    running = gateway(extra_routes=[])
    running.options["extra_routes"] = [
        {"topic": f"{running.root}/open/y", "format": "plain-json", "profile": "canonical"}
    ]
    running.start()
    payloads = refused_payloads(running.root)
    assert set(payloads) == set(RejectReason) - {
        RejectReason.INTERNAL
    }  # our own mistakes: test_reading_slice provokes one
    unrouted_topic, _ = payloads[RejectReason.UNKNOWN_TOPIC]
    lines_before = len(running.log_lines())
    # the session of an earlier configuration may still subscribe to what no route takes any more
    subscribe_as(running, unrouted_topic)
    sender = publisher(running)
    sender.send((index, topic, payload) for index, (topic, payload) in enumerate(payloads.values()))
    sender.wait()
    eventually(lambda: running.metric("messages_total") >= len(payloads))
    for reason in payloads:
        eventually(partial(counted, running, reason), 5, reason.value)
    running.stop()
    letters = {letter.reason: letter for letter in read_letters(stack.kafka_bootstrap, running.prefix)}
    for reason, (topic, payload) in payloads.items():
        letter = letters[reason.value]
        assert letter.detail
        assert letter.mqtt_topic == topic
        assert payload.startswith(letter.payload)
        assert letter.payload == payload or reason is RejectReason.TOO_LARGE
    assert read_readings(stack.kafka_bootstrap, running.prefix) == []
    problems = [line for line in running.log_lines()[lines_before:] if line["level"] in ("error", "critical")]
    assert problems == []


def counted(running: GatewayProcess, reason: RejectReason) -> bool:
    return running.metric("rejects_total", f'reason="{reason.value}"') >= 1


def subscribe_as(running: GatewayProcess, topic: str) -> None:
    """Make the gateway's session subscribe to one more topic: restart it with that route, then without it."""
    running.stop()
    routes = running.options["extra_routes"]
    running.options["extra_routes"] = [*routes, {"topic": topic, "format": "plain-json", "profile": "canonical"}]
    running.start()
    running.stop()
    running.options["extra_routes"] = routes
    running.start()


def test_kill_in_the_middle_of_20000_readings_loses_none(
    stack: LocalStack, gateway: MakeGateway, publisher: MakePublisher, now_us: int
) -> None:
    running = gateway()
    running.start()
    sender = publisher(running)
    for part in range(4):
        sender.send(numbered(running.root, range(part * 5000, (part + 1) * 5000), now_us))
        running.kill()  # with messages received, built into frames, on their way to Kafka and not acknowledged
        running.start()
    sender.wait()
    assert len(sender.acked) == 20_000
    eventually(lambda: running.metric("unacked_messages") == 0 and _quiet(running), 30, "the backlog to be drained")
    running.stop()
    assert values_of(read_readings(stack.kafka_bootstrap, running.prefix)) == sender.acked
    assert_numbers_follow(read_frames(stack.kafka_bootstrap, Topics(running.prefix).readings))


def _quiet(running: GatewayProcess) -> bool:
    before = running.metric("messages_total")
    time.sleep(0.5)
    return running.metric("messages_total") == before


def test_sigterm_under_load_drains_and_loses_none_and_doubles_none(
    stack: LocalStack, gateway: MakeGateway, publisher: MakePublisher, now_us: int
) -> None:
    running = gateway()
    running.start()
    sender = publisher(running)
    sender.send(numbered(running.root, range(4000), now_us))
    assert running.stop() == 0
    first = read_statements(stack.kafka_bootstrap, running.prefix)[-1]
    assert first["received"] == first["acked_kafka"]
    sender.send(numbered(running.root, range(4000, 6000), now_us))  # the broker keeps them for the session
    running.start()
    sender.wait()
    eventually(lambda: running.metric("unacked_messages") == 0 and _quiet(running), 30, "the backlog to be drained")
    running.stop()
    readings = read_readings(stack.kafka_bootstrap, running.prefix)
    assert values_of(readings) == sender.acked
    assert len(readings) == 6000


def test_two_gateways_cannot_share_one_spool(gateway: MakeGateway) -> None:
    running = gateway()
    running.start()
    second = GatewayProcess(running.root, running.prefix, running.mqtt_port, running.kafka, running.folder)
    second.start(ready=False)
    assert second.process is not None
    assert second.process.wait(20) == 1
    assert "in use by another gateway process" in second.log()
    assert "Traceback" not in second.log()
