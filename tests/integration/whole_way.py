"""The whole way in processes of its own: simulator -> Mosquitto -> ingest -> Kafka -> processor -> TimescaleDB, on the shared servers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from deploy.local.stack import LocalStack
from tests.conftest import in_thread
from tests.ingest.gateway_process import GatewayProcess, eventually

CENTURY_S = 100 * 365 * 86_400
CLOSING_DEVICES = 24
"""Enough devices that each partition has one: their last reading moves every watermark past the recording's end."""


@dataclass
class WholeWay:
    """One test's own city: topics, database, gateway and processors; `time_zone` is the city's."""

    stack: LocalStack
    root: str
    prefix: str
    dsn: str
    folder: Path
    time_zone: str = "UTC"
    max_age_s: int = CENTURY_S
    processors: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.gateway = GatewayProcess(
            self.root, self.prefix, self.stack.mqtt_port, self.stack.kafka_bootstrap, self.folder / "gateway",
            {"max_age_s": self.max_age_s, "extra_routes": [
                {"topic": f"{self.root}/city/senml/+", "format": "senml-json", "profile": "canonical"},
                {"topic": f"{self.root}/city/json/+", "format": "plain-json", "profile": "canonical"},
            ]},
        )  # fmt: skip

    def start(self) -> None:
        """A gateway and a processor."""
        self.gateway.start()
        self.start_processor("p1")

    @property
    def environment(self) -> dict[str, str]:
        """Settings of everything but the gateway."""
        return os.environ | {
            "CITYNERVE_MQTT__PORT": str(self.stack.mqtt_port),
            "CITYNERVE_KAFKA__BOOTSTRAP": self.stack.kafka_bootstrap,
            "CITYNERVE_KAFKA__TOPIC_PREFIX": self.prefix,
            "CITYNERVE_DATABASE__DSN": self.dsn,
            "CITYNERVE_CITY__TIME_ZONE": self.time_zone,
            "CITYNERVE_PROCESSORS__HTTP_PORT": "0",
            "CITYNERVE_PROCESSORS__SESSION_TIMEOUT_MS": "6000",
        }

    def start_processor(self, name: str) -> None:
        """`citynerve process run` as one more member of the group."""
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processors[name] = subprocess.Popen(
                [sys.executable, "-m", "processors"], stdout=log, stderr=log,
                env=self.environment | {"CITYNERVE_PROCESSORS__NAME": name},
            )  # fmt: skip

    def kill_processor(self, name: str) -> None:
        """kill -9."""
        process = self.processors.pop(name)
        process.kill()
        process.wait(10)

    def stop(self) -> None:
        """SIGTERM to all; each must end well and within its budget."""
        for process in self.processors.values():
            process.send_signal(signal.SIGTERM)
        codes = {name: process.wait(30) for name, process in self.processors.items()}
        assert set(codes.values()) <= {0}, f"a processor did not end well: {codes}"
        assert self.gateway.stop(30) == 0

    def clean_up(self) -> None:
        """End whatever still runs, after a failed test."""
        for process in self.processors.values():
            if process.poll() is None:
                process.kill()
                process.wait(10)
        if self.gateway.process is not None and self.gateway.process.poll() is None:
            self.gateway.kill()

    def simulate(self, *arguments: str) -> subprocess.Popen[str]:
        """`citynerve simulate ...` in the background."""
        return subprocess.Popen(
            [sys.executable, "-m", "deploy.cli", "simulate", *arguments],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=self.environment,
        )  # fmt: skip

    def finished(self, process: subprocess.Popen[str], budget_s: float = 180) -> str:
        """Its output; it must have ended with 0."""
        output, _ = process.communicate(timeout=budget_s)
        assert process.returncode == 0, output[-3000:]
        return output

    def replay(self, csv: Path, *arguments: str, ledger: str = "replay.ledger") -> None:
        """Replay a recording at full speed and wait until every reading of it has its place."""
        self.finished(
            self.simulate(
                "replay", "--csv", str(csv), "--topic-root", self.city_root, "--speed", "max",
                "--ledger", str(self.folder / ledger), *arguments,
            )
        )  # fmt: skip
        score = self.score(ledger)
        assert (score["lost"], score["doubled"], score["wrong"]) == (0, 0, 0), score

    @property
    def city_root(self) -> str:
        """Prefix that puts the simulators' topics (city/..., application/...) under this test's routes."""
        return f"{self.root}/"

    def score(self, ledger: str = "replay.ledger", wait: str = "60s") -> dict[str, Any]:
        """`citynerve simulate score`: its numbers, after waiting for what is on its way."""
        process = self.simulate("score", "--ledger", str(self.folder / ledger), "--wait", wait, "--json")
        output, _ = process.communicate(timeout=180)
        result: dict[str, Any] = json.loads(output.strip().splitlines()[-1])
        return result

    def close_windows(self, iso_time: str) -> None:
        """Let one reading of each of many devices, long after the recording, close all its windows."""
        csv = self.folder / "closing.csv"
        rows = [f"{iso_time},closing-{number},1" for number in range(CLOSING_DEVICES)]
        csv.write_text("\n".join(["time,device,value", *rows]) + "\n")
        self.replay(
            csv, "--device-column", "device", "--time", "time", "--map", "value=people_in", ledger="closing.ledger"
        )
        self.settled()

    def settled(self, budget_s: float = 90) -> None:
        """Wait until nothing is in flight and all that was received has its place."""
        query = "SELECT coalesce(sum(in_flight), -1), coalesce(sum(received), 0) FROM city_view.ledger"
        last: list[tuple[Any, ...]] = []

        def calm() -> bool:
            last.append(tuple(self.fetch(query)[0]))
            return len(last) > 8 and last[-1][0] == 0 and len(set(last[-8:])) == 1

        ends = time.monotonic() + budget_s
        while not calm():
            assert time.monotonic() < ends, f"still in flight, received: {last[-1]}"
            time.sleep(0.25)

    def ledger(self) -> dict[str, int]:
        """The sums of the ledger over all gateways."""
        names = ["received", "stored", "duplicate", "dead_letter", "refused", "in_flight", "unaccounted"]
        row = self.fetch(
            f"SELECT {', '.join(f'sum({name})::bigint AS {name}' for name in names)} FROM city_view.ledger"
        )
        return {name: int(row[0][name] or 0) for name in names}

    def received(self, at_least: int, budget_s: float = 120) -> None:
        """Wait until so many readings have been committed."""
        query = "SELECT coalesce(sum(n_in), 0) >= $1 FROM city.offsets"
        eventually(lambda: bool(self.fetch(query, at_least)[0][0]), budget_s, f"{at_least} readings committed")

    def fetch(self, query: str, *arguments: object) -> list[asyncpg.Record]:
        """Ask the database."""

        async def ask() -> list[asyncpg.Record]:
            connection = await asyncpg.connect(self.dsn, timeout=10)
            try:
                async with asyncio.timeout(60):
                    return await connection.fetch(query, *arguments)
            finally:
                await connection.close(timeout=10)

        return in_thread(ask())

    def fingerprint(self) -> dict[str, str]:
        """A digest of every row of readings and windows."""
        tables = ("readings", "windows_1m", "windows_15m", "windows_1h", "windows_1d")
        query = "SELECT count(*) || ':' || coalesce(md5(string_agg(t::text, '' ORDER BY t::text)), '') FROM city.{} t"
        return {table: str(self.fetch(query.format(table))[0][0]) for table in tables}

    def windows(self, size: str, device: str, metric: str) -> dict[str, dict[str, Any]]:
        """Window rows of one series by the ISO text of their start (UTC)."""
        rows = self.fetch(
            f"SELECT * FROM city_view.windows_{size} WHERE device = $1 AND metric = $2 ORDER BY time", device, metric
        )
        return {row["time"].strftime("%Y-%m-%dT%H:%M:%SZ"): dict(row) for row in rows}
