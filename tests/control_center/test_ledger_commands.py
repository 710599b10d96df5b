"""`citynerve ledger`: every reading accounted for, and a stolen one missed wherever the ledger is shown."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner, Result

from control_center.app import ControlConfig
from control_center.ledger_commands import ledger
from deploy.local.stack import LocalStack
from tests.control_center.conftest import Running, running, until
from tests.processors.gateway import Record
from tests.processors.running import City, city_of
from tests.processors.test_pipeline import some_readings


@pytest.fixture
def city(stack: LocalStack, kafka_prefix: str, database: str) -> City:
    """The same topics and database as the fixture `config`."""
    return city_of(stack, kafka_prefix, database)


async def ask(city: City, *arguments: str) -> Result:
    """The command as a person types it, in a thread: it makes a loop of its own."""
    return await asyncio.to_thread(CliRunner().invoke, ledger, [*arguments], env=city.environment())


async def fill(city: City, records: list[Record]) -> None:
    async with city.processor():
        await city.send(records)
        await city.caught_up()


async def gauge(control: Running, name: str) -> float:
    lines = (await control.client.get("/metrics")).text.splitlines()
    return next(float(line.split(" ")[1]) for line in lines if line.startswith(f"{name} "))


async def test_a_stolen_reading_is_unaccounted_in_command_api_metric_and_alarm(
    city: City, config: ControlConfig
) -> None:
    readings = some_readings(devices=3, minutes=90)
    await fill(city, city.gateway().frames(readings))
    sound = await ask(city, "--audit")
    assert sound.exit_code == 0, sound.output
    assert sound.output.splitlines()[-1] == "every reading is accounted for"

    await city.fetch(
        "DELETE FROM city.readings WHERE (series_id, time) IN (SELECT series_id, time FROM city.readings LIMIT 1)"
    )
    assert (await ask(city)).exit_code == 0, "nothing has counted the rows since"
    told = await ask(city, "--audit")
    assert told.exit_code == 1
    assert told.output.splitlines()[-1] == "readings unaccounted for: 1 (stored and gone: 1)"

    answer = json.loads((await ask(city, "--json")).output)
    totals = answer["totals"]
    assert (totals["received"], totals["stored"], totals["unaccounted"]) == (len(readings), len(readings) - 1, 1)
    assert (answer["audit"]["missing"], answer["audit"]["doubled"]) == (1, 0)
    assert [row["unaccounted"] for row in answer["items"]] == [0], "it belongs to no gateway"
    alone = await ask(city, "--gateway", "gw-1", "--json")
    assert (alone.exit_code, json.loads(alone.output)["totals"]["unaccounted"]) == (0, 0)

    watching = replace(config, control=config.control.model_copy(update={"unaccounted_after_s": 0.0}))
    async with running(watching) as control:
        page = (await control.client.get("/api/v1/ledger")).json()
        assert (page["totals"], page["audit"]["missing"]) == (totals, 1)

        async def alarmed() -> bool:
            items = (await control.client.get("/api/v1/alarms", params={"state": "open"})).json()["items"]
            return [(item["rule_id"], item["raised_value"]) for item in items] == [("unaccounted", 1.0)]

        await until(alarmed)
        assert await gauge(control, "citynerve_control_unaccounted_readings") == 1
        assert (await control.client.get("/api/v1/status")).json()["unaccounted"] == 1


async def test_a_row_that_nobody_stored_is_doubled(city: City, config: ControlConfig) -> None:
    await fill(city, city.gateway().frames(some_readings(devices=1, minutes=30)))
    await city.fetch(
        "INSERT INTO city.readings (series_id, time, value) SELECT series_id, time + interval '1 us', value FROM city.readings LIMIT 1"
    )
    told = await ask(city, "--audit")
    assert (told.exit_code, told.output.splitlines()[-1]) == (1, "rows that no processor stored: 1")
    async with running(config) as control:

        async def shown() -> bool:
            return await gauge(control, "citynerve_control_doubled_readings") == 1

        await until(shown)
        assert await gauge(control, "citynerve_control_unaccounted_readings") == 0


async def test_a_frame_that_never_came_is_unaccounted_at_its_gateway(city: City) -> None:
    records = city.gateway("gw-7").frames(some_readings(devices=1, minutes=30), size=10)
    await fill(city, [records[0], records[2]])
    told = await ask(city, "--gateway", "gw-7")
    assert (told.exit_code, told.output.splitlines()[-1]) == (1, "readings unaccounted for: 10")
    row = next(line for line in told.output.splitlines() if line.startswith("gw-7"))
    assert row.split()[-1] == "10"
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert (await ask(city, "--since", later)).exit_code == 0, "no life was heard of since"


async def test_a_users_mistake_is_one_sentence(city: City) -> None:
    unknown = await ask(city, "--gateway", "nobody")
    assert "the ledger knows no gateway 'nobody'" in str(unknown.exception)
    assert (await ask(city, "--since", "yesterday")).exit_code == 2
    away = await asyncio.to_thread(
        CliRunner().invoke, ledger, [], env={"CITYNERVE_DATABASE__DSN": "postgresql://nobody@127.0.0.1:1/none"}
    )
    assert "the database does not answer" in str(away.exception)


def test_a_database_without_tables_says_what_to_do(empty_database: str) -> None:
    told = CliRunner().invoke(ledger, [], env={"CITYNERVE_DATABASE__DSN": empty_database})
    assert "run: citynerve migrate" in str(told.exception)
