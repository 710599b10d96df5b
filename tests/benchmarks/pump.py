"""A publisher that costs next to nothing: MQTT 3.1.1, QoS 1, packets made before the clock runs, sent over one plain socket.

`python -m tests.benchmarks.pump --port P --root R --readings 1|20 --first N --messages M [--rate R]` prints "ready" when its
packets are made, waits for a line on stdin, sends with at most WINDOW messages unacknowledged, and prints one JSON line when
the broker has acknowledged all. paho as publisher was rejected: it costs more CPU than the gateway that is measured.
"""

from __future__ import annotations

import argparse
import json
import select
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from tests.benchmarks.payloads import PACKS, SINGLES, Load

WINDOW = 1000
"""Messages without a PUBACK; a thousand devices with one each."""
_CHUNK = 200
_PUBACK_BYTES = 4
_BUDGET_S = 300.0
_CONNECT = bytes.fromhex("10140004") + b"MQTT" + bytes.fromhex("04020e100008")


def packets(load: Load, root: str, first: int, messages: int) -> list[bytes]:
    """PUBLISH packets, QoS 1; an id is in use again after 60,000 others, far more than the window."""
    return [
        packet(topic.encode(), payload, number % 60_000 + 1)
        for number, topic, payload in load.messages(root, first + messages)
        if number >= first
    ]


def packet(topic: bytes, payload: bytes, packet_id: int) -> bytes:
    """One PUBLISH packet (MQTT 3.1.1, section 3.3)."""
    left = 2 + len(topic) + 2 + len(payload)
    head = bytearray([0x32])
    while left > 127:
        head.append(left & 127 | 128)
        left >>= 7
    head.append(left)
    return bytes(head) + len(topic).to_bytes(2, "big") + topic + packet_id.to_bytes(2, "big") + payload


def send(port: int, client: str, made: Sequence[bytes], rate: float = 0.0) -> float:
    """Send all, at most `rate` a second (0: as fast as acknowledged); wall-clock seconds when the last PUBACK came."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as line:
        line.sendall(_CONNECT + client.encode())
        expect(line, 4)
        line.settimeout(_BUDGET_S)
        line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sent = answered = 0
        began = time.monotonic()
        while sent < len(made):
            due = len(made) if not rate else min(len(made), int((time.monotonic() - began) * rate) + 1)
            until = min(due, sent + _CHUNK, answered // _PUBACK_BYTES + WINDOW)
            if until > sent:
                line.sendall(b"".join(made[sent:until]))
                sent = until
            full = sent >= answered // _PUBACK_BYTES + WINDOW
            if select.select([line], [], [], _BUDGET_S if full else 0.002 if sent >= due else 0)[0]:
                answered += len(expect(line))
        while answered < _PUBACK_BYTES * len(made):
            answered += len(expect(line))
        return time.time()


def expect(line: socket.socket, count: int = 65536) -> bytes:
    """Bytes of the broker; ConnectionError where it has hung up."""
    data = line.recv(count)
    if not data:
        raise ConnectionError("the broker closed the connection")
    return data


class Pump:
    """The publisher as a process of its own; `start` lets it go."""

    def __init__(self, port: int, root: str, load: Load, first: int, messages: int, *, rate: float = 0.0) -> None:
        arguments = {
            "--port": port, "--root": root, "--readings": load.readings, "--first": first, "--messages": messages,
            "--rate": rate,
        }  # fmt: skip
        given = [str(word) for pair in arguments.items() for word in pair]
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.benchmarks.pump", *given], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == b"ready\n", "the publisher did not get ready"

    def start(self) -> float:
        """Let it send; wall-clock seconds of that moment."""
        assert self.process.stdin is not None
        began = time.time()
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()
        return began

    def end(self) -> dict[str, float]:
        """Wait until all is acknowledged: `ended_s`, the wall clock at the last PUBACK; `cpu_s`, CPU seconds of sending."""
        output, _ = self.process.communicate(timeout=_BUDGET_S)
        assert self.process.returncode == 0, "the publisher failed"
        found: dict[str, float] = json.loads(output)
        return found

    def kill(self) -> None:
        """After trouble."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate(timeout=10)


def main(arguments: list[str]) -> None:
    """Make the packets, wait for a line, send."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True)
    for name in ("--port", "--readings", "--first", "--messages"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--rate", type=float, default=0.0)
    options = parser.parse_args(arguments)
    load = SINGLES if options.readings == 1 else PACKS
    made = packets(load, options.root, options.first, options.messages)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    cpu_s = time.process_time()
    ended_s = send(options.port, f"pump{options.first % 10_000:04}", made, options.rate)
    sys.stdout.write(json.dumps({"ended_s": ended_s, "cpu_s": time.process_time() - cpu_s}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
