"""What a soak looks at every few seconds: memory of every part, its queues, what is sent and what is committed."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import httpx
import psutil

_MIB = 1 << 20


@dataclass(frozen=True)
class Memory:
    """MiB of a process with its children: RSS, and PSS, which counts a shared page once in all."""

    rss: float
    pss: float


@dataclass(frozen=True)
class Sample:
    """One look. `packs`: sent so far; `open`: of those the broker has not acknowledged; `stored`: readings committed."""

    at_s: float
    memory: Mapping[str, Memory]
    packs: int
    open: int
    stored: int
    queues: Mapping[str, float]
    chunks: int
    disk_free_gib: float

    def as_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))


def memory_of(pids: Sequence[int]) -> Memory:
    """Of processes and all their children; those that end meanwhile count nothing."""
    roots = [psutil.Process(pid) for pid in pids]
    rss = pss = 0
    for process in roots + [child for root in roots for child in root.children(recursive=True)]:
        try:
            full = process.memory_full_info()
        except psutil.NoSuchProcess:
            continue
        rss += full.rss
        pss += full.pss
    return Memory(rss / _MIB, pss / _MIB)


def queues_of(ports: Mapping[str, int], wanted: Mapping[str, str]) -> dict[str, float]:
    """`wanted`: metric name -> part whose /metrics shows it. Samples of one name (labels) add up."""
    found = dict.fromkeys(wanted, 0.0)
    for part, port in ports.items():
        names = {name for name, of in wanted.items() if of == part}
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
            for line in answer.read().decode().splitlines():
                name = line.partition(" ")[0].partition("{")[0]
                if name in names:
                    found[name] += float(line.rpartition(" ")[2])
    return found


class LiveCity:
    """`tests.benchmarks.live_pump` in a process of its own; `said` is its newest line."""

    def __init__(self, port: int, root: str, devices: int, packs_per_s: float) -> None:
        arguments = {"--port": port, "--root": root, "--devices": devices, "--rate": packs_per_s}
        self.said: dict[str, Any] = {"packs": 0, "open": 0, "done": False}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.live_pump", *(str(word) for pair in arguments.items() for word in pair)],
            stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said = json.loads(line)

    def stop(self) -> int:
        """Let it wait for its last acknowledgements; packs sent in all."""
        self.process.terminate()
        self.process.wait(150)
        self._reading.join(10)
        assert self.said["done"], "the publisher did not end well"
        return int(self.said["packs"])

    def kill(self) -> None:
        """After trouble."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait(10)


class Page:
    """A browser that keeps the live stream open; what comes is counted and thrown away. Left by `close`."""

    def __init__(self, port: int) -> None:
        self.bytes = 0
        self._url, self._over = f"http://127.0.0.1:{port}/api/v1/stream", threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with (
            contextlib.suppress(httpx.TransportError),
            httpx.stream("GET", self._url, timeout=60, trust_env=False) as answer,
        ):
            for chunk in answer.iter_raw():
                self.bytes += len(chunk)
                if self._over.is_set():
                    return

    def close(self) -> None:
        """Leave with the next event."""
        self._over.set()
        self._thread.join(10)
