"""Alertmanager, the real one, is told of every alarm, told again, and told when it is over; one that was away is caught up with."""

import asyncio
import json
import socket
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import pytest
from prometheus_client import CollectorRegistry

from control_center.alarms.notify import Links, Notifier, alert
from control_center.alarms.rules import load_rules
from control_center.alarms.store import sync_rules, take_changes
from control_center.metrics import ControlMetrics
from deploy.local.stack import LocalStack
from tests.control_center.conftest import T0

Database = asyncpg.Connection  # generic only in the stubs
NOW = datetime(2026, 5, 2, tzinfo=UTC)


def stored(**changes: Any) -> dict[str, Any]:
    rule = {"title_en": "High", "title_vi": "Cao", "advice_en": "", "advice_vi": ""}
    return {
        "alarm_id": 7, "rule_id": "pm25-high", "device": "air-1", "name": "Cầu Rồng", "district": "", "metric": "pm2_5",
        "severity": "warning", "state": "raised", "raised_at": T0, "raised_value": 61.5,
        "raised_detail": json.dumps({"rule": rule}), "cleared_at": None, "notified": "no",
    } | changes  # fmt: skip


def test_an_open_alarm_ends_four_intervals_from_now_unless_posted_again() -> None:
    posted = alert(stored(), now=NOW, interval_s=60, links=Links(page="https://city.example"))
    assert posted["labels"] == {
        "alertname": "pm25-high", "alarm_id": "7", "device": "air-1", "metric": "pm2_5", "severity": "warning", "source": "citynerve",
    }  # fmt: skip
    assert posted["annotations"] == {"summary": "High", "summary_vi": "Cao", "device_name": "Cầu Rồng", "value": "61.5"}
    assert (posted["startsAt"], posted["endsAt"]) == (T0, NOW + timedelta(minutes=4))
    assert posted["generatorURL"] == "https://city.example/?alarm=7"


def test_a_cleared_alarm_ends_now_and_never_before_it_began() -> None:
    ahead = NOW + timedelta(minutes=3)
    posted = alert(stored(state="cleared", raised_at=ahead, cleared_at=ahead), now=NOW, interval_s=60, links=Links())
    assert posted["startsAt"] == posted["endsAt"] == NOW
    assert "generatorURL" not in posted


def test_an_alarm_about_the_datas_way_leads_to_prometheus() -> None:
    internal = stored(raised_detail=json.dumps({"rule": {"kind": "internal"}}))
    posted = alert(internal, now=NOW, interval_s=60, links=Links(prometheus="http://127.0.0.1:29090"))
    assert posted["generatorURL"].startswith("http://127.0.0.1:29090/graph?g0.expr=citynerve_control_ledger_readings")


