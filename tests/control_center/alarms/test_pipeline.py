"""The alarm stages as a whole, in real processes: nothing lost or doubled over kill -9, one leader among replicas, every event in Kafka."""

import asyncio
import json
import os
import random
import signal
import sys
from collections import Counter
from dataclasses import replace
from typing import Any

import asyncpg
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from control_center.app import ControlConfig
from deploy.local.stack import LocalStack
from processors.contract.tables import CONDITIONS_CHANNEL
from tests.control_center.conftest import Running, Seeded, running, until, until_ready

Database = asyncpg.Connection  # generic only in the stubs


async def published(config: ControlConfig) -> list[dict[str, Any]]:
    """Everything in the alarms topic."""
    where = TopicPartition(config.kafka.topics.alarms, 0)
    consumer = AIOKafkaConsumer(**config.kafka.client_options(), enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign([where])
        end = (await consumer.end_offsets([where]))[where]
        consumer.seek(where, 0)
        messages: list[dict[str, Any]] = []
        while await consumer.position(where) < end:
            for records in (await consumer.getmany(timeout_ms=500)).values():
                messages += [json.loads(record.value) for record in records]
        return messages
    finally:
        await consumer.stop()


async def enqueue(connection: Database, subject: str, *, active: bool, minute: int) -> None:
    await connection.execute(
        """INSERT INTO city.condition_changes (rule_id, subject, active, at, value)
           VALUES ('pm25-high', $1, $2, '2026-05-01T12:00:00Z'::timestamptz + $3 * interval '1 minute', $3)""",
        subject,
        active,
        minute,
    )


async def test_an_alarm_is_raised_acknowledged_and_cleared_with_its_whole_history(
    control: Running, config: ControlConfig, connection: Database, seeded: Seeded
) -> None:
    await until_ready(control)
    subject = f"series:{seeded.series['air-1', 'pm2_5']}"
    await enqueue(connection, subject, active=True, minute=1)

    async def listed(state: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = (await control.client.get("/api/v1/alarms", params={"state": state})).json()[
            "items"
        ]
        return items

    async def raised() -> bool:
        return len(await listed("raised")) == 1

    await until(raised)
    alarm_id = (await listed("open"))[0]["alarm_id"]
    answer = await control.client.post(
        f"/api/v1/alarms/{alarm_id}/acknowledge", json={"by": " Lan ", "comment": "đang đến"}
    )
    assert (answer.status_code, answer.json()["state"], answer.json()["acknowledged_by"]) == (
        200,
        "acknowledged",
        "Lan",
    )
    assert [item["alarm_id"] for item in await listed("acknowledged")] == [alarm_id]
    await enqueue(connection, subject, active=False, minute=9)

    async def cleared() -> bool:
        return len(await listed("cleared")) == 1

    await until(cleared)
    assert await listed("open") == []
    detail = (await control.client.get(f"/api/v1/alarms/{alarm_id}", params={"lang": "vi"})).json()
    assert detail["title"] == "Bụi mịn (PM2.5) cao"
    assert (detail["raised_value"], detail["cleared_value"]) == (1.0, 9.0)
    assert [event["event"] for event in detail["events"]] == ["raised", "acknowledged", "cleared"]
    assert detail["events"][1]["detail"] == {"comment": "đang đến"}
    late = await control.client.post(f"/api/v1/alarms/{alarm_id}/acknowledge", json={"by": "Minh"})
    assert (late.status_code, late.json()["error"]["code"]) == (409, "alarm_cleared")

    async def all_published() -> bool:
        return bool(await connection.fetchval("SELECT count(*) = 0 FROM city.alarm_events WHERE published_at IS NULL"))

    await until(all_published)
    messages = await published(config)
    assert [message["event"] for message in messages] == ["raised", "acknowledged", "cleared"]
    assert messages[0]["alarm"]["raised_detail"]["rule"]["title_en"] == "Fine dust (PM2.5) is high"


async def test_a_processor_s_commit_wakes_the_alarms_long_before_the_next_look(
    config: ControlConfig, connection: Database, seeded: Seeded
) -> None:
    seldom = replace(config, control=config.control.model_copy(update={"alarm_poll_s": 10.0}))
    async with running(seldom) as control:
        await until_ready(control)
        await asyncio.sleep(0.5)  # the look that the start begins with is over
        async with connection.transaction():
            await enqueue(connection, f"series:{seeded.series['air-1', 'pm2_5']}", active=True, minute=1)
            await connection.execute("SELECT pg_notify($1, '')", CONDITIONS_CHANNEL)

        async def raised() -> bool:
            return int(await connection.fetchval("SELECT count(*) FROM city.alarms")) == 1

        await until(raised, timeout_s=5)


async def test_of_two_replicas_one_leads_both_serve_and_the_second_takes_over(
    config: ControlConfig, connection: Database, seeded: Seeded
) -> None:
    subject = f"series:{seeded.series['air-1', 'pm2_5']}"

    async def leading(control: Running) -> bool:
        return "alarms_leading 1.0" in (await control.client.get("/metrics")).text

    async def alarm_count() -> int:
        return int(await connection.fetchval("SELECT count(*) FROM city.alarms"))

    async def one_leads() -> bool:
        return [await leading(control) for control in (first, second)].count(True) == 1

    async with running(config) as second, running(config) as first:
        await until(one_leads)
        await enqueue(connection, subject, active=True, minute=1)

        async def seen_by_both() -> bool:
            answers = [await control.client.get("/api/v1/alarms") for control in (first, second)]
            return all(len(answer.json()["items"]) == 1 for answer in answers)

        await until(seen_by_both)
        # the leader's connection is cut at the server, as a failing network would
        await connection.execute(
            """SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                   WHERE application_name = 'citynerve-alarms' AND datname = current_database()"""
        )
        await enqueue(connection, subject, active=False, minute=2)
        await enqueue(connection, subject, active=True, minute=3)

        async def taken_over() -> bool:
            return await alarm_count() == 2

        await until(taken_over)
    states = await connection.fetch("SELECT state FROM city.alarms ORDER BY alarm_id")
    assert [row["state"] for row in states] == ["cleared", "raised"]


async def test_unaccounted_readings_raise_an_alarm_of_their_own(config: ControlConfig, connection: Database) -> None:
    quick = replace(config, control=config.control.model_copy(update={"unaccounted_after_s": 1.0}))
    await connection.execute(
        """INSERT INTO city.ledger (gateway, epoch, topic, partition, next_seq, sent_before, n_in, n_stored)
           VALUES ('gw-1', 1, 't', 0, 10, 100, 90, 90)"""
    )
    await connection.execute(
        """INSERT INTO city.ledger_gaps (gateway, epoch, topic, partition, from_seq, to_seq, sent_before, readings)
           VALUES ('gw-1', 1, 't', 0, 3, 3, 30, 10)"""
    )
    async with running(quick) as control:

        async def state(name: str) -> bool:
            items = (await control.client.get("/api/v1/alarms", params={"state": "all"})).json()["items"]
            return [(item["rule_id"], item["state"], item["raised_value"]) for item in items] == [
                ("unaccounted", name, 10.0)
            ]

        await until(lambda: state("raised"))
        metrics = (await control.client.get("/metrics")).text
        assert "citynerve_control_unaccounted_readings 10.0" in metrics
        assert 'citynerve_control_ledger_readings{state="stored"} 90.0' in metrics
        await connection.execute("DELETE FROM city.ledger_gaps")
        await connection.execute("UPDATE city.ledger SET n_in = 100, n_stored = 100")
        await until(lambda: state("cleared"))


@pytest.mark.slow
async def test_kill_9_at_any_moment_neither_loses_nor_doubles_an_alarm(
    config: ControlConfig, connection: Database, seeded: Seeded, stack: LocalStack
) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")  # shown when the test fails
    dice = random.Random(seed)
    environment = os.environ | {
        "CITYNERVE_DATABASE__DSN": config.database.dsn.get_secret_value(),
        "CITYNERVE_KAFKA__BOOTSTRAP": config.kafka.bootstrap,
        "CITYNERVE_KAFKA__TOPIC_PREFIX": config.kafka.topic_prefix,
        "CITYNERVE_CONTROL__HTTP_PORT": "0",
        "CITYNERVE_CONTROL__ALERTMANAGER_URL": f"http://127.0.0.1:{stack.alertmanager_port}",
        "CITYNERVE_CONTROL__ALARM_POLL_S": "0.05",
    }
    subjects = [f"series:{series_id}" for series_id in seeded.series.values()]
    wanted: Counter[tuple[str, bool]] = Counter()

    async def feed(stop: asyncio.Event) -> None:
        turn = 0
        while not stop.is_set():
            subject = subjects[turn % len(subjects)]
            active = (turn // len(subjects)) % 2 == 0
            await enqueue(connection, subject, active=active, minute=turn)
            wanted[subject, active] += 1
            turn += 1
            await asyncio.sleep(0.005)

    async def start() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable, "-m", "control_center", env=environment, stderr=asyncio.subprocess.DEVNULL
        )

    stop = asyncio.Event()
    feeding = asyncio.create_task(feed(stop))
    watching = await asyncpg.connect(config.database.dsn.get_secret_value())

    async def events() -> int:
        return int(await watching.fetchval("SELECT count(*) FROM city.alarm_events"))

    for _ in range(8):
        process = await start()
        before = await events()

        async def works(before: int = before) -> bool:
            return await events() > before + 20

        await until(works, timeout_s=30)
        await asyncio.sleep(dice.uniform(0, 0.3))
        process.kill()
        await process.wait()
    stop.set()
    await feeding
    process = await start()

    async def all_done() -> bool:
        left = "SELECT (SELECT count(*) FROM city.condition_changes) + (SELECT count(*) FROM city.alarm_events WHERE published_at IS NULL)"
        return int(await watching.fetchval(left)) == 0

    await until(all_done, timeout_s=60)
    process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(process.wait(), 15) == 0

    found = await watching.fetch(
        """SELECT e.event_id, a.subject, e.event = 'raised' AS active, e.detail->>'event_time' AS at
           FROM city.alarm_events e JOIN city.alarms a USING (alarm_id) WHERE e.event IN ('raised', 'cleared') ORDER BY e.event_id"""
    )
    assert Counter((row["subject"], row["active"]) for row in found) == wanted
    for subject in subjects:
        turns = [row["active"] for row in found if row["subject"] == subject]
        assert turns == [n % 2 == 0 for n in range(len(turns))]
    in_kafka = Counter(message["event_id"] for message in await published(config))
    assert set(in_kafka) == {row["event_id"] for row in found}
    await watching.close()
