"""`citynerve process recompute` finds windows that differ from the stored readings, mends them, and touches nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
from click.testing import CliRunner

from processors.commands import process
from tests.conftest import in_thread
from tests.processors.running import City
from tests.processors.test_accounting import every_row
from tests.processors.test_pipeline import START_US, ZONE, assert_windows_equal_reference, some_readings


def run_recompute(city: City, *arguments: str) -> dict[str, dict[str, int]]:
    environment = city.environment() | {"CITYNERVE_CITY__TIME_ZONE": ZONE}
    result = CliRunner().invoke(process, ["recompute", *arguments, "--json"], env=environment)
    assert result.exit_code == 0, result.output
    report: dict[str, dict[str, int]] = json.loads(result.output)
    return report


def test_recompute_mends_what_differs_and_says_so(city: City) -> None:
    readings = some_readings(devices=3, minutes=60 * 30)

    async def fill() -> None:
        async with city.processor(city={"time_zone": ZONE}):
            await city.send(city.gateway().frames(readings))
            await city.caught_up()

    in_thread(fill())
    before = in_thread(every_row(city))
    span = ("--from", "2023-11-14", "--to", "2023-11-18")
    report = run_recompute(city, *span)
    assert {size: row["changed"] + row["created"] for size, row in report.items()} == {
        "1m": 0,
        "15m": 0,
        "1h": 0,
        "1d": 0,
    }
    assert report["1m"]["checked"] == in_thread(city.value("SELECT count(*) FROM city.windows_1m"))
    assert in_thread(every_row(city)) == before

    middle = datetime.fromtimestamp(START_US / 1e6 + 4 * 3600, UTC)
    in_thread(
        city.fetch(
            "UPDATE city.windows_1m SET mean = mean + 1 WHERE start BETWEEN $1::timestamptz - interval '2 min' AND $1",
            middle,
        )
    )
    in_thread(city.fetch("DELETE FROM city.windows_1h WHERE start < $1", middle))
    report = run_recompute(city, *span)
    assert report["1m"]["changed"] > 0
    assert report["1h"]["created"] > 0
    in_thread(assert_windows_equal_reference(city, readings))
    assert in_thread(city.value("SELECT count(*) FROM city.windows_1m WHERE revision = 1")) == report["1m"]["changed"]


def test_windows_whose_raw_readings_are_gone_stay_as_they_are(city: City) -> None:
    async def fill() -> None:
        async with city.processor(city={"time_zone": ZONE}):
            await city.send(city.gateway().frames(some_readings(devices=1, minutes=60 * 3)))
            await city.caught_up()

    in_thread(fill())
    in_thread(
        city.fetch("DELETE FROM city.readings WHERE time < (SELECT min(time) + interval '30 min' FROM city.readings)")
    )
    before = in_thread(city.fetch("SELECT * FROM city.windows_1m WHERE special IS NULL ORDER BY 1, 2"))
    report = run_recompute(city, "--from", "2023-11-14", "--to", "2023-11-18", "--device", "dev-0")
    assert report["1m"]["without_readings"] > 0
    assert in_thread(city.fetch("SELECT * FROM city.windows_1m WHERE special IS NULL ORDER BY 1, 2")) == before


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--from", "2023-11-14", "--to", "2023-11-13"), "--to must be later than --from"),
        (("--from", "yesterday", "--to", "2023-11-13"), "'yesterday' does not match"),
    ],
)
def test_a_wrong_period_is_refused_in_one_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    result = CliRunner().invoke(process, ["recompute", *arguments])
    assert result.exit_code == 2
    assert sentence in result.output
