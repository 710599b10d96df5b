"""`citynerve deadletters` on the real servers: mended profiles, windows, the ledger, and a crash at each step of a retry."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from deploy.dead_letters_commands import deadletters
from deploy.dead_letters_store import finish
from deploy.local.stack import LocalStack
from ingest.contract.frame import DeadLetter
from tests.processors.running import City, city_of
from tests.processors.test_accounting import ledger
from tests.processors.test_pipeline import START_US, some_readings

MINUTE_US = 60_000_000
CENTURY_S = 100 * 366 * 86_400


class CrashError(Exception):
    """Stands for the end of the process at this very place."""


@pytest.fixture
def city(stack: LocalStack, kafka_prefix: str, database: str) -> City:
    return city_of(stack, kafka_prefix, database)


@pytest.fixture
def profiles(tmp_path: Path) -> Path:
    write_profile(tmp_path, {})
    return tmp_path


def write_profile(folder: Path, metrics: Mapping[str, str]) -> None:
    """The vendor's profile: its names -> ours."""
    lines = [f'"{name}" = {{ metric = "{metric}", unit = "ug/m3" }}' for name, metric in metrics.items()]
    text = 'name = "vendor"\ncanonical_names = true\ncanonical_units = true\n[metrics]\n'
    (folder / "vendor.toml").write_text(text + "\n".join(lines))


def letters_of(n: int, *, metric: str = "fine_dust", device: str = "dev-9") -> list[DeadLetter]:
    """Letters as ingest makes them of a payload whose metric no profile knows; one a minute."""
    return [
        DeadLetter(
            "unknown_metric", f"metric '{metric}' is not in profile 'vendor'", f"v/{device}",
            json.dumps({metric: float(at % 1000)}).encode(), START_US + at * MINUTE_US, 1,
        )
        for at in range(n)
    ]  # fmt: skip


async def run(city: City, profiles: Path, *arguments: str) -> Result:
    """The command as a person types it, in a thread: it makes a loop of its own."""
    settings = environment(city, profiles)
    return await asyncio.to_thread(CliRunner().invoke, deadletters, [*arguments], env=settings)


def environment(city: City, profiles: Path) -> dict[str, str]:
    """The test's settings: one route, the vendor's profile."""
    routes = [{"topic": "v/+", "format": "plain-json", "profile": "vendor"}]
    return city.environment() | {
        "CITYNERVE_INGEST__ROUTES": json.dumps(routes),
        "CITYNERVE_INGEST__PROFILES_DIR": str(profiles),
        "CITYNERVE_INGEST__MAX_AGE_S": str(CENTURY_S),
    }


async def report(city: City, profiles: Path, *arguments: str) -> dict[str, Any]:
    told = await run(city, profiles, *arguments, "--json")
    assert told.exit_code in {0, 1}, told.output
    found: dict[str, Any] = json.loads(told.output)
    return found


async def state(city: City) -> dict[str, int]:
    query = (
        "SELECT count(*) FILTER (WHERE retry_epoch IS NULL) AS waiting, count(*) FILTER (WHERE retried_at IS NOT NULL) AS retried, "
        "(SELECT count(*) FROM city.retry_frames) AS outbox, (SELECT count(*) FROM city.readings) AS readings FROM city.dead_letters"
    )
    return dict((await city.fetch(query))[0])


