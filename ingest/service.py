"""A gateway from start to stop: opens its parts in order, keeps them running, drains them within the stop budget."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

from prometheus_client import CollectorRegistry

from ingest.admission import TimeWindow
from ingest.catalogue import Catalogue
from ingest.contract.broker import KafkaSettings, MqttSettings
from ingest.contract.operating import EXIT_TROUBLE, UserError, status_server
from ingest.custody import Custody
from ingest.delivery import Delivery
from ingest.device_profile import load_profiles
from ingest.gateway_clock import GatewayClock
from ingest.kafka_sink import KafkaSink
from ingest.metrics import IngestMetrics
from ingest.mqtt_source import MqttSource
from ingest.pipeline import Pipeline
from ingest.reading_slice import SliceReader
from ingest.settings import IngestSettings
from ingest.spool import Spool

log = logging.getLogger(__name__)

_STATEMENT_EVERY_S = 1.0
_STATEMENT_DEADLINE_S = 5.0
_CUSTODY_FAILURES_BEFORE_RENEWAL = 3
_FIRST_WORD_EVERY_S = 0.1
_FIRST_WORD_BUDGET_S = 3.0


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """The three sections a gateway reads."""

    ingest: IngestSettings
    mqtt: MqttSettings
    kafka: KafkaSettings


class Gateway:
    """One running gateway. `run` returns after `stop` is set and everything is drained (or the budget is used up)."""

    def __init__(self, settings: GatewaySettings, registry: CollectorRegistry) -> None:
        ingest, topics = settings.ingest, settings.kafka.topics
        self._settings = settings
        self._registry = registry
        self._topics = topics
        self._metrics = IngestMetrics(registry, (topics.readings, topics.dead_letters), ingest.gateway_id)
        profiles = load_profiles([route.profile for route in ingest.routes], ingest.profiles_dir)
        self._spool = Spool(ingest.spool_folder, ingest.spool_max_bytes, ingest.spool_segment_bytes)
        found = self._spool.open()
        if found.frames or found.damaged or found.torn_bytes:
            counts = {name: getattr(found, name) for name in ("frames", "damaged", "mended", "torn_bytes")}
            log.warning("the spool holds frames of an earlier run", extra={"fields": counts})
        try:
            ingest.gateway_dir.mkdir(parents=True, exist_ok=True)
            now_us = time.time_ns() // 1000
            self._custody = Custody.begin(
                ingest.gateway_id, ingest.gateway_dir / "custody.json", now_us, dict(found.readings)
            )
        except OSError as error:
            raise UserError(
                f"cannot write to state_dir {ingest.gateway_dir}: {error.strerror}", exit_code=EXIT_TROUBLE
            ) from None
        self._clock = GatewayClock(not_before_us=self._custody.epoch)
        self._heard = asyncio.Event()
        catalogue = Catalogue(settings.kafka.partitions, ingest.max_channels)
        window = TimeWindow(ingest.max_age_s * 1_000_000, ingest.max_ahead_s * 1_000_000)
        reader = SliceReader(
            routes=ingest.routes,
            profiles=profiles,
            catalogue=catalogue,
            window=window,
            max_payload_bytes=ingest.max_payload_bytes,
            metrics=self._metrics,
        )
        reader.doubt_us = self._clock.doubt_us
        self._sink = KafkaSink(settings.kafka, f"citynerve-{ingest.gateway_id}")
        self._delivery = Delivery(ingest, self._sink, self._spool, self._custody, self._metrics)
        self._source = MqttSource(settings.mqtt, ingest, self._metrics, session_expected=self._custody.session_seen)
        self._source.on_session = self._session_stands
        self._source.now_us = self._delivery.now_us = self._clock.now_us
        self._pipeline = Pipeline(
            settings=ingest,
            reader=reader,
            source=self._source,
            outlet=self._delivery,
            custody=self._custody,
            metrics=self._metrics,
            topics=topics,
            catalogue=catalogue,
            now_us=self._clock.now_us,
        )
        self._custody_failures = 0
        self._clock_steps = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set. A part that dies ends the process: a supervisor starts it anew, and nothing is lost by that."""
        ingest = self._settings.ingest
        async with status_server(ingest.http_host, ingest.http_port, self._registry, self.not_ready) as port:
            log.info(
                "gateway starts",
                extra={"fields": {"gateway": ingest.gateway_id, "epoch": self._custody.epoch, "http_port": port}},
            )
            async with self._tasks() as (pipeline, others):
                stopping = asyncio.create_task(stop.wait(), name="stop signal")
                done, _ = await asyncio.wait([pipeline, stopping, *others], return_when=asyncio.FIRST_COMPLETED)
                if stopping not in done:
                    stopping.cancel()
                    for task in done:
                        task.result()
                    raise RuntimeError(f"{min(task.get_name() for task in done)} ended by itself")
                await self._drain(pipeline)
            await self._goodbye()

    @contextlib.asynccontextmanager
    async def _tasks(self) -> AsyncIterator[tuple[asyncio.Task[None], list[asyncio.Task[None]]]]:
        self._stopping = False
        pipeline = asyncio.create_task(self._run_pipeline(), name="pipeline")
        others = [
            asyncio.create_task(self._source.run(), name="mqtt"),
            asyncio.create_task(self._delivery.run(), name="delivery"),
            asyncio.create_task(self._make_statements(), name="custody"),
        ]
        try:
            yield pipeline, others
        finally:
            for task in (pipeline, *others):
                task.cancel()
            await asyncio.gather(pipeline, *others, return_exceptions=True)

    async def _run_pipeline(self) -> None:
        # the first message is judged by a clock that Kafka has confirmed: without a battery it may be 1970 here
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_FIRST_WORD_BUDGET_S):
                await self._heard.wait()
        await self._pipeline.run(lambda: self._stopping)

    async def _drain(self, pipeline: asyncio.Task[None]) -> None:
        """Take no more; hand over what was received; wait for Kafka or the spool; acknowledge."""
        budget_ends = time.monotonic() + self._settings.ingest.stop_budget_s * 0.6
        self._source.stop_taking()
        self._stopping = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(
                asyncio.get_running_loop().time() + self._settings.ingest.stop_budget_s * 0.3
            ):
                await pipeline
        await self._delivery.until_idle(budget_ends - time.monotonic())

    async def _goodbye(self) -> None:
        """What Kafka did not take within the budget goes to the spool; the last words; an MQTT session that stays at the broker."""
        await self._delivery.spool_all()
        await self._source.disconnect()
        await self._say(deadline_s=min(2.0, self._settings.ingest.stop_budget_s * 0.2))
        await self._delivery.close()
        self._spool.close()
        log.info(
            "gateway stopped",
            extra={"fields": {"received": self._custody.now.received, "spooled": self._custody.now.spooled}},
        )

    def not_ready(self) -> list[str]:
        """Why devices should not publish yet, or what is wrong now. A working spool is no reason: readings are safe there."""
        reasons = [self._source.not_ready, self._delivery.blocked]
        return [reason for reason in reasons if reason is not None]

    def _session_stands(self) -> None:
        # saved with the next statement: two writers of one file once took it from each other
        self._custody.session_seen = True
        self._custody.changed.add(self._custody.epoch)

    # -- custody statements

    async def _make_statements(self) -> None:
        await self._first_word()
        while True:
            await self._say(_STATEMENT_DEADLINE_S)
            self._delivery.estimate()
            self._show_clock()
            await asyncio.sleep(_STATEMENT_EVERY_S)

    async def _first_word(self) -> None:
        """State this life as soon as Kafka is there: its answer proves the clock."""
        ends = time.monotonic() + _FIRST_WORD_BUDGET_S
        while self._sink.trouble is not None and time.monotonic() < ends:  # noqa: ASYNC110 - the sink has no event for it
            await asyncio.sleep(_FIRST_WORD_EVERY_S)

    def _show_clock(self) -> None:
        self._clock.now_us()
        judge = self._clock.judge
        off_s, kafka_off_s = -judge.correction_us / 1e6, judge.kafka_off_us / 1e6
        if judge.steps > self._clock_steps:
            log.warning(
                "this machine's clock stepped",
                extra={"fields": {"off_s": off_s, "doubt_s": self._clock.doubt_us() / 1e6}},
            )
        self._metrics.clock_steps.inc(judge.steps - self._clock_steps)
        self._clock_steps = judge.steps
        self._metrics.clock_off.set(off_s)
        self._metrics.kafka_clock_off.set(kafka_off_s)

    def _heard_kafka(self, append_us: int, sending: Callable[[int], None]) -> None:
        sending(append_us)
        self._heard.set()

    async def _say(self, deadline_s: float) -> None:
        if not self._custody.changed:
            return
        changed = set(self._custody.changed)
        bodies = self._custody.statements(self._clock.now_us())
        try:
            await asyncio.to_thread(self._custody.write, self._custody.snapshot())
        except OSError as error:  # a full disk; the spool alone says what is owed, so this is no reason to stop
            self._metrics.custody_failures.inc()
            log.error("custody.json cannot be written", extra={"fields": {"error": str(error)}})  # noqa: TRY400
        key = self._settings.ingest.gateway_id.encode()
        for body in bodies:
            heard = partial(self._heard_kafka, sending=self._clock.sending())
            if not await self._sink.send_statement(self._topics.custody, key, body, deadline_s, heard):
                self._custody.changed |= changed & self._custody.lives.keys()
                self._statement_failed()
                return
        self._custody_failures = 0

    def _statement_failed(self) -> None:
        self._metrics.custody_failures.inc()
        self._custody_failures = 0 if self._sink.trouble is not None else self._custody_failures + 1
        if self._custody_failures >= _CUSTODY_FAILURES_BEFORE_RENEWAL:
            self._custody_failures = 0
            self._delivery.renew("custody", "Kafka takes no custody statements")
