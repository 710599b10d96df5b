"""A publisher that costs next to nothing: MQTT 3.1.1, QoS 1, packets made before the clock runs, sent over plain sockets.

`python -m tests.benchmarks.pump --port P --root R --readings 1|20 --first N --messages M [--rate R]` prints "ready" when its
packets are made, waits for a line on stdin, sends over CONNECTIONS connections with at most WINDOW messages unacknowledged
on each, and prints one JSON line when the broker has acknowledged all. paho as publisher was rejected: it costs more CPU than the
gateway that is measured. One connection was rejected: Mosquitto takes 4 KiB of each connection and then writes to disk, so that
one gave 8,000 durable messages a second where 32, as a fleet has them, gave 20,000 (both on a busy machine).
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import selectors
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from tests.benchmarks.payloads import DEVICES, PACKS, SINGLES, Load

CONNECTIONS = 32
WINDOW = 32
"""Messages of one connection without a PUBACK; a thousand in all."""
_NAP_S = 0.001
"""At full speed: how long answers gather before they are read."""
_PUBACK_BYTES = 4
_BUDGET_S = 300.0
_CONNECT = bytes.fromhex("10140004") + b"MQTT" + bytes.fromhex("04020e100008")


def packets(load: Load, root: str, first: int, messages: int) -> list[bytes]:
    """PUBLISH packets, QoS 1; an id is in use again after 60,000 others, far more than the window."""
    return [
        packet(topic.encode(), payload, number % 60_000 + 1)
        for number, topic, payload in load.messages(root, messages, first)
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


class Line:
    """One connection of the fleet: the packets it still has to send, and how many are sent and acknowledged."""

    def __init__(self, port: int, number: int, made: Sequence[bytes]) -> None:
        self.made, self.sent, self.answered_bytes = made, 0, 0
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.sendall(_CONNECT + f"pump{number:04}".encode())
        if len(self.socket.recv(_PUBACK_BYTES)) != _PUBACK_BYTES:
            raise ConnectionError("the broker refused the publisher")
        self.socket.settimeout(_BUDGET_S)

    @property
    def open(self) -> int:
        """Messages sent and not acknowledged."""
        return self.sent - self.answered_bytes // _PUBACK_BYTES

    def send(self, due: int) -> None:
        """Send up to what is due as far as the window lets it."""
        until = min(due, self.sent + WINDOW - self.open, len(self.made))
        if until > self.sent:
            self.socket.sendall(b"".join(self.made[self.sent : until]))
            self.sent = until

    def take(self) -> None:
        """Read PUBACKs: 4 bytes each in MQTT 3.1.1."""
        data = self.socket.recv(65536)
        if not data:
            raise ConnectionError("the broker closed the connection")
        self.answered_bytes += len(data)

    @property
    def done(self) -> bool:
        """Everything is acknowledged."""
        return self.sent == len(self.made) and self.open == 0


def send(port: int, made: Sequence[bytes], rate: float = 0.0) -> float:
    """Send all over CONNECTIONS, at most `rate` a second (0: as fast as acknowledged); wall-clock seconds of the last PUBACK."""
    lines = [Line(port, number, made[number::CONNECTIONS]) for number in range(CONNECTIONS)]
    selector = selectors.DefaultSelector()
    for line in lines:
        selector.register(line.socket, selectors.EVENT_READ, line)
    began = time.monotonic()
    working = list(lines)
    while working:
        due = int((time.monotonic() - began) * rate / CONNECTIONS) + 1 if rate else len(made)
        due = min(due, min(line.sent for line in working) + 2 * WINDOW)
        for line in working:
            line.send(due)
        if not rate:
            time.sleep(_NAP_S)
        answers = selector.select(0.002 if rate else _BUDGET_S)
        if not answers and not rate:
            raise TimeoutError(f"no PUBACK within {_BUDGET_S:.0f} s")
        for key, _ in answers:
            key.data.take()
        working = [line for line in working if not line.done]
    ended_s = time.time()
    for line in lines:
        line.socket.close()
    return ended_s


class Pump:
    """The publisher as a process of its own; `start` lets it go."""

    def __init__(self, port: int, root: str, load: Load, first: int, messages: int, *, rate: float = 0.0) -> None:
        arguments = {
            "--port": port, "--root": root, "--readings": load.readings, "--first": first, "--messages": messages,
            "--rate": rate, "--devices": load.devices,
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
    parser.add_argument("--devices", type=int, default=DEVICES)
    parser.add_argument("--rate", type=float, default=0.0)
    options = parser.parse_args(arguments)
    load = dataclasses.replace(SINGLES if options.readings == 1 else PACKS, devices=options.devices)
    made = packets(load, options.root, options.first, options.messages)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.readline()
    cpu_s = time.process_time()
    ended_s = send(options.port, made, options.rate)
    sys.stdout.write(json.dumps({"ended_s": ended_s, "cpu_s": time.process_time() - cpu_s}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
