"""Devices whose clock is wrong, by the API: named, with the offset, in both languages, page by page."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import asyncpg
import pytest

from tests.control_center.conftest import Running

Database = asyncpg.Connection  # generic only in the stubs

pytestmark = pytest.mark.usefixtures("seeded")


async def letters(connection: Database, device: str, ahead: timedelta) -> None:
    now = datetime.now(UTC)
    at_us = round((now + ahead).timestamp() * 1e6)
    await connection.execute(
        "INSERT INTO city.dead_letters (gateway, epoch, partition, seq, ordinal, received, reason, detail, mqtt_topic, payload, readings) "
        "SELECT 'gw-1', 1, 0, (SELECT count(*) FROM city.dead_letters), n, $1, 'in_future', $2, 'x', '', 2 FROM generate_series(1, 3) n",
        now,
        f'"{device}" pm2_5: 7.5 at {at_us} us',
    )


async def test_a_device_that_sends_local_time_as_utc_is_named_so(control: Running, connection: Database) -> None:
    await letters(connection, "air-1", timedelta(hours=7))
    (found,) = (await control.client.get("/api/v1/device-clocks")).json()["items"]
    assert (found["device"], found["kind"], found["guess"], found["offset"]) == (
        "air-1",
        "ahead",
        "local_as_utc",
        "+7 h 00 min",
    )
    assert (found["readings"], found["stored"]) == (6, 0)
    assert "local time sent as UTC" in found["text"]
    vietnamese = (await control.client.get("/api/v1/device-clocks", params={"lang": "vi"})).json()["items"][0]
    assert "giờ địa phương" in vietnamese["text"]


async def test_the_list_is_paged_and_filtered_by_device(control: Running, connection: Database) -> None:
    for number in range(3):
        await letters(connection, f"far-{number}", timedelta(days=400 + number))
    first = (await control.client.get("/api/v1/device-clocks", params={"limit": 2})).json()
    rest = (
        await control.client.get("/api/v1/device-clocks", params={"limit": 2, "cursor": first["next_cursor"]})
    ).json()
    assert [row["device"] for row in first["items"] + rest["items"]] == ["far-0", "far-1", "far-2"]
    assert rest["next_cursor"] is None
    one = (await control.client.get("/api/v1/device-clocks", params={"device": "far-1"})).json()["items"]
    assert [(row["device"], row["guess"]) for row in one] == [("far-1", "wrong_date")]


async def test_a_city_with_right_clocks_has_an_empty_list(control: Running) -> None:
    assert (await control.client.get("/api/v1/device-clocks")).json() == {"items": [], "next_cursor": None}
