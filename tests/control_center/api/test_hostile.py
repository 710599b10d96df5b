"""Whatever a caller sends, the answer is one of ours: a 4xx with code and sentence in JSON, never a 500, never a query that harms."""

import asyncio
import json
from typing import Any

import asyncpg
import httpx
import pytest

from control_center.app import ControlConfig
from tests.control_center.conftest import Running, running

pytestmark = pytest.mark.usefixtures("seeded")
TEXTS = [
    "", "\x00", "a\x00b", "\n", "\r\nX-Evil: 1", "' OR 1=1 --", "'; DROP TABLE city.devices; --", "%", "_", "\\", "{0}", "{device}", "%s",
    "../../etc/passwd", "..%2f..%2f", "<script>alert(1)</script>", "\u202e\u0000", "\ud7ff", "é" * 300, "x" * 5000, "null", "[]", "{{7*7}}",
]  # fmt: skip
NUMBERS = [
    "-1",
    "0",
    "1001",
    "10001",
    "1e3",
    "0x10",
    "٣",
    "1_0",
    "9" * 30,
    "NaN",
    "inf",
    " 5",
    "5;",
    "",
    "true",
    "null",
    str(2**63),
]
TIMES = [
    "", "now", "yesterday", "2026-05-01", "2026-05-01T12:00:00", "1746100800", "1e9", "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+14:00",
    "2026-02-30T00:00:00Z", "2026-05-01T24:00:01Z", "2026-05-01T12:00:00+99:00", "2026-05-01 12:00:00 00:00", "-2026-05-01T00:00:00Z",
    "infinity", "2026-05-01T12:00:60Z", "\x00", "٢٠٢٦-05-01T12:00:00Z",
]  # fmt: skip
SERIES = {"device": "air-1", "metric": "pm2_5"}


def is_ours(answer: httpx.Response) -> bool:
    """An answer a caller may get for any input."""
    if answer.status_code == 200:
        return True
    error = answer.json()["error"]
    return answer.status_code in {400, 404, 405, 409, 413, 422} and bool(error["code"]) and len(error["message"]) > 10


QUERIES: list[tuple[str, dict[str, str]]] = [
    *[
        ("/devices", {name: value})
        for value in TEXTS
        for name in ("kind", "district", "q", "cursor", "lang", "nonsense")
    ],
    *[("/series", {name: value}) for value in TEXTS for name in ("device", "metric", "cursor")],
    *[("/alarms", {name: value}) for value in TEXTS for name in ("state", "severity", "device", "cursor")],
    *[("/ledger", {name: value}) for value in TEXTS for name in ("gateway", "cursor")],
    *[("/deadletters", {name: value}) for value in TEXTS for name in ("reason", "cursor")],
    *[("/readings", {**SERIES, name: value}) for value in TEXTS for name in ("device", "metric", "cursor")],
    *[("/windows", {**SERIES, name: value}) for value in TEXTS for name in ("size", "cursor")],
    *[
        (path, {**SERIES, name: value})
        for value in TIMES
        for name in ("from", "to")
        for path in ("/readings", "/windows")
    ],
    *[
        (path, {"limit": value})
        for value in NUMBERS
        for path in ("/devices", "/series", "/alarms", "/ledger", "/deadletters")
    ],
    *[("/readings", {**SERIES, "limit": value}) for value in NUMBERS],
]


async def test_every_parameter_bears_hostile_values(control: Running, connection: Any) -> None:
    wrong = []
    for path, parameters in QUERIES:
        answer = await control.client.get(f"/api/v1{path}", params=parameters)
        if not is_ours(answer):
            wrong.append((path, parameters, answer.status_code, answer.text[:200]))
    assert wrong == []
    assert await connection.fetchval("SELECT count(*) FROM city.devices") == 5


async def test_every_path_part_bears_hostile_values(control: Running) -> None:
    for value in TEXTS + NUMBERS:
        quoted = "".join(f"%{byte:02X}" for byte in value.encode("utf-8", "surrogatepass"))
        for path in (f"/api/v1/devices/{quoted}", f"/api/v1/alarms/{quoted}", f"/api/{quoted}", f"/{quoted}"):
            answer = await control.client.get(path, follow_redirects=True)
            assert answer.status_code < 500 or path == "/", (path, answer.status_code, answer.text[:200])


BODIES = [
    b"", b"null", b"[]", b"{", b'"text"', b"{}", b'{"by": ""}', b'{"by": "   "}', b'{"by": null}', b'{"by": 5}', b'{"by": "\\u0000"}',
    b'{"by": "\\ud800"}', b'{"by": "a", "comment": "\\u0000"}', b'{"by": "a", "comment": "\\udfff"}', b'{"by": "a", "other": 1}',
    b'{"by": "' + b"x" * 101 + b'"}', b'{"by": "a", "comment": "' + b"x" * 2001 + b'"}', b"\xff\xfe", b'{"by": NaN}',
    b"[" * 20_000, b'{"by": ' + b"1" * 5000 + b"}",
]  # fmt: skip


