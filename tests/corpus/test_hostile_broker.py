"""The gateway behind a broker gone wrong: it survives, says what was wrong in one line, connects again, and then works."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

from deploy.local.stack import LocalStack
from tests.corpus.hostile_broker import CONNACK, Attack, HostileBroker, publish
from tests.ingest.gateway_process import GatewayProcess, eventually

GROWTH_MB = 100.0
"""A flood is held up to max_unacked_bytes (64 MB) by design; announced lengths and unknown ids must cost nothing."""
GATEWAYS = 4
"""The pause before a connection doubles each time: five attacks a gateway take seconds, twenty would take minutes."""

ATTACKS = [
    Attack("not MQTT at all", b"HTTP/1.1 200 OK\r\n\r\n" * 20),
    Attack("zeros", b"\0" * 4096),
    Attack("QoS 3", publish(b"t", b"{}", qos=3)),
    Attack("QoS 2, never subscribed", publish(b"t", b"{}", qos=2)),
    Attack("packet id 0", publish(b"t", b"{}", mid=0)),
    Attack("topic longer than its packet", b"\x32\x05\xff\xff\x00\x01\x00"),
    Attack("properties longer than their packet", b"\x32\x06\x00\x01t\x00\x01\x7f"),
    Attack("length of five bytes", b"\x32\xff\xff\xff\xff\x01"),
    Attack("control packet of 256 MB", b"\x90\xff\xff\xff\x7f" + b"\0" * 1000),
    Attack("SUBACK for an unknown id", b"\x90\x06\xff\xfe\x00\x01\x01\x01", instead_of="SUBACK"),
    Attack("SUBACKs without end", b"\x90\x06\xff\xfe\x00\x01\x01\x01" * 1000, times=100),
    Attack("CONNACKs without end", CONNACK * 1000, times=100),
    Attack("PUBACKs for what was never sent", b"\x40\x02\x12\x34" * 1000, times=100),
    Attack("PUBRELs for unknown ids", b"\x62\x02\x12\x34" * 1000, times=100),
    Attack("CONNECT from the broker", b"\x10\x0d\x00\x04MQTT\x05\x00\x00\x3c\x00\x00\x00"),
    Attack("PINGREQ from the broker", b"\xc0\x00"),
    Attack("broken CONNACK", b"\x20\x00", instead_of="CONNACK"),
    Attack("PUBLISH of 256 MB that never comes", b"\x32\xff\xff\xff\x7f" + b"\0\1t\0\1\0" + b"x" * 500_000, close=True),
    Attack(
        "a flood of 30,000 messages nobody waited for", publish(b"t", b"x" * 1000, qos=0) * 300, times=100, close=True
    ),
    Attack("topics that are no UTF-8", publish(b"\xff\xfe\xc0", b"{}") + publish(b"", b"{}", mid=2), close=True),
    Attack("dies in the middle of a packet", publish(b"t", b"{}")[:-1], close=True),
]


@pytest.mark.slow
def test_the_gateway_leaves_a_broken_broker_with_one_line_and_works_when_it_is_well(
    stack: LocalStack, kafka_prefix: str, tmp_path: Path
) -> None:
    good = publish(b"hostile/json/d1", b'{"air_temperature":20}')
    brokers = [HostileBroker(ATTACKS[number::GATEWAYS], good) for number in range(GATEWAYS)]
    with contextlib.ExitStack() as running:
        gateways: list[GatewayProcess] = []
        for number, broker in enumerate(brokers):
            running.enter_context(broker.running())
            gateway = GatewayProcess(
                f"hostile-{number}", kafka_prefix, broker.port, stack.kafka_bootstrap, tmp_path / str(number),
                {"extra_routes": [{"topic": "hostile/json/+", "format": "plain-json", "profile": "canonical"}]},
            )  # fmt: skip
            gateway.start(ready=False)
            running.callback(end, gateway)
            gateways.append(gateway)
        for broker, gateway in zip(brokers, gateways, strict=True):
            eventually(broker.well, 45, f"the good message acknowledged: {gateway.log()[-1500:]}")
            check(broker, gateway)


def check(broker: HostileBroker, gateway: GatewayProcess) -> None:
    """One line for each attack, none of them a traceback, little memory, and a good end."""
    lines = gateway.log_lines()
    assert [line for line in lines if "Traceback" in str(line)] == []
    lost = [line for line in lines if line["message"] == "MQTT disconnected"]
    said = [f"{attack.name}: {line['reason']}" for attack, line in zip(broker.attacks, lost, strict=False)]
    print(f"{gateway.resident_mb():.0f} MB", *said, sep="\n  ")
    assert len(lost) == len(broker.attacks) == broker.connections - 1, said
    assert all(attack.close or "the broker sent" in text for attack, text in zip(broker.attacks, said, strict=True)), (
        said
    )
    assert len(lines) < 5 * broker.connections
    assert gateway.ready()
    assert gateway.resident_mb() < 100 + GROWTH_MB
    assert gateway.stop() == 0


def end(gateway: GatewayProcess) -> None:
    """After a failed test."""
    if gateway.process is not None and gateway.process.poll() is None:
        gateway.kill()
