"""Memory that was freed goes back to the machine."""

from __future__ import annotations

import platform

import psutil
import pytest

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
