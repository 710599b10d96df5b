"""What of a window of spooled frames counts as delivered, and what happens while it is under way."""

from __future__ import annotations

import asyncio

import pytest

from ingest.contract.frame import FrameHeader
from ingest.frames import OutFrame
from ingest.kafka_sink import SinkError
from ingest.spool_drain import Sent, count, wait_for
from tests.ingest.fake_sink import Stored


def sent(*partitions: int) -> Sent:
    """One frame for each, nothing acknowledged."""
    future = asyncio.get_running_loop().create_future
    return [
        (OutFrame("city.readings.v1", partition, FrameHeader("gw", 1, seq, 0, 1, 1, 2), b""), future())
        for seq, partition in enumerate(partitions)
    ]


def counted(window: Sent) -> tuple[list[int], str | None]:
    """Sequence numbers that counted, and the reason of the failure."""
    found: list[int] = []
    try:
        count(window, lambda frame, _: found.append(frame.header.seq))
    except SinkError as failure:
        return found, failure.reason
    return found, None


async def test_a_window_that_is_acknowledged_counts_whole() -> None:
    window = sent(0, 1, 0)
    for offset, (_, future) in enumerate(window):
        future.set_result(Stored(offset))
    await wait_for(window, 5, _never)
    assert counted(window) == ([0, 1, 2], None)


async def test_a_partition_without_a_leader_does_not_make_the_others_count_for_nothing() -> None:
    window = sent(0, 1, 0, 1)
    for offset in (0, 2):
        window[offset][1].set_result(Stored(offset))
    assert counted(window) == ([0, 2], "deadline")


async def test_behind_a_missing_frame_nothing_of_its_partition_counts() -> None:
    window = sent(0, 0, 1)
    for offset in (1, 2):
        window[offset][1].set_result(Stored(offset))
    assert counted(window) == ([2], "deadline")


async def test_a_refused_frame_is_the_reason_also_where_others_are_only_late() -> None:
    window = sent(0, 1, 2)
    window[1][1].set_exception(ValueError("too large"))
    async with asyncio.timeout(2):
        await wait_for(window, 60, _never)
    assert counted(window) == ([], "refused")


async def test_what_comes_meanwhile_is_seen_to_while_kafka_is_silent() -> None:
    times = 0

    async def meanwhile() -> None:
        nonlocal times
        times += 1
        if times == 2:
            window[0][1].set_result(Stored(7))

    window = sent(0)
    async with asyncio.timeout(5):
        await wait_for(window, 60, meanwhile)
    assert times == 2
    assert counted(window) == ([0], None)


async def _never() -> None:
    pytest.fail("all had ended")
