"""Every PromQL query of every dashboard, on a real Prometheus that scrapes what our services really register."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest

from deploy.local.stack import LocalStack
from tests.ops.grafana import NAMES, expand_promql, queries
from tests.ops.registered_metrics import registries, touch

SCRAPES_NEEDED = 8
READY_BUDGET_S = 60.0
CONFIG = """
global: {scrape_interval: 1s}
scrape_configs:
"""
JOB = """  - {{job_name: {job}, metrics_path: /{job}, static_configs: [{{targets: ["127.0.0.1:{port}"]}}]}}
"""
_LEGEND = re.compile(r"\{\{(\w+)\}\}")


class _Exposition(BaseHTTPRequestHandler):
    """One path for each job; every scrape finds every counter moved."""

    def __init__(self, made: dict[str, CollectorRegistry], *arguments: Any) -> None:
        self.made = made
        super().__init__(*arguments)

    def do_GET(self) -> None:
        registry = self.made[self.path.strip("/")]
        touch(registry)
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
        self.end_headers()
        self.wfile.write(generate_latest(registry))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002, ARG002 - the base class names them; quiet
        return


@pytest.fixture(scope="module")
def prometheus(stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of a Prometheus that has scraped the three services' registries a few times."""
    made = registries()
    folder = tmp_path_factory.mktemp("prometheus")
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Exposition, made))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    jobs = "".join(JOB.format(job=job, port=server.server_address[1]) for job in made)
    (folder / "prometheus.yml").write_text(CONFIG + jobs, encoding="utf-8")
    port = _free_port()
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(_command(stack, folder, port), stdout=log, stderr=log)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait_for_scrapes(address, len(made))
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)
        server.shutdown()
        server.server_close()


def _command(stack: LocalStack, folder: Path, port: int) -> list[str]:
    return [
        str(stack.tool("prometheus")), f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn",
    ]  # fmt: skip


def _free_port() -> int:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as probe:
        return int(probe.server_address[1])


def _wait_for_scrapes(address: str, jobs: int) -> None:
    deadline = time.monotonic() + READY_BUDGET_S
    while time.monotonic() < deadline:
        try:
            answer = httpx.get(
                f"{address}/api/v1/query", params={"query": f"count_over_time(up[1m]) >= {SCRAPES_NEEDED}"}, timeout=5
            )
            if answer.status_code == 200 and len(answer.json()["data"]["result"]) == jobs:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.25)
    pytest.fail(f"Prometheus did not scrape {SCRAPES_NEEDED} times within {READY_BUDGET_S} s")


@pytest.mark.parametrize("board", NAMES)
def test_every_promql_query_runs_and_answers(prometheus: str, board: str) -> None:
    asked = [query for query in queries(board) if query.kind == "promql"]
    assert asked
    now = time.time()
    with httpx.Client(base_url=prometheus, timeout=10) as client:
        for query in asked:
            given: dict[str, str | float] = {"query": expand_promql(query.text)}
            if query.series:
                answer = client.get("/api/v1/query_range", params=given | {"start": now - 5, "end": now, "step": 1})
            else:
                answer = client.get("/api/v1/query", params=given)
            body = answer.json()
            assert body["status"] == "success", f"{query}: {body}"
            assert body["data"]["result"], f"{query} answers nothing: {query.text}"
            wanted = set(_LEGEND.findall(query.legend))
            for series in body["data"]["result"]:
                assert wanted <= set(series["metric"]), (
                    f"{query}: the legend {query.legend!r} names a label the series has not"
                )
