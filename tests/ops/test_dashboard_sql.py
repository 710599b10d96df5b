"""Every SQL query of every dashboard, expanded as Grafana would, run on the real database as the role Grafana uses."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest
import pytest_asyncio

from deploy.local.stack import LocalStack
from processors.migrate import migrate
from tests.conftest import in_thread
from tests.ops import city_rows
from tests.ops.grafana import NAMES, TimeRange, expand_sql, queries, variables

ROLE_SCRIPT = Path(__file__).parents[2] / "deploy/postgresql/grafana_role.sql"
Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
Chosen = dict[str, str | list[str]]
SILENT = [("operators-en.json", "Devices that have gone silent"), ("operators-vi.json", "Thiết bị mất tín hiệu")]


@pytest.fixture(scope="module")
def city_dsn(stack: LocalStack) -> Iterator[str]:
    """DSN of a filled database that no test of this module changes; the role is made before the tables are."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    in_thread(_execute(stack.postgres_dsn(), f"CREATE DATABASE {name}"))
    dsn = stack.postgres_dsn(name)
    command = [stack.tool("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1", "-v", "password=x", "-f", ROLE_SCRIPT, dsn]
    subprocess.run([str(part) for part in command], check=True, capture_output=True, timeout=30)
    in_thread(migrate(dsn))
    in_thread(_fill(dsn))
    yield dsn
    in_thread(_execute(stack.postgres_dsn(), f"DROP DATABASE {name} WITH (FORCE)"))


@pytest_asyncio.fixture
async def city(city_dsn: str) -> AsyncIterator[Connection]:
    """A connection under the role `grafana`, as deploy/postgresql/grafana_role.sql makes it."""
    connection = await asyncpg.connect(city_dsn, timeout=10)
    try:
        await connection.execute(
            "SET ROLE grafana; SET statement_timeout = '15s'; SET default_transaction_read_only = on"
        )
        yield connection
    finally:
        await connection.close(timeout=10)


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await connection.execute(statement, timeout=60)
    finally:
        await connection.close(timeout=10)


async def _fill(dsn: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await city_rows.fill(connection)
    finally:
        await connection.close(timeout=10)


def last_day(interval: str = "5m") -> TimeRange:
    now = datetime.now(UTC)
    return TimeRange(now - timedelta(days=1), now, interval)


async def all_chosen(connection: Connection, board: str, **others: str) -> Chosen:
    """Every variable as the board opens: "All" where it offers it, else its first choice."""
    chosen: Chosen = {}
    for variable in variables(board):
        current = variable["current"]["value"]
        if variable["type"] == "query":
            options = [row[0] for row in await connection.fetch(variable["query"])]
            assert options, f"{board}: variable {variable['name']} offers nothing"
            chosen[variable["name"]] = options if current == ["$__all"] else current
        else:
            chosen[variable["name"]] = current
    return chosen | others


async def panel_rows(
    connection: Connection, board: str, title: str, span: TimeRange | None = None, **chosen: str
) -> list[asyncpg.Record]:
    """The rows of the only SQL query of a panel."""
    (query,) = [query for query in queries(board) if query.panel == title and query.kind == "sql"]
    statement = expand_sql(query.text, await all_chosen(connection, board, **chosen), span or last_day())
    return await connection.fetch(statement)


def last_hours(hours: float, interval: str) -> TimeRange:
    now = datetime.now(UTC)
    return TimeRange(now - timedelta(hours=hours), now, interval)


@pytest.mark.parametrize("board", NAMES)
async def test_every_sql_query_runs_and_answers(city: Connection, board: str) -> None:
    chosen = await all_chosen(city, board)
    sizes = ["1m", "15m", "1h", "1d"] if "resolution" in chosen else [""]
    asked = [query for query in queries(board) if query.kind == "sql"]
    assert asked
    for query in asked:
        for size in sizes:
            statement = expand_sql(query.text, chosen | {"resolution": size}, last_day())
            answer = await city.fetch(statement)
            assert answer, f"{query} answers nothing at {size}"
            if query.series:
                assert list(answer[0].keys()) == ["time", "metric", "value"], query
                assert all(isinstance(row["time"], datetime) and float(row["value"]) >= 0 for row in answer), query


@pytest.mark.parametrize("board", NAMES)
async def test_every_sql_query_runs_on_an_empty_city(database: str, board: str) -> None:
    connection = await asyncpg.connect(database, timeout=10)
    try:
        chosen = await all_chosen(connection, board)
        for query in queries(board):
            if query.kind == "sql":
                await connection.fetch(expand_sql(query.text, chosen, last_day()))
    finally:
        await connection.close(timeout=10)


async def test_grafana_may_read_the_views_and_nothing_else(city: Connection) -> None:
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await city.fetch("SELECT payload FROM city.dead_letters")
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await city.execute("CREATE TABLE mine (x int)")


async def test_noise_of_a_district_is_averaged_as_energy(city: Connection) -> None:
    rows = await panel_rows(city, "operators-en.json", "Noise level LAeq", district="Centre")
    assert rows[0]["value"] == pytest.approx(city_rows.ENERGETIC_MEAN_OF_NOISE, abs=0.3)


@pytest.mark.parametrize("size", ["1m", "15m", "1h"])
async def test_traffic_is_vehicles_an_hour_whatever_the_window(city: Connection, size: str) -> None:
    rows = await panel_rows(city, "operators-en.json", "Traffic", resolution=size)
    full = rows[1:-1]  # the first and last window of the three hours are not whole
    assert [row["value"] for row in full] == pytest.approx([12 * 60] * len(full))


@pytest.mark.parametrize(
    ("span", "size", "step_minutes"),
    [
        (last_hours(2, "1m"), "1m", {1}),
        (last_hours(6, "1m"), "1m", {15}),  # windows of a minute only up to three hours
        (last_hours(6, "1m"), "15m", {15}),
        (last_hours(720, "2h"), "15m", {120}),
        (last_hours(720, "2h"), "1m", {120}),
    ],
)
async def test_a_trend_is_the_same_from_whatever_windows_its_range_reads(
    city: Connection, span: TimeRange, size: str, step_minutes: set[int]
) -> None:
    for title, district, value in (
        ("Fine dust PM2.5", city_rows.HARBOUR, 30.0),
        ("Traffic", "Centre", 12 * 60.0),
        ("Water level, highest", "-", 4.5),
    ):
        rows = await panel_rows(city, "operators-en.json", title, span, resolution=size, district=district)
        # the first and last window of the three hours are not whole; of two windows the first has an hour at least, and before it up to
        # a quarter that counts whole with a minute of vehicles in it: 61 / 75
        middle, within = (rows[1:-1], 0.1) if rows[2:] else (rows[:1], 0.2)
        assert [row["value"] for row in middle] == pytest.approx([value] * len(middle), rel=within), title
        steps = {(b["time"] - a["time"]) // timedelta(minutes=1) for a, b in pairwise(rows)}
        assert steps <= step_minutes or title == "Water level, highest", title  # a reading every five minutes


async def test_a_quarter_without_any_reading_of_a_kind_is_not_complete(database: str) -> None:
    connection = await asyncpg.connect(database, timeout=10)
    try:
        await city_rows.fill(connection)
        await connection.execute(
            "DELETE FROM city.fleet_15m WHERE kind = 'traffic' AND start IN "
            "(SELECT DISTINCT start FROM city.fleet_15m WHERE start < now() - interval '1 hour' ORDER BY 1 DESC LIMIT 1)"
        )
        rows = await panel_rows(connection, "operators-en.json", "Completeness", last_hours(24, "15m"))
        traffic = [float(row["value"]) for row in rows if row["metric"] == "traffic"][1:]
        assert sorted(traffic)[:2] == [0.0, 1.0]
    finally:
        await connection.close(timeout=10)


@pytest.mark.parametrize("interval", ["15m", "30m", "2h"])
async def test_completeness_over_time_is_that_of_whole_windows(city: Connection, interval: str) -> None:
    rows = await panel_rows(city, "operators-en.json", "Completeness", last_hours(24, interval))
    traffic = [float(row["value"]) for row in rows if row["metric"] == "traffic"]
    assert traffic
    assert all(value == 1.0 for value in traffic[1:])  # in the first window the city began
    noise = [float(row["value"]) for row in rows if row["metric"] == "noise"]
    assert max(noise) <= 1.0
    if interval == "15m":
        assert noise[-1] == 0.5  # of two microphones one is silent


async def test_a_district_can_be_chosen_even_with_a_quote_in_its_name(city: Connection) -> None:
    rows = await panel_rows(city, "operators-en.json", "Fine dust PM2.5", district=city_rows.HARBOUR)
    assert {row["metric"] for row in rows} == {city_rows.HARBOUR}
    assert {row["value"] for row in rows} == {30.0}


@pytest.mark.parametrize(("board", "title"), SILENT)
async def test_the_silent_device_is_the_only_one_listed(city: Connection, board: str, title: str) -> None:
    rows = await panel_rows(city, board, title)
    assert [row[0] for row in rows] == [city_rows.QUIET_DEVICE]
    assert float(rows[0][5]) == pytest.approx(40 * 60, abs=90)


async def test_a_sensor_that_sends_nothing_lowers_the_completeness(city: Connection) -> None:
    rows = await panel_rows(city, "operators-en.json", "Completeness by district, last hour")
    by_kind = {(row["District"], row["Kind"]): float(row["Completeness"]) for row in rows}
    assert by_kind["Centre", "traffic"] == 1.0
    assert 0.5 < by_kind["Centre", "noise"] < 1.0  # of two microphones one stopped in the hour that is judged
    assert ("Centre", "street_light") not in by_kind  # one reading an hour says nothing about 15 minutes


async def test_open_alarms_speak_the_operators_language(city: Connection) -> None:
    rows = await panel_rows(city, "operators-vi.json", "Các cảnh báo đang mở")
    assert [row["Cảnh báo"] for row in rows] == ["Bụi mịn cao", "gone"]  # a rule without a text shows its id
    assert rows[0]["Việc cần làm"] == "Báo cho trường học."


async def test_a_device_without_a_fresh_reading_is_on_the_map_without_a_value(city: Connection) -> None:
    rows = await panel_rows(city, "operators-en.json", "Devices, last 15 minutes", metric="laeq")
    values = {row["Device"]: row["Value"] for row in rows}
    assert values == {"noise-0001": 50.0, city_rows.QUIET_DEVICE: None}
