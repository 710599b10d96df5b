"""The packets of a city that lives now."""

from __future__ import annotations

import json
import time
from itertools import islice

from tests.benchmarks.live_pump import HOT, READINGS, SWINGING, City


def payload_of(made: bytes) -> list[dict[str, float | str]]:
    found: list[dict[str, float | str]] = json.loads(made[made.index(b"[{") :])
    return found


def test_the_moments_of_each_series_are_unique_advance_and_are_of_now() -> None:
    moments: dict[str, list[int]] = {}
    for made in islice(City("root", 30).packets(), 300):
        records = payload_of(made)
        assert len(records) == READINGS
        base = records[0]
        times = sorted({round((float(base["bt"]) + float(record["t"])) * 1e6) for record in records})
        assert len(times) == 2
        moments.setdefault(str(base["bn"]), []).extend(times)
    assert len(moments) == 30
    now_us = time.time() * 1e6
    for times in moments.values():
        assert times == sorted(set(times))
        assert now_us - 10e6 < times[0] <= times[-1] <= now_us


def test_only_the_swinging_devices_pass_the_limit() -> None:
    for number, made in enumerate(islice(City("root", 2 * SWINGING).packets(), 2 * SWINGING)):
        hot = [record for record in payload_of(made) if record["n"] == "air_temperature" and float(record["v"]) > HOT]
        assert not hot or number < SWINGING
