"""What the fleet of the benchmarks sends, and how it gets into the broker before a gateway takes it at full speed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

from tests.ingest.gateway_process import Publisher

METRICS = ("air_temperature", "relative_humidity", "pm1", "pm2_5", "pm4", "pm10", "no2", "no", "o3", "so2")
DEVICES = 500


@dataclass(frozen=True)
class Load:
    """A kind of message; `readings` are those of one message. Each of `devices` sends one a minute."""

    case: str
    readings: int
    devices: int = DEVICES

    def messages(self, root: str, count: int, first: int = 0) -> Iterator[tuple[int, str, bytes]]:
        """`count` numbered (topic, payload) from `first` on; every reading of the fleet has a moment of its own in its series."""
        start_us = time.time_ns() // 1000 - 20 * 3600 * 1_000_000
        make = single if self.readings == 1 else pack
        for number in range(first, first + count):
            minute, device = divmod(number, self.devices)
            level, payload = make(device, start_us + minute * 60_000_000 + device * 1000)
            yield number, f"{root}/{level}", payload

    def publish(self, mqtt_port: int, root: str, count: int) -> None:
        """Put `count` messages into the sessions that subscribed, each acknowledged by the broker."""
        sender = Publisher(mqtt_port, root)
        sender.send(self.messages(root, count))
        sender.wait(120)
        sender.close()


def single(device: int, at_us: int) -> tuple[str, bytes]:
    """One reading as plain JSON."""
    body = {"time": at_us, "air_temperature": 20.5 + at_us // 1000 % 7}
    return f"json/dev-{device}", json.dumps(body).encode()


def pack(device: int, at_us: int) -> tuple[str, bytes]:
    """Ten metrics at two moments as SenML."""
    first = {"bn": f"urn:dev:city:dev-{device}:", "bt": at_us / 1e6} | _RECORDS[0]
    return "senml/gw", f"[{json.dumps(first)}, {_OTHERS}]".encode()


_RECORDS = [{"n": metric, "v": 20.5, "t": -second} for second in (0, 10) for metric in METRICS]
_OTHERS = json.dumps(_RECORDS[1:])[1:-1]  # the same in every pack

SINGLES = Load("single JSON", 1)
PACKS = Load("SenML of 20", 20)
