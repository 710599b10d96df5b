"""Conditions become alarms in the real database: in one transaction, in order, under the rules of the moment."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import pytest
from prometheus_client import CollectorRegistry

from control_center.alarms.rules import load_rules
from control_center.alarms.store import AlarmDesk, sync_rules, take_changes
from control_center.metrics import ControlMetrics
from tests.control_center.conftest import T0, Seeded

Database = asyncpg.Connection  # generic only in the stubs
NOW = datetime(2026, 5, 2, tzinfo=UTC)


async def enqueue(connection: Database, *changes: tuple[str, str, bool, int]) -> None:
    await connection.executemany(
        "INSERT INTO city.condition_changes (rule_id, subject, active, at, value, detail) VALUES ($1, $2, $3, $4, $5, $6)",
        [
            (rule_id, subject, active, T0 + timedelta(minutes=minute), 50.0 + minute, json.dumps({"threshold": 55}))
            for rule_id, subject, active, minute in changes
        ],
    )


async def alarms(connection: Database) -> list[dict[str, Any]]:
    return [dict(row.items()) for row in await connection.fetch("SELECT * FROM city.alarms ORDER BY alarm_id")]


async def events(connection: Database) -> list[tuple[int, str]]:
    return [
        tuple(row) for row in await connection.fetch("SELECT alarm_id, event FROM city.alarm_events ORDER BY event_id")
    ]


@pytest.fixture
async def ruled(connection: Database) -> Database:
    await sync_rules(connection, load_rules(None), NOW)
    return connection


async def test_changes_become_alarms_with_their_values_and_are_gone(ruled: Database, seeded: Seeded) -> None:
    pm = f"series:{seeded.series['air-1', 'pm2_5']}"
    silent = f"device:{seeded.devices['zebra']}"
    await enqueue(ruled, ("pm25-high", pm, True, 0), ("device-silent", silent, True, 1), ("pm25-high", pm, False, 9))
    taken = await take_changes(ruled, NOW)
    assert (taken.changes, taken.events) == (3, {"raised": 2, "cleared": 1})
    first, second = await alarms(ruled)
    assert (first["device"], first["metric"], first["state"], first["severity"]) == (
        "air-1",
        "pm2_5",
        "cleared",
        "warning",
    )
    assert (first["raised_at"], first["raised_value"], first["cleared_at"], first["cleared_value"]) == (
        T0, 50.0, T0 + timedelta(minutes=9), 59.0,
    )  # fmt: skip
    assert json.loads(first["raised_detail"])["rule"]["title_vi"] == "Bụi mịn (PM2.5) cao"
    assert (second["device"], second["metric"], second["state"]) == ("zebra", None, "raised")
    assert await events(ruled) == [
        (first["alarm_id"], "raised"), (second["alarm_id"], "raised"), (first["alarm_id"], "cleared"),
    ]  # fmt: skip
    assert await ruled.fetchval("SELECT count(*) FROM city.condition_changes") == 0
    assert (await take_changes(ruled, NOW)).changes == 0


async def test_a_flapping_condition_makes_one_alarm_a_time_within_and_across_batches(
    ruled: Database, seeded: Seeded
) -> None:
    pm = f"series:{seeded.series['air-1', 'pm2_5']}"
    await enqueue(ruled, *[("pm25-high", pm, n % 2 == 0, n) for n in range(1201)])
    while (await take_changes(ruled, NOW)).changes:
        pass
    found = await alarms(ruled)
    assert [alarm["state"] for alarm in found] == ["cleared"] * 600 + ["raised"]
    assert len(await events(ruled)) == 1201


async def test_what_cannot_become_an_alarm_is_counted_and_does_not_stay_in_the_way(
    ruled: Database, seeded: Seeded
) -> None:
    pm = f"series:{seeded.series['air-1', 'pm2_5']}"
    await enqueue(
        ruled, ("gone", pm, True, 0), ("pm25-high", "series:999", True, 0), ("pm25-high", "series:99999999999999", True, 0),
        ("pm25-high", "rubbish", True, 0), ("pm25-high", pm, False, 0), ("pm25-high", pm, True, 1),
    )  # fmt: skip
    taken = await take_changes(ruled, NOW)
    assert taken.ignored == {"unknown_rule": 1, "unknown_subject": 3, "not_open": 1}
    assert len(await alarms(ruled)) == 1


async def test_a_transaction_that_fails_leaves_alarms_and_changes_as_they_were(ruled: Database, seeded: Seeded) -> None:
    pm = f"series:{seeded.series['air-1', 'pm2_5']}"
    await enqueue(ruled, ("pm25-high", pm, True, 0))
    await ruled.execute(
        """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$;
           CREATE TRIGGER t BEFORE DELETE ON city.condition_changes FOR EACH ROW EXECUTE FUNCTION refuse()"""
    )
    with pytest.raises(asyncpg.RaiseError):
        await take_changes(ruled, NOW)
    assert await alarms(ruled) == []
    assert await events(ruled) == []
    assert await ruled.fetchval("SELECT count(*) FROM city.condition_changes") == 1


async def test_an_acknowledgement_and_a_clear_that_meet_are_both_kept(
    ruled: Database, database: str, seeded: Seeded
) -> None:
    pm = f"series:{seeded.series['air-1', 'pm2_5']}"
    await enqueue(ruled, ("pm25-high", pm, True, 0))
    await take_changes(ruled, NOW)
    alarm_id = (await alarms(ruled))[0]["alarm_id"]
    async with asyncpg.create_pool(database, min_size=1, max_size=2) as pool:
        desk = AlarmDesk(pool, ControlMetrics(CollectorRegistry()))
        assert await desk.acknowledge(alarm_id, by="Lan", comment="seen", now=NOW) == "acknowledged"
        assert await desk.acknowledge(alarm_id, by="Minh", comment="", now=NOW) == "already_acknowledged"
        await enqueue(ruled, ("pm25-high", pm, False, 5))
        await take_changes(ruled, NOW)
        assert await desk.acknowledge(alarm_id, by="Minh", comment="", now=NOW) == "cleared"
        assert await desk.acknowledge(10**15, by="Minh", comment="", now=NOW) == "unknown"
    (alarm,) = await alarms(ruled)
    assert (alarm["state"], alarm["acknowledged_by"], alarm["acknowledged_at"]) == ("cleared", "Lan", NOW)
    assert [event for _, event in await events(ruled)] == ["raised", "acknowledged", "cleared"]


async def test_syncing_the_same_rules_again_moves_no_version(ruled: Database) -> None:
    before = await ruled.fetch("SELECT rule_id, version FROM city.rules ORDER BY rule_id")
    await sync_rules(ruled, load_rules(None), NOW)
    assert await ruled.fetch("SELECT rule_id, version FROM city.rules ORDER BY rule_id") == before


async def test_a_changed_or_removed_rule_gets_a_higher_version_and_its_alarms_clear(
    ruled: Database, seeded: Seeded
) -> None:
    pm = f"series:{seeded.series['air-1', 'pm2_5']}"
    await enqueue(ruled, ("pm25-high", pm, True, 0), ("pm25-very-high", pm, True, 0))
    await take_changes(ruled, NOW)
    highest = await ruled.fetchval("SELECT max(version) FROM city.rules")
    kept = [rule for rule in load_rules(None) if rule.rule_id != "pm25-high"]
    taken = await sync_rules(ruled, kept, NOW)
    assert taken.events == {"cleared": 1}
    assert await ruled.fetchval("SELECT max(version) FROM city.rules") > highest
    assert not await ruled.fetchval("SELECT enabled FROM city_view.rules WHERE rule_id = 'pm25-high'")
    found = {alarm["rule_id"]: alarm for alarm in await alarms(ruled)}
    assert found["pm25-high"]["state"] == "cleared"
    assert json.loads(found["pm25-high"]["cleared_detail"]) == {"reason": "the rule was removed or switched off"}
    assert found["pm25-very-high"]["state"] == "raised"
    await enqueue(ruled, ("pm25-high", pm, True, 2))
    assert (await take_changes(ruled, NOW)).ignored == {"unknown_rule": 1}
    await sync_rules(ruled, load_rules(None), NOW)
    await enqueue(ruled, ("pm25-high", pm, True, 3))
    assert (await take_changes(ruled, NOW)).events == {"raised": 1}
