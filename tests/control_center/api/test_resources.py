"""The API over the real database: every resource has the agreed shape, pages through everything once, and names what is unknown."""

import base64
from datetime import timedelta
from typing import Any

import asyncpg
import pytest
from fastapi import FastAPI
from pydantic import TypeAdapter

from control_center.api import payloads
from control_center.flow_text import FlowItem
from control_center.rows import DeadLetterReason, Device, Series, StoredReading, Window
from tests.control_center.conftest import HOSTILE_NAME, T0, Running, until

pytestmark = pytest.mark.usefixtures("seeded")
Database = asyncpg.Connection  # generic only in the stubs


async def all_pages(control: Running, path: str, **parameters: Any) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    cursor = None
    for _ in range(100):
        answer = await control.client.get(path, params=parameters | ({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200, answer.text
        items += answer.json()["items"]
        cursor = answer.json()["next_cursor"]
        if cursor is None:
            return items
    raise AssertionError("paging never ends")


@pytest.mark.parametrize("limit", [1, 2, 5, 1000])
async def test_paging_gives_every_device_once_in_order_whatever_the_page_size(control: Running, limit: int) -> None:
    items = await all_pages(control, "/api/v1/devices", limit=limit)
    assert [item["device"] for item in items] == ["air-1", "air-2", "noise-1", "water/level 1", "zebra"]


async def test_devices_are_filtered_by_kind_district_and_part_of_a_name(control: Running) -> None:
    async def found(**parameters: str) -> list[str]:
        return [item["device"] for item in await all_pages(control, "/api/v1/devices", **parameters)]

    assert await found(kind="air_quality") == ["air-1", "air-2"]
    assert await found(district="Hải Châu", kind="noise") == ["noise-1"]
    assert await found(q="CẦU") == ["air-1"]
    assert await found(q="AIR-") == ["air-1", "air-2"]
    assert await found(q="%") == []
    assert await found(q="' OR true --") == []


async def test_a_hostile_name_comes_back_as_the_data_it_is(control: Running) -> None:
    answer = await control.client.get("/api/v1/devices/air-2")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["name"] == HOSTILE_NAME


async def test_a_device_is_given_with_the_newest_value_of_each_series(control: Running) -> None:
    device = (await control.client.get("/api/v1/devices/air-1")).json()
    assert device["series"] == [
        {"metric": "no2", "unit": "ug/m3", "last_time": None, "last_value": None},
        {"metric": "pm2_5", "unit": "ug/m3", "last_time": "2026-05-01T12:41:30.000249Z", "last_value": 10 + 249 / 8},
    ]
    assert (await control.client.get("/api/v1/devices/water%2Flevel%201")).json()["device"] == "water/level 1"


async def test_readings_page_by_time_without_gap_or_repeat(control: Running) -> None:
    span = {"from": T0.isoformat(), "to": (T0 + timedelta(hours=1)).isoformat()}
    items = await all_pages(control, "/api/v1/readings", device="air-1", metric="pm2_5", limit=37, **span)
    assert [item["value"] for item in items] == [10 + n / 8 for n in range(250)]
    assert items[1] == {"time": "2026-05-01T12:00:10.000001Z", "value": 10.125, "flags": 1}


async def test_the_range_includes_from_and_excludes_to(control: Running) -> None:
    span = {"from": T0.isoformat(), "to": (T0 + timedelta(seconds=10, microseconds=1)).isoformat()}
    items = await all_pages(control, "/api/v1/readings", device="air-1", metric="pm2_5", **span)
    assert len(items) == 1


async def test_windows_carry_every_column_and_page_by_time(control: Running) -> None:
    span = {"from": T0.isoformat(), "to": (T0 + timedelta(days=1)).isoformat()}
    items = await all_pages(control, "/api/v1/windows", device="air-1", metric="pm2_5", size="15m", limit=7, **span)
    assert len({item["time"] for item in items}) == len(items) == 30
    assert items[0] == {
        "time": "2026-05-01T12:00:00Z", "count": 3, "mean": 2.0, "min": 1.0, "max": 3.0, "std": 0.8, "first": 1.0, "last": 3.0,
        "p50": 2.0, "p95": 3.0, "p99": 3.0, "special": None, "expected": 15, "valid": 2, "late": 1, "flagged": 1, "revision": 4,
    }  # fmt: skip
    assert await all_pages(control, "/api/v1/windows", device="air-1", metric="pm2_5", size="1d", **span) == []


async def test_what_is_unknown_is_named(control: Running) -> None:
    async def message(path: str, **parameters: str) -> tuple[int, str, str]:
        answer = await control.client.get(path, params=parameters)
        return answer.status_code, answer.json()["error"]["code"], answer.json()["error"]["message"]

    assert await message("/api/v1/devices/nobody") == (404, "unknown_device", "There is no device 'nobody'.")
    assert (await message("/api/v1/readings", device="nobody", metric="pm2_5"))[:2] == (404, "unknown_device")
    assert (await message("/api/v1/readings", device="air-1", metric="co2"))[:2] == (404, "unknown_series")
    assert (await message("/api/v1/alarms/99"))[:2] == (404, "unknown_alarm")
    assert (await message("/api/v2/devices"))[:2] == (404, "not_found")
    assert await message("/api/v1/devices/nobody", lang="vi") == (404, "unknown_device", "Không có thiết bị 'nobody'.")


async def test_the_ledger_adds_up_and_pages(control: Running, connection: Database) -> None:
    await connection.execute(
        """INSERT INTO city.ledger
               (gateway, epoch, topic, partition, next_seq, sent_before, n_in, n_stored, n_duplicate, n_dead, n_redelivered)
           VALUES ('gw-1', 1, 't', 0, 10, 100, 90, 80, 7, 3, 5), ('gw-1', 2, 't', 0, 1, 10, 10, 10, 0, 0, 0),
               ('gw-2', 1, 't', 0, 1, 4, 4, 4, 0, 0, 0)"""
    )
    await connection.execute("""INSERT INTO city.ledger_gaps (gateway, epoch, topic, partition, from_seq, to_seq, sent_before, readings)
           VALUES ('gw-1', 1, 't', 0, 3, 3, 30, 10)""")
    answer = (await control.client.get("/api/v1/ledger", params={"limit": 2})).json()
    totals = answer["totals"]
    assert totals["unaccounted"] == 10
    parts = ("stored", "duplicate", "dead_letter", "refused", "in_flight", "unaccounted")
    assert totals["received"] == sum(totals[part] for part in parts) == 114
    lives = await all_pages(control, "/api/v1/ledger", limit=1)
    assert [(life["gateway"], life["epoch"]) for life in lives] == [("gw-1", 2), ("gw-1", 1), ("gw-2", 1)]
    one = (await control.client.get("/api/v1/ledger", params={"gateway": "gw-2"})).json()
    assert one["totals"]["received"] == 4
    assert len(one["items"]) == 1


async def test_dead_letters_keep_their_bytes_and_filter_by_reason(control: Running, connection: Database) -> None:
    await connection.executemany(
        """INSERT INTO city.dead_letters (gateway, epoch, partition, seq, ordinal, received, reason, detail, mqtt_topic, payload, readings)
           VALUES ('gw', 1, 0, 0, $1, now(), $2, 'd', 'a/b', $3, 1)""",
        [(n, "malformed" if n % 2 else "not_utf8", bytes([0, 255, n])) for n in range(5)],
    )
    items = await all_pages(control, "/api/v1/deadletters", limit=2)
    assert [base64.b64decode(item["payload_base64"])[2] for item in items] == [4, 3, 2, 1, 0]
    await connection.execute("UPDATE city.dead_letters SET payload = decode(repeat('ff', 100000), 'hex')")
    (first, *_) = await all_pages(control, "/api/v1/deadletters", limit=1000)
    assert (len(base64.b64decode(first["payload_base64"])), first["payload_bytes"]) == (16 * 1024, 100_000)
    assert len(await all_pages(control, "/api/v1/deadletters", reason="malformed")) == 2


async def test_dead_letters_are_summed_by_reason_with_the_newest_of_each(
    control: Running, connection: Database
) -> None:
    await connection.executemany(
        """INSERT INTO city.dead_letters (gateway, epoch, partition, seq, ordinal, received, reason, detail, mqtt_topic, payload, readings)
           VALUES ('gw', 1, 0, 0, $1, now() - $2 * interval '1 day', $3, $4, 'a/b', '', $5)""",
        [
            (0, 1, "malformed", "old", 1),
            (1, 0, "malformed", "new", 2),
            (2, 0, "not_utf8", "n", 7),
            (3, 30, "too_old", "gone", 1),
        ],
    )
    items = (await control.client.get("/api/v1/deadletters/reasons")).json()["items"]
    assert [(one["reason"], one["letters"], one["readings"], one["waiting"]) for one in items] == [
        ("not_utf8", 1, 7, 1), ("malformed", 2, 3, 2),
    ]  # fmt: skip
    assert (items[1]["newest_detail"], items[1]["newest_gateway"], items[1]["newest_topic"]) == ("new", "gw", "a/b")
    month = (await control.client.get("/api/v1/deadletters/reasons", params={"days": 40})).json()["items"]
    assert {one["reason"] for one in month} == {"not_utf8", "malformed", "too_old"}


async def test_who_waits_for_whom_names_every_hop_in_both_languages(control: Running, connection: Database) -> None:
    await connection.execute(
        """INSERT INTO city.gateway_statements (gateway, epoch, at, received, refused, acked_kafka, spooled, messages)
           VALUES ('gw-77', 1, now() - interval '5 minutes', 9, 0, 5, 4, 3), ('retry', 1, now(), 1, 0, 1, 0, 1)"""
    )

    async def heard() -> bool:
        hops = (await control.client.get("/api/v1/flow")).json()["hops"]
        return any(hop["name"] == "gw-77" for hop in hops)

    await until(heard)
    flow = (await control.client.get("/api/v1/flow", params={"lang": "vi"})).json()
    assert [hop["part"] for hop in flow["hops"]] == [
        "devices",
        "broker",
        "gateway",
        "gateway",
        "kafka",
        "processor",
        "database",
    ]
    unasked = flow["hops"][3]
    assert (unasked["state"], unasked["name"]) == ("unknown", "gw-77")
    assert "tin cuối cách đây 5 phút, khi đó bộ đệm có 4 số đo" in unasked["text"]
    assert flow["hops"][-1]["state"] == "fine"


async def test_city_and_status_answer_before_anything_has_been_measured(control: Running) -> None:
    city = (await control.client.get("/api/v1/city")).json()
    assert city == {
        "name": "Đà Nẵng", "time_zone": "Asia/Ho_Chi_Minh", "latitude": 16.05, "longitude": 108.2, "languages": ["en", "vi"],
    }  # fmt: skip
    status = (await control.client.get("/api/v1/status")).json()
    assert status["unaccounted"] == 0
    assert set(status) == {
        "lag_s", "watermark", "readings_per_s", "stored_per_s", "rejected_per_s", "duplicate_per_s", "in_flight", "unaccounted",
        "active_alarms", "spooled", "devices", "stale_devices", "sampled_at", "behind_s", "left_s",
    }  # fmt: skip


async def test_answers_have_the_shape_the_description_promises(control: Running) -> None:
    series = {"device": "air-1", "metric": "pm2_5"}
    span = {"from": T0.isoformat(), "to": (T0 + timedelta(days=1)).isoformat()}
    promised: list[tuple[str, dict[str, str], Any]] = [
        ("/devices", {}, payloads.Page[Device]),
        ("/devices/air-1", {}, payloads.DeviceDetail),
        ("/series", {}, payloads.Page[Series]),
        ("/readings", series | span, payloads.Page[StoredReading]),
        ("/windows", series | span, payloads.Page[Window]),
        ("/alarms", {}, payloads.Page[payloads.AlarmItem]),
        ("/ledger", {}, payloads.LedgerPage),
        ("/deadletters", {}, payloads.Page[payloads.DeadLetterItem]),
        ("/live", {}, payloads.LiveSnapshot),
        ("/status", {}, payloads.StatusItem),
        ("/flow", {}, FlowItem),
        ("/deadletters/reasons", {}, payloads.Page[DeadLetterReason]),
        ("/city", {}, payloads.CityItem),
    ]
    for path, parameters, shape in promised:
        answer = await control.client.get(f"/api/v1{path}", params=parameters)
        TypeAdapter(shape).validate_json(answer.content)


async def test_the_description_and_its_page_need_nothing_from_elsewhere(control: Running) -> None:
    document = (await control.client.get("/api/openapi.json")).json()
    assert "/api/v1/alarms/{alarm_id}/acknowledge" in document["paths"]
    page = await control.client.get("/api/docs")
    assert page.status_code == 200
    assert "//" not in page.text.replace("</", "")
    assert "script" not in page.text or 'src="/' in page.text


async def test_operators_tools_are_answered(control: Running) -> None:
    assert (await control.client.get("/healthz")).json() == {"alive": True}
    assert (await control.client.get("/readyz")).status_code in {200, 503}
    await control.client.get("/api/v1/city")
    metrics = (await control.client.get("/metrics")).text
    for line in (
        'citynerve_control_alarm_changes_total{event="raised"} 0.0',
        'citynerve_control_notifications_total{outcome="unreachable"} 0.0',
        'citynerve_control_sse_dropped_total{reason="slow"} 0.0',
        "citynerve_control_unaccounted_readings 0.0",
        'citynerve_control_http_requests_total{route="GET /api/v1/city",status="200"} 1.0',
    ):
        assert line in metrics


def test_the_application_is_made_without_touching_a_server(config: Any) -> None:
    from control_center.app import create_app

    assert isinstance(create_app(config), FastAPI)
