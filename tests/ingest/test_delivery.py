"""Delivery against a sink in memory: order, renewal with replay, the spool and back, and a spool that is full."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from ingest.contract.frame import FrameHeader
from ingest.custody import Custody
from ingest.delivery import Delivery
from ingest.flush import Flush
from ingest.frames import OutFrame
from ingest.kafka_sink import KafkaSink
from ingest.metrics import IngestMetrics
from ingest.settings import IngestSettings
from ingest.spool import Spool, SpoolFullError
from tests.ingest.fake_sink import FakeSink


class Bench:
    """A delivery with everything around it."""

    def __init__(
        self, folder: Path, sink: FakeSink, *, spool_bytes: int = 10_000_000, deadline_s: float = 1,
        oversize_after_s: float = 600,
    ) -> None:  # fmt: skip
        settings = IngestSettings(
            oversize_after_s=oversize_after_s,
            deliver_deadline_s=deadline_s,
            spool_after_s=0.1,
            spool_max_bytes=spool_bytes,
            spool_segment_bytes=65_536,
        )
        self.registry = CollectorRegistry()
        self.sink = sink
        self.spool = Spool(folder / "spool", spool_bytes, 65_536)
        found = self.spool.open()
        self.custody = Custody.begin("gw", folder / "custody.json", 1000, dict(found.readings))
        self.delivery = Delivery(
            settings, cast("KafkaSink", sink), self.spool, self.custody, IngestMetrics(self.registry)
        )
        self.safe: list[int] = []
        self._made = 0

    def put(self, frames: int = 2, size: int = 100) -> None:
        """One flush with a frame of 10 readings for each of the first partitions."""
        made = []
        for partition in range(frames):
            seq, before = self.custody.number("city.readings.v1", partition, 10)
            header = FrameHeader("gw", self.custody.epoch, seq, before, 10, 1, 2)
            made.append(OutFrame("city.readings.v1", partition, header, b"x" * size))
        number = self._made
        self._made += 1
        self.custody.received(1, 10 * frames)
        self.delivery.put(Flush(made, lambda: self.safe.append(number)))

    def stored(self, partition: int = 0) -> list[int]:
        return [frame.header.seq for frame in self.sink.stored if frame.partition == partition]

    def renewals(self, reason: str) -> float:
        return self.registry.get_sample_value("citynerve_ingest_producer_renewals_total", {"reason": reason}) or 0.0


MakeBench = Callable[..., Bench]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[MakeBench]:
    made: list[Bench] = []
    tasks: list[asyncio.Task[None]] = []

    def make(sink: FakeSink, **options: float) -> Bench:
        made.append(Bench(tmp_path, sink, **options))  # type: ignore[arg-type]
        tasks.append(asyncio.create_task(made[-1].delivery.run()))
        return made[-1]

    logging.getLogger("ingest.delivery").setLevel(logging.CRITICAL)
    yield make
    for task, one in zip(tasks, made, strict=True):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await one.delivery.close()
        one.spool.close()


async def until(condition: Callable[[], bool], budget_s: float = 10) -> None:
    async with asyncio.timeout(budget_s):
        while not condition():  # noqa: ASYNC110 - a test watches from outside
            await asyncio.sleep(0.005)


async def test_flushes_are_safe_in_order_when_all_their_frames_are_acknowledged(bench: MakeBench) -> None:
    one = bench(FakeSink())
    for _ in range(5):
        one.put()
    await until(lambda: one.safe == [0, 1, 2, 3, 4])
    assert one.stored(0) == one.stored(1) == [0, 1, 2, 3, 4]
    assert one.custody.now.acked_kafka == one.custody.now.received == 100
    assert one.delivery.idle


async def test_a_flush_of_nothing_is_safe_at_once(bench: MakeBench) -> None:
    one = bench(FakeSink(mode="away"))
    one.put(frames=0)
    assert one.safe == [0]


async def test_a_refused_frame_makes_a_new_producer_and_the_replay_keeps_order_and_headers(bench: MakeBench) -> None:
    one = bench(FakeSink(mode="refuse"))
    one.put()
    one.put()
    await until(lambda: one.renewals("refused") >= 1)
    one.sink.mode = "ack"
    await until(lambda: one.safe == [0, 1])
    assert one.stored(0) == [0, 1]
    assert one.sink.opened >= 2
    assert one.custody.now.acked_kafka == 40


async def test_silence_past_the_deadline_is_answered_by_a_new_producer_and_late_answers_do_not_count_twice(
    bench: MakeBench,
) -> None:
    one = bench(FakeSink())
    one.put()
    await until(lambda: one.safe == [0])
    one.sink.mode = "silent"
    one.put()
    await until(lambda: one.renewals("deadline") == 1)
    one.sink.mode = "ack"
    await until(lambda: one.safe == [0, 1])
    one.sink.answer_held()
    await asyncio.sleep(0.05)
    assert one.safe == [0, 1]
    assert one.custody.now.acked_kafka == 40


async def test_a_cluster_that_gives_a_new_producer_and_takes_nothing_is_away_too(bench: MakeBench) -> None:
    one = bench(FakeSink(mode="silent"))
    one.put()
    await until(lambda: one.safe == [0])  # on disk: the first producer had its deadline
    opened = one.sink.opened
    for number in range(1, 6):
        one.put()
        await until(lambda last=number: last in one.safe)  # type: ignore[misc]  # and not once in a deadline
    assert one.sink.opened - opened <= 3
    asked = [frame.header.seq for frame, _ in one.sink.held]
    assert asked == [0] * len(asked), "one frame is enough to ask with"
    one.sink.mode = "ack"
    await until(lambda: one.spool.empty)
    assert one.safe == [0, 1, 2, 3, 4, 5]
    assert one.stored(0) == one.stored(1) == [0, 1, 2, 3, 4, 5]
    assert one.custody.now.acked_kafka == 120


async def test_frames_go_to_the_spool_while_kafka_is_away_and_new_ones_go_behind_them(bench: MakeBench) -> None:
    one = bench(FakeSink(mode="away"))
    for _ in range(3):
        one.put()
    await until(lambda: one.safe == [0, 1, 2])
    assert one.custody.now.spooled == 60
    assert one.stored() == []
    one.sink.mode = "ack"
    one.put()
    await until(lambda: one.custody.now.spooled == 0 and one.safe == [0, 1, 2, 3])
    assert one.stored(0) == one.stored(1) == [0, 1, 2, 3]
    await until(lambda: one.spool.empty)
    assert one.custody.now.acked_kafka == 80
    one.put()
    await until(lambda: len(one.safe) == 5)
    assert one.stored(0) == [0, 1, 2, 3, 4]


async def test_a_full_spool_makes_nothing_safe_until_it_drains(bench: MakeBench) -> None:
    one = bench(FakeSink(mode="away"), spool_bytes=1_048_576)
    for _ in range(6):
        one.put(frames=1, size=300_000)
    await until(lambda: one.delivery.blocked is not None)
    safe = list(one.safe)
    assert safe == list(range(len(safe)))
    assert len(safe) < 6
    await asyncio.sleep(0.3)
    assert one.safe == safe
    assert one.registry.get_sample_value("citynerve_ingest_spool_full") == 1
    one.sink.mode = "ack"
    await until(lambda: one.safe == list(range(6)))
    await until(lambda: one.delivery.blocked is None)
    await until(lambda: one.stored(0) == list(range(6)))  # safe in the spool is earlier than stored by Kafka


async def test_a_frame_that_never_fits_becomes_a_dead_letter_and_what_is_behind_it_goes_on(bench: MakeBench) -> None:
    one = bench(FakeSink(limit_bytes=500), oversize_after_s=1.0)
    one.put(frames=1, size=1000)
    for _ in range(3):
        one.put(frames=1)
    await until(lambda: one.custody.now.acked_kafka == 40, budget_s=20)
    assert one.sink.one_a_batch
    assert set(one.stored()) == {0, 1, 2, 3}
    (first,) = [frame for frame in one.sink.stored if frame.header.seq == 0]
    name = f"city.readings.v1-0-{one.custody.epoch}-0.refused"
    assert (
        first.body == f"a frame of 1000 bytes was too large for Kafka; the gateway keeps its bytes in {name}".encode()
    )
    assert (first.header.count, (one.spool.folder / name).read_bytes()) == (10, b"x" * 1000)
    assert one.registry.get_sample_value("citynerve_ingest_oversize_frames_total") == 1


async def test_a_limit_that_is_raised_in_time_loses_nothing(bench: MakeBench) -> None:
    one = bench(FakeSink(limit_bytes=500), oversize_after_s=60.0)
    one.put(frames=1, size=1000)
    one.put(frames=1)
    await until(lambda: one.renewals("refused") >= 3 and one.safe == [0, 1])
    one.sink.limit_bytes = None
    await until(lambda: one.custody.now.acked_kafka == 20)
    assert [len(frame.body) for frame in one.sink.stored if frame.header.seq == 0] == [1000], (
        "what Kafka took behind it does not make it sent"
    )
    assert one.registry.get_sample_value("citynerve_ingest_oversize_frames_total") == 0


async def test_what_is_left_at_the_end_of_a_stop_goes_to_the_spool(bench: MakeBench) -> None:
    one = bench(FakeSink())
    await until(lambda: one.sink.opened == 1)
    one.sink.mode = "silent"
    one.put()
    await one.delivery.until_idle(0.05)
    assert not one.delivery.idle
    await one.delivery.spool_all()
    assert one.safe == [0]
    assert one.spool.frames == 2


async def test_a_spool_that_fills_again_and_again_while_it_drains_is_told_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    one = Bench(tmp_path, FakeSink())
    with caplog.at_level(logging.ERROR, "ingest.delivery"):
        for _ in range(5):
            one.delivery._report_spool(full=SpoolFullError("No space left on device"))
            one.delivery._report_spool()
    one.spool.close()
    assert [record.message for record in caplog.records if "takes no more" in record.message] == [
        "the spool takes no more; MQTT is not acknowledged until it drains"
    ]
