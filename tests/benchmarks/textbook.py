"""The pipeline a textbook would build: paho `on_message`, json, one Kafka record per reading, executemany with ON CONFLICT DO NOTHING.

`python -m tests.benchmarks.textbook gateway|consumer ...`. Idiomatic, and with the care that costs nothing: a persistent
session, sends that do not wait for each other, batches of 1,000 rows. It prints one JSON line when it is done.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import threading
import time
from datetime import UTC, datetime
from typing import Any

import asyncpg
import paho.mqtt.client as paho
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from paho.mqtt.enums import CallbackAPIVersion

BATCH_ROWS = 1000
INSERT = "INSERT INTO textbook (device, metric, time, value) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING"


def readings_of(topic: str, payload: bytes | bytearray) -> list[dict[str, Any]]:
    """The readings of a SenML pack, or of one JSON object whose device is the last level of the topic."""
    body = json.loads(payload)
    if isinstance(body, list):
        base_name, base_time = body[0].get("bn", ""), body[0].get("bt", 0.0)
        device = base_name.removeprefix("urn:dev:city:").rstrip(":")
        return [
            {"device": device, "metric": item["n"], "time": base_time + item.get("t", 0.0), "value": item["v"]}
            for item in body
        ]
    device, at = topic.rsplit("/", 1)[-1], body.pop("time") / 1e6
    return [{"device": device, "metric": metric, "time": at, "value": value} for metric, value in body.items()]


class Gateway:
    """MQTT to Kafka."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._queue: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._done = asyncio.Event()
        self._messages = 0
        self._began_s = self._cpu_s = 0.0
        self._subscribed = threading.Event()
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=options.client, protocol=paho.MQTTv311, clean_session=False
        )
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = self._on_message

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        client.subscribe(self._options.filter, qos=1)

    def _on_message(self, _client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        if self._messages == 0:
            self._began_s, self._cpu_s = time.time(), time.process_time()
        self._messages += 1
        for reading in readings_of(message.topic, message.payload):
            self._loop.call_soon_threadsafe(self._queue.put_nowait, reading)
        if self._messages == self._options.messages:
            self._loop.call_soon_threadsafe(self._done.set)

    async def run(self) -> None:
        """Take `messages` messages and send their readings; with 0 only leave a session behind."""
        producer = AIOKafkaProducer(bootstrap_servers=self._options.kafka, linger_ms=5)
        await producer.start()
        self._client.connect("127.0.0.1", self._options.mqtt_port)
        self._client.loop_start()
        await asyncio.to_thread(self._subscribed.wait, 30)
        if self._options.messages:
            report(ready=1)
        sending = asyncio.create_task(self._send(producer))
        if self._options.messages:
            async with asyncio.timeout(300):
                await self._done.wait()
                await self._queue.join()
                await producer.flush()
        report(
            began_s=self._began_s,
            cpu_s=time.process_time() - self._cpu_s,
            messages=self._messages,
            cpu_total_s=time.process_time(),
        )
        sending.cancel()
        self._client.disconnect()
        self._client.loop_stop()
        await producer.stop()

    async def _send(self, producer: AIOKafkaProducer) -> None:
        while True:
            reading = await self._queue.get()
            await producer.send(self._options.topic, json.dumps(reading).encode(), key=reading["device"].encode())
            self._queue.task_done()


async def consume(options: argparse.Namespace) -> None:
    """Kafka to the table, offsets committed after the rows, until `readings` readings are stored."""
    connection = await asyncpg.connect(options.dsn, timeout=10)
    consumer = AIOKafkaConsumer(
        options.topic, bootstrap_servers=options.kafka, group_id=f"{options.topic}.group", enable_auto_commit=False,
        auto_offset_reset="earliest",
    )  # fmt: skip
    await consumer.start()
    stored, cpu_s = 0, time.process_time()
    try:
        async with asyncio.timeout(60):
            while not consumer.assignment():
                await consumer.getmany(timeout_ms=100)
        report(ready=1)
        async with asyncio.timeout(600):
            while stored < options.readings:
                batches = await consumer.getmany(timeout_ms=200, max_records=BATCH_ROWS)
                rows = [row_of(json.loads(record.value)) for records in batches.values() for record in records]
                if rows:
                    await connection.executemany(INSERT, rows)
                    await consumer.commit()
                    stored += len(rows)
        report(ended_s=time.time(), cpu_s=time.process_time() - cpu_s, readings=stored, cpu_total_s=time.process_time())
    finally:
        await consumer.stop()
        await connection.close(timeout=10)


def row_of(reading: dict[str, Any]) -> tuple[str, str, datetime, float]:
    """A reading as the table's row."""
    return reading["device"], reading["metric"], datetime.fromtimestamp(reading["time"], UTC), reading["value"]


def report(**values: float) -> None:
    """The line the benchmark reads."""
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


async def main(arguments: list[str]) -> None:
    """Run one of the two."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=["gateway", "consumer"])
    for name in ("--kafka", "--topic", "--client", "--filter", "--dsn"):
        parser.add_argument(name)
    for name in ("--mqtt-port", "--messages", "--readings"):
        parser.add_argument(name, type=int, default=0)
    options = parser.parse_args(arguments)
    await (Gateway(options).run() if options.part == "gateway" else consume(options))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