async def test_letters_are_retried_once_after_their_profile_is_mended_and_the_ledger_adds_up(
    city: City, profiles: Path
) -> None:
    gateway = city.gateway()
    async with city.processor():
        # readings of other devices close the windows that the retried ones then revise
        await city.send([*gateway.frames(some_readings(devices=8, minutes=60)), gateway.letters(letters_of(30))])
        await city.caught_up()
        stored = (await ledger(city))["stored"]
        assert (await report(city, profiles, "retry"))["still_refused"] == 30
        assert (await state(city)) == {"waiting": 30, "retried": 0, "outbox": 0, "readings": stored}

        write_profile(profiles, {"fine_dust": "pm2_5"})
        dry = await report(city, profiles, "retry", "--dry-run")
        assert (dry["retried"], dry["readings"], (await state(city))["retried"]) == (30, 30, 0)
        assert (await report(city, profiles, "retry"))["retried"] == 30
        await city.caught_up()
        assert (await report(city, profiles, "retry"))["retried"] == 0
        await city.caught_up()
        assert await state(city) == {"waiting": 0, "retried": 30, "outbox": 0, "readings": stored + 30}
        windows = "SELECT count(*), sum(count) FROM city_view.windows_1m WHERE device = 'dev-9' AND metric = 'pm2_5'"
        assert tuple((await city.fetch(windows))[0]) == (30, 30)
    found = await ledger(city)
    assert (found["dead_letter"], found["stored"], found["unaccounted"]) == (30, stored + 30, 0)
    assert found["received"] == sum(
        found[part] for part in ("stored", "duplicate", "dead_letter", "refused", "in_flight")
    )
    assert await city.value("SELECT sum(received) FROM city_view.ledger WHERE gateway = 'retry'") == 30
    assert await city.value("SELECT sum(stored) FROM city_view.ledger WHERE gateway = 'retry'") == 30