class Alarms:
    """One device's alarms in the database, and what Alertmanager says about them."""

    def __init__(self, connection: Any, alertmanager: str) -> None:
        self.connection = connection
        self.url = alertmanager
        self.device = f"am-{uuid.uuid4().hex[:8]}"

    async def change(self, *, active: bool) -> None:
        device_id = await self.connection.fetchval(
            "INSERT INTO city.devices (device) VALUES ($1) ON CONFLICT (device) DO UPDATE SET name = 'n' RETURNING device_id",
            self.device,
        )
        await self.connection.execute(
            "INSERT INTO city.condition_changes (rule_id, subject, active, at) VALUES ('device-silent', $1, $2, now())",
            f"device:{device_id}",
            active,
        )
        await take_changes(self.connection, datetime.now(UTC))

    async def at_alertmanager(self) -> list[dict[str, Any]]:
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(f"{self.url}/api/v2/alerts", params={"filter": f'device="{self.device}"'})
        found: list[dict[str, Any]] = answer.json()
        return found

    async def until(self, fits: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        async with asyncio.timeout(10):
            while not fits(found := await self.at_alertmanager()):  # noqa: ASYNC110 - it lies in another process
                await asyncio.sleep(0.1)
            return found

    async def events(self) -> list[str]:
        return [
            row["event"] for row in await self.connection.fetch("SELECT event FROM city.alarm_events ORDER BY event_id")
        ]


@pytest.fixture
async def alarms(connection: Database, stack: LocalStack) -> Alarms:
    await sync_rules(connection, load_rules(None), NOW)
    return Alarms(connection, f"http://127.0.0.1:{stack.alertmanager_port}")


@pytest.fixture
async def pool(database: str) -> AsyncIterator[Any]:
    async with asyncpg.create_pool(database, min_size=0, max_size=2) as opened:
        yield opened


def notifier(pool: Any, url: str) -> tuple[Notifier, CollectorRegistry]:
    registry = CollectorRegistry()
    return Notifier(pool, ControlMetrics(registry), url=url, links=Links(), interval_s=60, timeout_s=1), registry


def outcomes(registry: CollectorRegistry) -> dict[str, float | None]:
    name = "citynerve_control_notifications_total"
    return {
        outcome: registry.get_sample_value(name, {"outcome": outcome})
        for outcome in ("accepted", "refused", "unreachable")
    }


async def test_alertmanager_gets_the_alarm_its_repetition_and_its_end(alarms: Alarms, pool: Any) -> None:
    told, registry = notifier(pool, alarms.url)
    await alarms.change(active=True)
    assert await told.tell(everything=False)
    (first,) = await alarms.until(lambda found: len(found) == 1)
    assert first["labels"]["alertname"] == "device-silent"
    assert first["annotations"]["summary"] == "Device is silent"
    # a stack that has run a while without services fires IngestDown, which holds a silent device's alarm back: by that alone
    assert first["status"]["state"] in {"active", "unprocessed"} or first["status"]["inhibitedBy"]
    assert first["status"]["silencedBy"] == []
    assert await told.tell(everything=False)
    assert outcomes(registry)["accepted"] == 1  # nothing new to say
    assert await told.tell(everything=True)
    (second,) = await alarms.at_alertmanager()
    assert second["endsAt"] > first["endsAt"]
    await alarms.change(active=False)
    assert await told.tell(everything=False)
    await alarms.until(lambda found: found == [])
    assert outcomes(registry) == {"accepted": 3, "refused": 0, "unreachable": 0}
    assert await alarms.events() == ["raised", "notified", "cleared", "notified"]
    assert await told.tell(everything=True)
    assert outcomes(registry)["accepted"] == 3  # what is told to be over is never posted again
    await told.close()


async def test_an_alertmanager_that_is_away_is_noted_once_and_told_everything_later(alarms: Alarms, pool: Any) -> None:
    closed = socket.socket()
    closed.bind(("127.0.0.1", 0))
    away, registry = notifier(pool, f"http://127.0.0.1:{closed.getsockname()[1]}")
    await alarms.change(active=True)
    for _ in range(3):
        assert not await away.tell(everything=True)
    assert outcomes(registry) == {"accepted": 0, "refused": 0, "unreachable": 3}
    assert await alarms.events() == ["raised", "notify_failed"]
    back, _ = notifier(pool, alarms.url)
    assert await back.tell(everything=False)
    await alarms.until(lambda found: len(found) == 1)
    assert await alarms.events() == ["raised", "notify_failed", "notified"]
    for each in (away, back):
        await each.close()
    closed.close()


async def test_an_alarm_over_before_anyone_could_be_told_is_still_reported(alarms: Alarms, pool: Any) -> None:
    told, registry = notifier(pool, alarms.url)
    await alarms.change(active=True)
    await alarms.change(active=False)
    assert await told.tell(everything=False)
    assert outcomes(registry)["accepted"] == 1
    assert await alarms.connection.fetchval("SELECT notified FROM city.alarms") == "resolved"
    await told.close()


async def test_a_refusal_is_kept_with_its_reason(alarms: Alarms, pool: Any) -> None:
    wrong, registry = notifier(pool, f"{alarms.url}/nowhere")
    await alarms.change(active=True)
    assert not await wrong.tell(everything=False)
    assert outcomes(registry)["refused"] == 1
    detail = await alarms.connection.fetchval("SELECT detail FROM city.alarm_events WHERE event = 'notify_failed'")
    assert json.loads(detail)["reason"].startswith("404")
    await wrong.close()


async def test_more_open_alarms_than_one_post_holds_are_all_repeated(alarms: Alarms, pool: Any) -> None:
    told, registry = notifier(pool, alarms.url)
    await alarms.connection.execute(
        """INSERT INTO city.alarms (rule_id, subject, device, severity, state, raised_at)
           SELECT 'r', 's' || n, $1, 'info', 'raised', now() FROM generate_series(1, 450) n""",
        alarms.device,
    )
    for round_of_posts in (1, 2):
        assert await told.tell(everything=True)
        assert outcomes(registry)["accepted"] == 450 * round_of_posts
    await alarms.until(lambda found: len(found) == 450)
    await alarms.connection.execute("UPDATE city.alarms SET state = 'cleared', cleared_at = now()")
    assert await told.tell(everything=False)
    await alarms.until(lambda found: found == [])
    await told.close()
