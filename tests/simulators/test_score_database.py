"""`simulate score` against a real database: a stolen, a doubled and a changed row are found, a window that counts wrongly too."""

from __future__ import annotations

import json
from pathlib import Path

import asyncpg
import numpy as np
import pytest
from click.testing import CliRunner

from deploy.cli import main
from simulators.batch import Names, Rows, batch_of
from simulators.ledger import ACK, LedgerWriter, read
from tests.conftest import in_thread

START_US = 1_793_577_600_000_000
DEVICES, SAMPLES = 20, 100


def write_ledger(path: Path) -> None:
    """20 devices, 100 samples a minute apart, metric laeq; every tenth message says the value again."""
    names = Names()
    devices = names.codes([f"d{i}" for i in range(DEVICES)])
    device = np.repeat(devices, SAMPLES)
    time_us = np.tile(START_US + np.arange(SAMPLES) * 60_000_000, DEVICES)
    value = 50.0 + (np.arange(len(device)) % 97) / 10
    again = np.arange(0, len(device), 10)
    order = np.concatenate([np.arange(len(device)), again])
    device, time_us, value, n = device[order], time_us[order], value[order], len(order)
    rows = Rows(device, np.full(n, names.code("laeq"), np.int32), time_us, value, np.zeros(n, np.uint8))
    payloads = [f"{d} {t}".encode() for d, t in zip(device.tolist(), time_us.tolist(), strict=True)]
    with LedgerWriter(path, names, {"started_us": START_US}, fsync_every_s=1) as ledger:
        numbers = ledger.about_to_send(batch_of(time_us, ["t"] * n, payloads, np.ones(n, np.int64), rows), 0)
        acks = np.zeros(n, ACK)
        acks["number"] = numbers
        ledger.answered(acks, 0.0)


async def store(dsn: str, path: Path) -> None:
    """What a faultless pipeline would have stored."""
    ledger = read(path)
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(
            "INSERT INTO city.devices (device) SELECT 'd' || i FROM generate_series(0, $1::int - 1) i", DEVICES
        )
        await connection.execute(
            "INSERT INTO city.series (device_id, metric, unit, interval_s, partition) "
            "SELECT device_id, 'laeq', 'dB', 60, 0 FROM city.devices"
        )
        await connection.executemany(
            "INSERT INTO city.readings SELECT series_id, timestamptz 'epoch' + $2 * interval '1 us', $3 FROM city_view.series "
            "WHERE device = $1 ON CONFLICT DO NOTHING",
            [(ledger.names[row["device"]], float(row["time_us"]), float(row["value"])) for row in ledger.rows],
        )
        for size in ("1m", "15m", "1h"):
            step = {"1m": "1 minute", "15m": "15 minutes", "1h": "1 hour"}[size]
            await connection.execute(
                f"INSERT INTO city.windows_{size} (series_id, start, count, mean, min, max, std, first, last, p50, p95, p99, expected, "
                "valid, late, flagged, first_time, last_time, sketch) "
                f"SELECT series_id, time_bucket('{step}', time), count(*), 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, "
                "count(*), 0, 0, min(time), max(time), '' FROM city.readings GROUP BY 1, 2"
            )
    finally:
        await connection.close()


async def execute(dsn: str, *statements: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture
def scored(database: str, tmp_path: Path) -> tuple[str, Path]:
    path = tmp_path / "ledger"
    write_ledger(path)
    in_thread(store(database, path))
    return database, path


def score(scored: tuple[str, Path], *, exit_code: int) -> dict[str, object]:
    result = CliRunner().invoke(main, ["simulate", "score", "--ledger", str(scored[1]), "--dsn", scored[0], "--json"])
    assert result.exit_code == exit_code, result.output
    found: dict[str, object] = json.loads(result.stdout)
    return found


def test_a_faithful_database_scores_clean(scored: tuple[str, Path]) -> None:
    found = score(scored, exit_code=0)
    assert {found[name] for name in ("lost", "doubled", "wrong", "extra")} == {0}
    assert (found["acked"], found["distinct"], found["repeated"], found["stored"]) == (2200, 2000, 200, 2000)


def test_a_stolen_row_is_lost(scored: tuple[str, Path]) -> None:
    in_thread(execute(scored[0], "DELETE FROM city.readings WHERE series_id = 3 AND time = '2026-11-02 01:07Z'"))
    found = score(scored, exit_code=1)
    assert found["lost"] == 1
    assert found["doubled"] == 3  # the windows of 1m, 15m and 1h count a row that is not there


def test_a_doubled_row_is_found(scored: tuple[str, Path]) -> None:
    in_thread(
        execute(
            scored[0],
            "ALTER TABLE city.readings DROP CONSTRAINT readings_pkey",
            "INSERT INTO city.readings SELECT * FROM city.readings WHERE series_id = 5 AND time = '2026-11-02 00:30Z'",
        )
    )
    assert score(scored, exit_code=1)["doubled"] == 1


def test_a_changed_row_is_wrong(scored: tuple[str, Path]) -> None:
    in_thread(
        execute(
            scored[0], "UPDATE city.readings SET value = value + 0.1 WHERE series_id = 7 AND time = '2026-11-02 00:01Z'"
        )
    )
    found = score(scored, exit_code=1)
    assert (found["lost"], found["doubled"], found["wrong"]) == (0, 0, 1)


def test_a_window_that_counts_a_reading_twice_is_doubled(scored: tuple[str, Path]) -> None:
    in_thread(
        execute(
            scored[0],
            "UPDATE city.windows_15m SET count = 16, valid = 16 WHERE series_id = 2 AND start = '2026-11-02 00:15Z'",
        )
    )
    assert score(scored, exit_code=1)["doubled"] == 1


def test_a_database_that_is_not_there_is_named(tmp_path: Path) -> None:
    write_ledger(tmp_path / "l")
    nowhere = "postgresql://citynerve@127.0.0.1:1/x"
    result = CliRunner().invoke(main, ["simulate", "score", "--ledger", str(tmp_path / "l"), "--dsn", nowhere])
    assert result.exit_code == 1
    assert "cannot reach the database" in result.output
    assert "Traceback" not in result.output
