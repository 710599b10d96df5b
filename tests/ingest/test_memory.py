"""Memory that was freed goes back to the machine."""

from __future__ import annotations

import asyncio
import platform

import psutil
import pytest

from ingest.contract import memory
from ingest.contract.memory import give_back


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators give memory back themselves")
def test_what_was_freed_below_what_is_in_use_is_given_back() -> None:
    small = [bytes(1000) for _ in range(100_000)]  # too small for mappings of their own
    kept = small[-1]
    del small[:-1]
    before = psutil.Process().memory_info().rss
    assert give_back()
    assert psutil.Process().memory_info().rss < before - 50_000_000
    assert kept == bytes(1000)


async def test_it_goes_on_until_it_is_cancelled(monkeypatch: pytest.MonkeyPatch) -> None:
    times = 0

    def counted() -> bool:
        nonlocal times
        times += 1
        return False

    monkeypatch.setattr(memory, "give_back", counted)
    going = asyncio.create_task(memory.give_back_now_and_then(0.001))
    async with asyncio.timeout(10):
        while times < 3:  # noqa: ASYNC110 - the task has no event of its own
            await asyncio.sleep(0.001)
    going.cancel()
    with pytest.raises(asyncio.CancelledError):
        await going
