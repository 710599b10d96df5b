"""Rules judged in the batch's transaction on the real servers: raised, cleared, silent devices, rules changed while it runs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from ingest.contract.reading import Reading
from processors import closing
from tests.processors.running import City
from tests.processors.test_pipeline import START_US

MINUTE = 60_000_000


def rule(rule_id: str, **more: Any) -> dict[str, Any]:
    return {"rule_id": rule_id, "kind": "threshold", "title_en": "t", "title_vi": "t"} | more


HIGH = rule("pm-high", metric="pm2_5", source="1m", column="mean", raise_at=50.0, clear_at=40.0, for_s=120)
SILENT = rule("silent", kind="absence", missed_intervals=3.0)


async def put_rules(city: City, *rules: dict[str, Any]) -> None:
    for body in rules:
        await city.fetch(
            "INSERT INTO city.rules (rule_id, body) VALUES ($1, $2) ON CONFLICT (rule_id) DO UPDATE SET body = excluded.body, "
            "version = DEFAULT",
            body["rule_id"],
            json.dumps(body),
        )


async def changes(city: City) -> list[tuple[str, bool, float]]:
    """(rule, active, minute of event time) in their order."""
    rows = await city.fetch(
        "SELECT rule_id, active, (extract(epoch FROM at) * 1000000)::bigint AS at_us FROM city.condition_changes ORDER BY change_id"
    )
    base = START_US - START_US % MINUTE
    return [(row["rule_id"], row["active"], (row["at_us"] - base) / MINUTE) for row in rows]


def minutes(values: list[float], device: str = "dev-1", first: int = 0) -> list[Reading]:
    base = START_US - START_US % MINUTE
    return [Reading(device, "pm2_5", base + (first + n) * MINUTE + 5_000_000, value) for n, value in enumerate(values)]


@pytest.mark.parametrize("rows_at_once", [closing.ROWS_AT_ONCE, 1])
async def test_a_threshold_is_raised_after_its_duration_and_cleared_once_across_a_restart(
    city: City, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    monkeypatch.setattr(closing, "ROWS_AT_ONCE", rows_at_once)
    await put_rules(city, HIGH)
    gateway = city.gateway()
    high, low = minutes([10, 10, 60, 60, 60, 60]), minutes([60, 45, 45, 30, 30, 30], first=6)
    async with city.processor():
        await city.send(gateway.frames(high))
        await city.caught_up()
        assert await changes(city) == [("pm-high", True, 4.0)]
    async with city.processor():
        await city.send(gateway.frames(low))
        await city.caught_up()
    assert await changes(city) == [("pm-high", True, 4.0), ("pm-high", False, 10.0)]
    states = await city.fetch("SELECT active, partition FROM city.conditions WHERE rule_id = 'pm-high'")
    assert [row["active"] for row in states] == [False]
    detail = json.loads(await city.value("SELECT detail FROM city.condition_changes WHERE active"))
    assert (detail["threshold"], detail["column"], detail["for_s"]) == (50.0, "mean", 120)


async def test_a_silent_device_is_absent_until_it_is_heard_again(city: City) -> None:
    await put_rules(city, SILENT)
    gateway = city.gateway()
    async with city.processor():
        # the other device of the same partition goes on and so moves the watermark
        await city.send(gateway.frames([*minutes([1.0] * 2), *minutes([1.0] * 10, device=same_partition_as("dev-1"))]))
        await city.caught_up()
        raised = await changes(city)
        assert [(name, active) for name, active, _ in raised] == [("silent", True)]
        await city.send(gateway.frames(minutes([1.0], first=11)))
        await city.caught_up()
    assert [(name, active) for name, active, _ in await changes(city)][:2] == [("silent", True), ("silent", False)]


async def test_a_rule_changed_while_it_runs_is_taken_over_and_a_removed_one_ends_its_conditions(city: City) -> None:
    gateway = city.gateway()
    async with city.processor():
        await city.send(gateway.frames(minutes([60.0] * 5)))
        await city.caught_up()
        assert await changes(city) == []
        await put_rules(city, HIGH | {"for_s": 0}, {"rule_id": "broken", "kind": "threshold"})
        await asyncio.sleep(1.2)
        await city.send(gateway.frames(minutes([60.0] * 5, first=5)))
        await city.caught_up()
        assert [(name, active) for name, active, _ in await changes(city)] == [("pm-high", True)]
        await city.fetch("DELETE FROM city.rules WHERE rule_id = 'pm-high'")
        await asyncio.sleep(1.2)
        await city.send(gateway.frames(minutes([60.0], first=10)))
        await city.caught_up()
    assert [(name, active) for name, active, _ in await changes(city)] == [("pm-high", True), ("pm-high", False)]
    assert await city.value("SELECT count(*) FROM city.conditions") == 0


async def test_windows_close_when_the_devices_stop(city: City) -> None:
    base = START_US - START_US % MINUTE
    readings = [
        Reading("dev-1", "pm2_5", base + second * 1_000_000, 1.0) for second in (30, 113)
    ]  # 7 s before its window's end
    async with city.processor(allowed_lateness_s=0, idle_after_s=1):
        await city.send(city.gateway().frames(readings))
        await city.caught_up()
        assert await city.value("SELECT count(*) FROM city.windows_1m") == 1
        async with asyncio.timeout(30):
            while await city.value("SELECT count(*) FROM city.windows_1m") < 2:  # noqa: ASYNC110 - the event is in the database
                await asyncio.sleep(0.5)


def same_partition_as(device: str) -> str:
    from ingest.contract.topics import partition_of
    from tests.processors.gateway import PARTITIONS

    return next(
        f"other-{n}" for n in range(100) if partition_of(f"other-{n}", PARTITIONS) == partition_of(device, PARTITIONS)
    )