@pytest.mark.parametrize("step", ["send", "finish"])
async def test_a_crash_within_a_retry_loses_and_doubles_nothing(
    city: City, profiles: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    calls = 0

    async def crash(*_: object) -> None:
        raise CrashError

    async def crash_at_the_second(*arguments: Any) -> int:
        nonlocal calls
        calls += 1
        if calls == 2:  # the first is the look at what an earlier run left
            raise CrashError
        return await finish(*arguments)

    async with city.processor():
        await city.send([city.gateway().letters(letters_of(5))])
        await city.caught_up()
        write_profile(profiles, {"fine_dust": "pm2_5"})
        with monkeypatch.context() as broken:
            if step == "send":
                broken.setattr("deploy.dead_letters_retry.Retry._send", crash)
            else:
                broken.setattr("deploy.dead_letters_retry.finish", crash_at_the_second)
            assert isinstance((await run(city, profiles, "retry")).exception, CrashError)
        left = await state(city)
        assert (left["waiting"], left["retried"], left["outbox"] > 0) == (0, 0, True)
        if step == "send":
            assert (await ledger(city))["in_flight"] == 5, "claimed readings wait in the outbox, and the ledger says so"
        assert "claimed by an interrupted retry" in (await run(city, profiles, "show", "1")).output

        write_profile(profiles, {"fine_dust": "pm10"})  # what was claimed goes out as it was decoded then
        again = await report(city, profiles, "retry")
        assert (again["resumed"], again["retried"]) == (5, 0)
        await city.caught_up()
    assert await state(city) == {"waiting": 0, "retried": 5, "outbox": 0, "readings": 5}
    assert await city.value("SELECT string_agg(DISTINCT metric, ',') FROM city.series") == "pm2_5"
    found = await ledger(city)
    assert (found["stored"], found["duplicate"], found["in_flight"], found["unaccounted"]) == (5, 0, 0, 0)
    assert found["redelivered"] == (5 if step == "finish" else 0)


async def test_kill_9_twice_within_a_retry_of_thousands_loses_and_doubles_nothing(city: City, profiles: Path) -> None:
    count = 3000
    gateway = city.gateway()
    command = [sys.executable, "-m", "deploy.cli", "deadletters", "retry"]
    settings = os.environ | environment(city, profiles)
    async with city.processor():
        letters = letters_of(count)
        await city.send([gateway.letters(letters[at : at + 500]) for at in range(0, count, 500)])
        await city.caught_up()
        write_profile(profiles, {"fine_dust": "pm2_5"})
        for _ in range(2):
            before = (await state(city))["waiting"]
            process = await asyncio.create_subprocess_exec(*command, env=settings, stdout=asyncio.subprocess.DEVNULL)
            async with asyncio.timeout(60):
                while (await state(city))["waiting"] == before:  # noqa: ASYNC110 - in a database
                    await asyncio.sleep(0.002)
            process.kill()
            await process.wait()
        assert 0 < (await state(city))["waiting"] < count, "killed in the middle"
        assert (await run(city, profiles, "retry")).exit_code == 0
        await city.caught_up()
    assert await state(city) == {"waiting": 0, "retried": count, "outbox": 0, "readings": count}
    found = await ledger(city)
    assert (found["stored"], found["duplicate"], found["in_flight"], found["unaccounted"]) == (count, 0, 0, 0)


async def test_two_letters_of_one_message_send_its_readings_once(city: City, profiles: Path) -> None:
    payload = json.dumps({"a": 1, "b": 99_999, "pm2_5": 3}).encode()
    both = [DeadLetter(reason, "d", "v/dev-1", payload, START_US, 1) for reason in ("unknown_metric", "out_of_range")]
    async with city.processor():
        await city.send([city.gateway().letters(both)])
        await city.caught_up()
        write_profile(profiles, {"a": "pm10", "b": "o3"})
        first = await report(city, profiles, "retry")
        assert [(row["letter_id"], row["reason"]) for row in first["letters"]] == [(1, None), (2, "out_of_range")]
        await city.caught_up()
    assert (await state(city))["readings"] == 2
    told = await run(city, profiles, "retry", "--id", "1")
    assert (told.exit_code, "letter 1 was retried before" in told.output) == (0, True)


async def test_kafka_away_keeps_what_was_claimed_and_says_so(city: City, profiles: Path) -> None:
    async with city.processor():
        await city.send([city.gateway().letters(letters_of(2))])
        await city.caught_up()
    write_profile(profiles, {"fine_dust": "pm2_5"})
    away = City("127.0.0.1:1", city.prefix, city.dsn)
    told = await run(away, profiles, "retry")
    assert "the 2 readings of the letters claimed stay in the database" in str(told.exception)
    assert (await report(city, profiles, "retry"))["resumed"] == 2


async def test_list_filters_and_show_tells_what_a_retry_would_give(city: City, profiles: Path) -> None:
    malformed = DeadLetter("malformed", "not JSON", "v/dev-2", b"\x00\xff", START_US, 1)
    async with city.processor():
        await city.send([city.gateway("gw-5").letters([*letters_of(3), malformed])])
        await city.caught_up()
    listed = await run(city, profiles, "list", "--json")
    assert [json.loads(line)["letter_id"] for line in listed.output.splitlines()] == [4, 3, 2, 1]
    assert (await run(city, profiles, "list", "--reason", "malformed")).output.splitlines()[-1] == "1 dead letters"
    assert (await run(city, profiles, "list", "--gateway", "gw-1")).output == "0 dead letters\n"
    assert (await run(city, profiles, "list", "--since", "now-1h")).output == "0 dead letters\n"
    shown = (await run(city, profiles, "show", "1")).output
    assert '{"fine_dust": 0.0}' in shown
    assert "a retry now would fail: unknown_metric" in shown
    write_profile(profiles, {"fine_dust": "pm2_5"})
    assert "a retry now would succeed with 1 readings" in (await run(city, profiles, "show", "1")).output
    assert "000000  00 ff" in (await run(city, profiles, "show", "4")).output
    unknown = await run(city, profiles, "show", "99")
    assert "there is no dead letter 99" in str(unknown.exception)


async def test_while_one_retry_runs_another_waits(city: City, profiles: Path) -> None:
    import asyncpg

    from deploy.dead_letters_store import lock

    holder = await asyncpg.connect(city.dsn)
    try:
        assert await lock(holder)
        told = await run(city, profiles, "retry")
        assert "another `citynerve deadletters retry` is running" in str(told.exception)
    finally:
        await holder.close()
