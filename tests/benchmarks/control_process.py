"""`citynerve control run` as a process of its own, on a free port."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx

from tests.ingest.gateway_process import eventually, free_port


@contextlib.contextmanager
def control_center(environment: Mapping[str, str], rules: str | None = None) -> Iterator[str]:
    """Its address as soon as it is ready. `environment`: where Kafka and the database are; `rules`: the text of a rules file."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        own: dict[str, object] = {"HTTP_PORT": port, "ALERTMANAGER_URL": "", "PROMETHEUS_URL": ""}
        if rules is not None:
            (Path(folder) / "rules.toml").write_text(rules, encoding="utf-8")
            own["RULES_FILE"] = Path(folder) / "rules.toml"
        settings = {f"CITYNERVE_CONTROL__{name}": str(value) for name, value in own.items()}
        log = Path(folder) / "log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", "control_center"], env=os.environ | environment | settings, stdout=file, stderr=file
            )  # fmt: skip
        url = f"http://127.0.0.1:{port}"
        try:
            eventually(lambda: _ready(url), 60, "the control center is ready")
            yield url
        finally:
            process.terminate()
            process.wait(20)


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False
