"""Devices that are watched: each is known by a quiet reading and then says one loud one, which comes back to a subscriber too."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

BARE, KAFKA, ROW, ALARM = PATHS = ("bare MQTT", "Kafka's log", "row", "alarm")


@dataclass
class Moments:
    """Wall-clock seconds by device: when its loud reading was published, and when it was seen on each path; its event time."""

    published: dict[str, float] = field(default_factory=dict)
    event_us: dict[str, int] = field(default_factory=dict)
    seen: dict[str, dict[str, float]] = field(default_factory=lambda: {path: {} for path in PATHS})

    def see(self, path: str, device: str) -> None:
        """The first sight counts."""
        if device in self.published:
            self.seen[path].setdefault(device, time.time())

    def open(self, path: str) -> list[str]:
        """Devices that were published and not yet seen on a path."""
        return [device for device in list(self.published) if device not in self.seen[path]]

    def latencies_ms(self, path: str) -> list[float]:
        """Of every probe; all must have come."""
        missing = self.open(path)
        assert not missing, f"{len(missing)} probes never came to: {path}"
        return [(self.seen[path][device] - at) * 1e3 for device, at in self.published.items()]


class Probe:
    """Publisher and subscriber of `<root>/json/<device>`."""

    PAUSE_S: ClassVar[tuple[float, float]] = (0.02, 0.08)
    """Drawn anew each time: at a fixed pace the probes would keep step with the gateway's flushes and always wait as long."""

    def __init__(self, port: int, root: str, metric: str, seed: int = 0) -> None:
        self._root, self._metric, self._random = root, metric, random.Random(seed)
        self._seen: Callable[[str], None] = lambda _: None
        self._publisher = self._client(port, "probe-out")
        self._subscriber = self._client(port, "probe-in")
        self._subscriber.on_message = self._on_message
        self._subscriber.subscribe(f"{root}/json/+", qos=1)

    @staticmethod
    def _client(port: int, name: str) -> paho.Client:
        client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"{name}-{time.time_ns()}", protocol=paho.MQTTv5)
        client.connect("127.0.0.1", port)
        client.loop_start()
        return client

    def _on_message(self, _client: paho.Client, _userdata: object, message: paho.MQTTMessage) -> None:
        self._seen(message.topic.rsplit("/", 1)[-1])

    def introduce(self, devices: Sequence[str], value: float) -> None:
        """One quiet reading of each device, so that its series is there."""
        for device in devices:
            self._publish(device, value, time.time_ns() // 1000)

    async def shout(self, devices: Sequence[str], moments: Moments, value: float) -> None:
        """One loud reading of each device, one after the other."""
        self._seen = lambda device: moments.see(BARE, device)
        for device in devices:
            now_us = time.time_ns() // 1000
            moments.event_us[device] = now_us
            moments.published[device] = now_us / 1e6
            self._publish(device, value, now_us)
            await asyncio.sleep(self._random.uniform(*self.PAUSE_S))

    def _publish(self, device: str, value: float, at_us: int) -> None:
        body = json.dumps({"time": at_us, self._metric: value})
        self._publisher.publish(f"{self._root}/json/{device}", body, qos=1)

    def close(self) -> None:
        """Leave."""
        for client in (self._publisher, self._subscriber):
            client.disconnect()
            client.loop_stop()