async def test_every_body_is_answered_and_none_acknowledges_by_accident(control: Running) -> None:
    for body in BODIES:
        answer = await control.client.post(
            "/api/v1/alarms/1/acknowledge", content=body, headers={"Content-Type": "application/json"}
        )
        assert answer.status_code in {400, 422}, (body[:40], answer.status_code, answer.text[:200])
        assert answer.json()["error"]["message"]
    form = await control.client.post("/api/v1/alarms/1/acknowledge", data={"by": "x"})
    assert form.status_code == 422


async def test_a_large_body_is_refused_with_and_without_a_length(control: Running) -> None:
    async def chunks() -> Any:
        for _ in range(100):
            yield b"x" * 10_000

    headers = {"Content-Type": "application/json"}
    announced = await control.client.post("/api/v1/alarms/1/acknowledge", content=b"x" * 10_000_000, headers=headers)
    streamed = await control.client.post("/api/v1/alarms/1/acknowledge", content=chunks(), headers=headers)
    assert (announced.status_code, streamed.status_code) == (413, 413)
    assert streamed.json()["error"]["code"] == "body_too_large"


async def test_foreign_hosts_and_foreign_sites_are_refused(control: Running) -> None:
    async def post(**headers: str) -> int:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return (await control.client.post("/api/v1/alarms/1/acknowledge", json={"by": "x"}, headers=named)).status_code

    rebound = await control.client.get("/api/v1/city", headers={"Host": "evil.example"})
    assert (rebound.status_code, rebound.json()["error"]["code"]) == (400, "unknown_host")
    assert await post(Origin="https://evil.example") == 403
    assert await post(Sec_Fetch_Site="cross-site") == 403
    assert await post(Origin="null") == 403
    assert await post(Origin=control.base_url, Sec_Fetch_Site="same-origin") == 404
    assert await post() == 404


async def test_every_answer_carries_the_security_headers(control: Running) -> None:
    for path in ("/api/v1/city", "/api/v1/nothing", "/api/docs", "/", "/metrics", "/api/v1/devices?limit=x"):
        headers = (await control.client.get(path)).headers
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "unsafe-eval" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers


async def test_what_callers_make_up_never_becomes_a_label(control: Running) -> None:
    for n in range(20):
        await control.client.get(f"/made/up/{n}")
        await control.client.request(f"VERB{n}", "/api/v1/city")
        await control.client.get(f"/api/v1/devices/{n}")
    metrics = (await control.client.get("/metrics")).text
    assert "made" not in metrics
    assert "VERB" not in metrics
    assert 'route="GET /api/v1/devices/{device:path}",status="404"} 20.0' in metrics


@pytest.mark.parametrize(("path", "days"), [("/readings", 32), ("/windows", 1000)])
async def test_too_long_a_range_is_refused_at_once(control: Running, path: str, days: int) -> None:
    span = {"from": "2023-01-01T00:00:00Z", "to": f"{2023 + days // 365 + 1}-01-01T00:00:00Z"}
    answer = await control.client.get(f"/api/v1{path}", params=SERIES | span)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "range_too_long")
    assert answer.elapsed.total_seconds() < 0.5


async def test_mistakes_are_named_all_at_once_in_the_callers_language(control: Running) -> None:
    answer = await control.client.get("/api/v1/windows", params={"size": "5m", "limit": "0", "from": "soon"})
    message = answer.json()["error"]["message"]
    for part in (
        "device: is missing",
        "metric: is missing",
        "size: must be one of",
        "limit: must be at least 1",
        "from: must be a time",
    ):
        assert part in message
    vietnamese = await control.client.get(
        "/api/v1/devices", params={"limit": 0}, headers={"Accept-Language": "vi-VN,vi;q=0.9,en;q=0.8"}
    )
    assert vietnamese.json()["error"]["message"] == "limit: phải từ 1 trở lên"
    misspelt = await control.client.get("/api/v1/devices", params={"knd": "noise"})
    assert (misspelt.status_code, misspelt.json()["error"]["code"]) == (422, "unknown_parameter")


async def test_a_slow_query_ends_at_its_limit_and_says_so(config: ControlConfig, database: str) -> None:
    slow = config.control.model_copy(update={"statement_timeout_ms": 200})
    blocker = await asyncpg.connect(database)
    async with (
        running(ControlConfig(slow, config.city, config.kafka, config.database, config.rules)) as control,
        blocker.transaction(),
    ):
        await blocker.execute("LOCK TABLE city.dead_letters IN ACCESS EXCLUSIVE MODE")
        answer = await control.client.get("/api/v1/deadletters")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "query_too_slow")
        assert answer.elapsed.total_seconds() < 2
    await blocker.close()


async def test_the_api_role_cannot_write(control: Running) -> None:
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await control.app.state.parts.queries._pool.execute("DELETE FROM city.devices")


async def test_a_database_that_is_away_is_said_not_shown_as_a_traceback(control: Running) -> None:
    await asyncio.sleep(0.2)
    await control.app.state.parts.queries._pool.close()
    answer = await control.client.get("/api/v1/devices")
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "database_away")
    assert json.loads(answer.content)["error"]["message"].startswith("The database does not answer")
