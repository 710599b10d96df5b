"""Sends alarm events to the topic alarms.v1 for other systems: an outbox emptied at least once; `event_id` is the idempotency key."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from typing import Any, Final

import asyncpg
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from control_center.api.payloads import encode
from control_center.metrics import ControlMetrics
from ingest.contract.broker import KafkaSettings

_log = logging.getLogger(__name__)
_BATCH: Final = 500

_WAITING: Final = f"""
    SELECT e.event_id, e.event, e.at, e.by_whom, e.detail, a.alarm_id, a.rule_id, a.device, a.metric, a.unit, a.severity, a.state,
           a.raised_at, a.raised_value, a.raised_detail, a.acknowledged_at, a.acknowledged_by, a.cleared_at, a.cleared_value,
           a.cleared_detail
    FROM city.alarm_events e JOIN city_view.alarms a USING (alarm_id)
    WHERE e.published_at IS NULL ORDER BY e.event_id LIMIT {_BATCH}"""
_JSON: Final = ("detail", "raised_detail", "cleared_detail")


class KafkaAwayError(Exception):
    """Kafka did not take the events; they wait. The message says why."""


class AlarmPublisher:
    """Owns its producer; after any refused send it takes a new one, for an idempotent producer is spent by a failed batch."""

    def __init__(self, kafka: KafkaSettings, pool: asyncpg.Pool[asyncpg.Record], metrics: ControlMetrics) -> None:
        self._kafka = kafka
        self._pool = pool
        self._metrics = metrics
        self._producer: AIOKafkaProducer | None = None

    async def publish_waiting(self) -> int:
        """Send what waits, oldest first; returns how many. What Kafka did not acknowledge stays waiting.

        Raises:
            KafkaAwayError: Kafka did not acknowledge in time.
        """
        records = await self._pool.fetch(_WAITING)
        if not records:
            return 0
        try:
            await self._send([(str(record["alarm_id"]).encode(), _body(record)) for record in records])
        except (KafkaError, OSError, TimeoutError) as error:
            self._metrics.published.labels("failed").inc(len(records))
            await self.close()
            raise KafkaAwayError(repr(error)) from error
        ids = [record["event_id"] for record in records]
        await self._pool.execute("UPDATE city.alarm_events SET published_at = now() WHERE event_id = ANY($1)", ids)
        self._metrics.published.labels("published").inc(len(records))
        return len(records)

    async def _send(self, messages: list[tuple[bytes, bytes]]) -> None:
        async with asyncio.timeout(self._kafka.request_timeout_ms / 1000):
            if self._producer is None:
                producer = AIOKafkaProducer(
                    acks="all",
                    enable_idempotence=True,
                    client_id="citynerve-control-alarms",
                    **self._kafka.client_options(),
                )
                try:
                    await producer.start()
                except BaseException:
                    await producer.stop()
                    raise
                self._producer = producer
            sends = [await self._producer.send(self._kafka.topics.alarms, body, key=key) for key, body in messages]
            await asyncio.gather(*sends)

    async def close(self) -> None:
        """Give the producer back; never raises, never waits long."""
        producer, self._producer = self._producer, None
        if producer is not None:
            with contextlib.suppress(KafkaError, OSError, TimeoutError):
                async with asyncio.timeout(3):
                    await producer.stop()


def _body(record: asyncpg.Record) -> bytes:
    values: dict[str, Any] = dict(record.items())
    for name in _JSON:
        values[name] = None if values[name] is None else json.loads(values[name])
    event = {name: values.pop(name) for name in ("event_id", "event", "at", "by_whom", "detail")}
    return encode({**event, "alarm": values})
