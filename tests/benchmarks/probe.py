"""A device that is watched: its messages go out one at a time, and come back to a subscriber of the same broker."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from typing import ClassVar, Protocol

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion


class Sighting(Protocol):
    """Where it is taken down what was seen."""

    published: dict[str, float]

    def see(self, path: str, device: str) -> None:
        """A device's loud reading was seen on a path."""


class Probe:
    """Publisher and subscriber of `<root>/json/probe-N`."""

    EVERY_S: ClassVar[float] = 0.1

    def __init__(self, port: int, root: str, metric: str) -> None:
        self._root, self._metric, self._devices = root, metric, 0
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

    async def introduce(self, devices: int, value: float) -> None:
        """One quiet reading of each device, so that its series is there."""
        self._devices = devices
        for number in range(devices):
            self._publish(number, value)
        await asyncio.sleep(0.5)

    async def shout(self, moments: Sighting, value: float) -> None:
        """One loud reading of each device, EVERY_S apart."""
        self._seen = lambda device: moments.see("bare MQTT", device)
        for number in range(self._devices):
            moments.published[f"probe-{number}"] = time.time()
            self._publish(number, value)
            await asyncio.sleep(self.EVERY_S)

    def _publish(self, number: int, value: float) -> None:
        body = json.dumps({"time": time.time_ns() // 1000, self._metric: value})
        self._publisher.publish(f"{self._root}/json/probe-{number}", body, qos=1)

    def close(self) -> None:
        """Leave."""
        for client in (self._publisher, self._subscriber):
            client.disconnect()
            client.loop_stop()
