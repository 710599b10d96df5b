"""The live stream over a real server: a fresh stream gets everything, a returning one what it missed, a lost one is told to begin anew."""

import asyncio
import socket
from dataclasses import replace

import asyncpg
import httpx

from control_center.app import ControlConfig
from tests.control_center.api.event_source import open_stream
from tests.control_center.conftest import T0, Running, Seeded, running, until, until_ready

Database = asyncpg.Connection  # generic only in the stubs


async def raise_alarm(connection: Database, series_id: int, *, active: bool = True) -> None:
    await connection.execute(
        "INSERT INTO city.condition_changes (rule_id, subject, active, at, value, detail) VALUES ('pm25-high', $1, $2, $3, 60, $4)",
        f"series:{series_id}",
        active,
        T0,
        '{"threshold": 55.0}',
    )


async def test_status_comes_every_second(control: Running) -> None:
    async with open_stream(control.base_url) as stream:
        first = await stream.until(lambda event: event.name == "status")
        second = await stream.until(lambda event: event.name == "status", timeout_s=3)
    assert first.data["unaccounted"] == second.data["unaccounted"] == 0


async def test_an_alarm_reaches_every_stream_in_its_own_language(
    control: Running, seeded: Seeded, connection: Database
) -> None:
    await until_ready(control)
    async with open_stream(control.base_url) as english, open_stream(control.base_url, lang="vi") as vietnamese:
        await raise_alarm(connection, seeded.series["air-1", "pm2_5"])
        event = await english.until(lambda event: event.name == "alarm")
        other = await vietnamese.until(lambda event: event.name == "alarm")
    assert event.data["title"] == "Fine dust (PM2.5) is high"
    assert other.data["title"] == "Bụi mịn (PM2.5) cao"
    assert event.data["detail"] == {"threshold": 55.0}
    assert (event.data["device"], event.data["name"], event.data["unit"]) == ("air-1", "Cầu Rồng", "ug/m3")
    listed = (await control.client.get("/api/v1/alarms")).json()["items"]
    assert listed == [event.data]


async def test_a_returning_stream_gets_the_alarms_it_missed_and_no_other(
    control: Running, seeded: Seeded, connection: Database
) -> None:
    await until_ready(control)
    series = seeded.series["air-1", "pm2_5"]
    async with open_stream(control.base_url) as stream:
        await raise_alarm(connection, series)
        await stream.until(lambda event: event.name == "alarm")
        last_id = stream.last_id
    alarm_id = stream.seen[-1].data["alarm_id"]
    await control.client.post(f"/api/v1/alarms/{alarm_id}/acknowledge", json={"by": "Lan"})
    await raise_alarm(connection, series, active=False)
    async with open_stream(control.base_url, last_id=last_id) as again:
        await again.until(lambda event: event.name == "alarm" and event.data["state"] == "cleared")
    states = [event.data["state"] for event in again.seen if event.name == "alarm"]
    assert states[-1] == "cleared"
    assert "raised" not in states
    assert not any(event.name == "reset" for event in again.seen)
    ids = [int(event.id) for event in again.seen if event.id]
    assert ids == sorted(ids)
    assert last_id is not None
    assert min(ids) > int(last_id)


async def test_an_id_of_another_life_or_made_up_is_answered_with_reset(control: Running) -> None:
    await until_ready(control)
    for last_id in ("1", "9" * 17, "9" * 400, "-5", "abc", "٣٣٣"[:0] or "0x5", "1.5"):
        async with open_stream(control.base_url, last_id=last_id) as stream:
            first = await stream.until(lambda event: event.name != "status")
            assert first.name == "reset", last_id


async def test_a_ring_that_is_too_short_is_answered_with_reset(
    config: ControlConfig, seeded: Seeded, connection: Database
) -> None:
    short = replace(config, control=config.control.model_copy(update={"sse_ring": 2}))
    async with running(short) as control:
        await until_ready(control)
        async with open_stream(control.base_url) as stream:
            await raise_alarm(connection, seeded.series["air-1", "pm2_5"])
            await stream.until(lambda event: event.name == "alarm")
            last_id = stream.last_id
            for active in (False, True, False):
                await raise_alarm(connection, seeded.series["air-1", "pm2_5"], active=active)
                await stream.until(lambda event: event.name == "alarm")
        async with open_stream(control.base_url, last_id=last_id) as again:
            assert (await again.until(lambda event: event.name != "status")).name == "reset"


async def test_more_streams_than_allowed_are_refused_and_places_are_given_back(config: ControlConfig) -> None:
    few = replace(config, control=config.control.model_copy(update={"sse_max_clients": 2}))
    async with running(few) as control:
        async with open_stream(control.base_url), open_stream(control.base_url):
            refused = await control.client.get("/api/v1/stream")
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "too_many_streams")

        async def given_back() -> bool:
            return "sse_clients 0.0" in (await control.client.get("/metrics")).text

        await until(given_back)
        async with open_stream(control.base_url) as stream:
            await stream.next()


async def test_a_browser_that_stops_reading_is_dropped_and_holds_nobody_up(config: ControlConfig) -> None:
    hasty = replace(config, control=config.control.model_copy(update={"sse_send_timeout_s": 1.0}))
    async with running(hasty) as control:
        url = httpx.URL(control.base_url)
        deaf = socket.socket()
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        deaf.connect((url.host, url.port))
        deaf.sendall(b"GET /api/v1/stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        hub = control.app.state.parts.hub
        big = control.app.state.parts.status.current(T0)
        async with open_stream(control.base_url) as reader, asyncio.timeout(15):
            while 'sse_dropped_total{reason="slow"} 1.0' not in (await control.client.get("/metrics")).text:
                for _ in range(500):
                    hub.publish_status(big)
                    await asyncio.sleep(0)
            await reader.until(lambda event: event.name == "status")
        deaf.close()


async def test_stopping_ends_open_streams_at_once(config: ControlConfig) -> None:
    loop = asyncio.get_running_loop()
    async with running(config) as control, open_stream(control.base_url) as stream:
        await stream.next()
        started = loop.time()
        control.app.state.parts.hub.close()
        async with asyncio.timeout(3):
            async for _ in stream._lines:
                pass
    assert loop.time() - started < 3
