"""The commands as they are typed: `citynerve devices ...` and `citynerve control run`."""

import asyncio
import json
import os
import signal
import socket
import sys
from pathlib import Path

import asyncpg
import httpx
import pytest
from click.testing import CliRunner, Result

from control_center.commands import control, devices
from ingest.contract.operating import UserError
from tests.control_center.conftest import until

Database = asyncpg.Connection  # generic only in the stubs


@pytest.fixture
def cli(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> CliRunner:
    monkeypatch.setenv("CITYNERVE_DATABASE__DSN", database)
    monkeypatch.delenv("CITYNERVE_CONFIG", raising=False)
    monkeypatch.chdir(tmp_path)
    return CliRunner()


def run(cli: CliRunner, *arguments: str) -> Result:
    result = cli.invoke(devices, list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_devices_are_imported_updated_listed_and_exported(cli: CliRunner, tmp_path: Path) -> None:
    file = tmp_path / "devices.csv"
    file.write_text(
        "device,name,kind,district,latitude,longitude,expected_interval_s\na,=1+1,noise,Hải Châu,16,108,60\nb,,,,,,\n"
    )
    assert json.loads(run(cli, "import", str(file), "--json").output) == {"created": 2, "updated": 0}
    file.write_text("device,district\na,Sơn Trà\nc,\n")
    assert run(cli, "import", str(file)).output == "1 devices created, 1 updated\n"
    rows = [json.loads(line) for line in run(cli, "list", "--json").output.splitlines()]
    assert [(row["device"], row["name"], row["district"], row["kind"]) for row in rows] == [
        ("a", "=1+1", "Sơn Trà", "noise"), ("b", "", "", "unknown"), ("c", "", "", "unknown"),
    ]  # fmt: skip
    exported = tmp_path / "out.csv"
    run(cli, "export", "--output", str(exported))
    assert "'=1+1" in exported.read_text()
    before = run(cli, "list", "--json").output
    assert run(cli, "import", str(exported)).output == "0 devices created, 3 updated\n"
    assert run(cli, "list", "--json").output == before
    assert "3 devices" in run(cli, "list").output


def test_devices_whose_clock_is_wrong_are_named_with_their_offset(
    cli: CliRunner, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CITYNERVE_CITY__TIME_ZONE", "Asia/Ho_Chi_Minh")
    assert run(cli, "clocks").output == "0 devices whose clock is wrong\n"

    async def refused() -> None:
        connection = await asyncpg.connect(database)
        await connection.execute(
            "INSERT INTO city.dead_letters (gateway, epoch, partition, seq, ordinal, received, reason, detail, mqtt_topic, "
            "payload, readings) "
            "SELECT 'gw-1', 1, 0, 0, 0, now(), 'in_future', '\"air-7\" pm2_5: 7.5 at ' || "
            "((extract(epoch FROM now()) + 25200) * 1e6)::bigint || ' us', 'x', '', 3"
        )
        await connection.close()

    asyncio.run(refused())
    named = run(cli, "clocks")
    assert named.exit_code == 1
    assert named.output.startswith(
        "air-7: Its clock is about +7 h 00 min off: looks like local time sent as UTC. 3 readings, 0 stored, last "
    )
    assert json.loads(run(cli, "clocks", "--json").output)["guess"] == "local_as_utc"


def test_one_mistake_and_nothing_is_imported(cli: CliRunner, tmp_path: Path) -> None:
    file = tmp_path / "devices.csv"
    file.write_text("device,latitude,longitude\na,1,1\nb,95,1\n")
    with pytest.raises(UserError, match=r"line 3: latitude '95'.*") as caught:
        run(cli, "import", str(file))
    assert caught.value.exit_code == 2
    assert "0 devices" in run(cli, "list").output


def test_a_file_that_is_not_utf8_is_named(cli: CliRunner, tmp_path: Path) -> None:
    file = tmp_path / "devices.csv"
    file.write_bytes(b"device,name\na,C\xe2u\n")
    with pytest.raises(UserError, match="not UTF-8"):
        run(cli, "import", str(file))
    assert run(cli, "import", str(tmp_path / "none.csv")).exit_code == 2


def test_a_database_that_is_away_is_one_sentence(cli: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITYNERVE_DATABASE__DSN", "postgresql://nobody@127.0.0.1:1/x")
    with pytest.raises(UserError, match="the database does not answer") as caught:
        run(cli, "list")
    assert caught.value.exit_code == 1
    assert "\n" not in str(caught.value)


def test_an_unmigrated_database_says_which_command_helps(empty_database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITYNERVE_DATABASE__DSN", empty_database)
    with pytest.raises(UserError, match="citynerve migrate"):
        run(CliRunner(), "list")


def test_wrong_settings_and_wrong_rules_start_nothing(
    cli: CliRunner, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CITYNERVE_CONTROL__HTTP_PORT", "x")
    monkeypatch.setenv("CITYNERVE_KAFKA__PARTITIONS", "0")
    with pytest.raises(UserError, match=r"(?s)\[control\] http_port.*\[kafka\] partitions"):
        cli.invoke(control, ["run"], catch_exceptions=False)
    monkeypatch.delenv("CITYNERVE_KAFKA__PARTITIONS")
    monkeypatch.setenv("CITYNERVE_CONTROL__HTTP_PORT", "0")
    monkeypatch.setenv("CITYNERVE_CONTROL__RULES_FILE", str(tmp_path / "none.toml"))
    with pytest.raises(UserError, match="cannot read the rules file"):
        cli.invoke(control, ["run"], catch_exceptions=False)


async def test_the_service_runs_says_why_it_is_not_ready_and_stops_on_sigterm() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "CITYNERVE_DATABASE__DSN": "postgresql://nobody@127.0.0.1:1/x",
        "CITYNERVE_KAFKA__BOOTSTRAP": "127.0.0.1:1",
        "CITYNERVE_KAFKA__REQUEST_TIMEOUT_MS": "1000",
        "CITYNERVE_CONTROL__HTTP_PORT": str(port),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "control_center", env=environment, stderr=asyncio.subprocess.PIPE
    )
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", trust_env=False) as client:

        async def answers() -> bool:
            try:
                return (await client.get("/healthz")).status_code == 200
            except httpx.HTTPError:
                return False

        async def says_why() -> bool:
            reasons = " ".join((await client.get("/readyz")).json()["reasons"])
            return "the database does not answer" in reasons and "cannot follow city.readings.v1" in reasons

        await until(answers)
        await until(says_why)
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/api/v1/devices")).json()["error"]["code"] == "database_away"
        stream = await client.send(client.build_request("GET", "/api/v1/stream"), stream=True)
        process.send_signal(signal.SIGTERM)
        _, log = await asyncio.wait_for(process.communicate(), 15)
        await stream.aclose()
    assert process.returncode == 0
    lines = [json.loads(line) for line in log.decode().splitlines()]
    assert not any("exception" in line for line in lines)


async def test_a_taken_port_is_one_sentence() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        environment = os.environ | {"CITYNERVE_CONTROL__HTTP_PORT": str(taken.getsockname()[1])}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "deploy.cli", "control", "run", env=environment, stderr=asyncio.subprocess.PIPE
        )
        _, log = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 2
    assert "Address already in use; set another http_port" in log.decode().splitlines()[-1]
    assert "Traceback" not in log.decode()
