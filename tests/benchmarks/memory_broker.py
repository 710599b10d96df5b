"""A Mosquitto that keeps nothing on disk, beside the stack's: shows what the durable acknowledgements cost."""

from __future__ import annotations

import contextlib
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploy.local.places import REPOSITORY
from deploy.local.readiness import mqtt
from deploy.local.stack import LocalStack
from tests.ingest.gateway_process import eventually, free_port

_DURABLE = ("plugin ", "plugin_opt_")


@contextlib.contextmanager
def memory_broker(stack: LocalStack) -> Iterator[tuple[int, int]]:
    """Its port and its process id. The stack's own configuration less the plugin that writes to disk."""
    template = (REPOSITORY / "deploy/mosquitto/local.conf").read_text(encoding="utf-8")
    port = free_port()
    kept = [line for line in template.splitlines() if not line.startswith(_DURABLE)]
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "memory.conf"
        config.write_text("\n".join(kept).replace("$mqtt_port", str(port)) + "\n", encoding="utf-8")
        Path(folder).chmod(0o755)
        program = str(stack.programs.mosquitto / "usr/sbin/mosquitto")
        with (Path(folder) / "log").open("wb") as log:
            process = subprocess.Popen([program, "-c", str(config)], stdout=log, stderr=log)
        try:
            eventually(lambda: mqtt(port) is None, 10, "the broker in memory mode answers")
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(10)
