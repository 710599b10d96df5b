"""A city that lives now: SenML packs of 20 readings made as they are sent, each series' moments unique and advancing.

`python -m tests.benchmarks.live_pump --port P --root R --devices D --rate M [--for S] [--turns T]` sends M packs a second (0: as fast
as they are acknowledged) for S seconds (0: until SIGTERM) or T turns, then waits until the broker has acknowledged all. With `--step S` a
turn is S seconds of event time after the turn before, and the last is now. It prints a JSON line a second:
`packs` sent, `open` of them not acknowledged, `cpu_s`, `done` in the last line. All devices speak in turn; a turn is a moment, half
way from the turn before lies the second moment of each pack. The first SWINGING devices report a temperature that passes
`HOT` every other minute, so that alarms come and go.
"""

from __future__ import annotations

import argparse
import json
import math
import selectors
import signal
import sys
import time
from collections.abc import Iterator
from itertools import islice

from tests.benchmarks.payloads import METRICS
from tests.benchmarks.pump import CONNECTIONS, WINDOW, Line, packet

READINGS = 20
SWINGING = 20
HOT = 45.0
_WAVES = 64
_SAY_S = 1.0
_DRAIN_S = 120.0


class City:
    """Endless PUBLISH packets of its devices."""

    def __init__(self, root: str, devices: int, *, turns: int = 0, step_s: float = 0.0) -> None:
        """`turns`: 0 for no end."""
        self._topic, self._devices, self._turns, self._step_us = (
            f"{root}/senml/gw".encode(),
            devices,
            turns,
            int(step_s * 1e6),
        )
        self._waves = [self._body(wave) for wave in range(_WAVES)]

    @property
    def packs(self) -> int | None:
        """How many there will be."""
        return self._turns * self._devices or None

    @staticmethod
    def _body(wave: int) -> bytes:
        """The records of a pack; the distance of the second moment is filled in each turn."""
        swing = math.sin(2 * math.pi * wave / _WAVES)
        records = [
            f'{{"n":"{metric}","v":{20 + 5 * swing + number + moment / 8:.3f},"t":{("0", "-BACK")[moment]}}}'
            for moment in (0, 1)
            for number, metric in enumerate(METRICS)
        ]
        return ",".join(records).encode()

    def packets(self) -> Iterator[bytes]:
        """One device after the other."""
        first_us = time.time_ns() // 1000 - self._step_us * max(0, self._turns - 1)
        before_us, number, turn = first_us - 1_000_000, 0, 0
        while not self._turns or turn < self._turns:
            now_us = first_us + turn * self._step_us if self._step_us else max(time.time_ns() // 1000, before_us + 2)
            back = b"%.6f" % ((now_us - before_us) // 2 / 1e6)
            hot = HOT + (5 if now_us // 60_000_000 % 2 else -10)
            bodies = [wave.replace(b"BACK", back) for wave in self._waves]
            for device in range(self._devices):
                body = bodies[(device + turn) % _WAVES]
                if device < SWINGING:
                    body = b'{"n":"%s","v":%.1f,"t":0}' % (METRICS[0].encode(), hot) + body[body.index(b"}") + 1 :]
                head = b'[{"bn":"urn:dev:city:dev-%d:","bt":%d.%06d,' % (device, *divmod(now_us, 1_000_000))
                yield packet(self._topic, head + body[1:] + b"]", number % 60_000 + 1)
                number += 1
            before_us, turn = now_us, turn + 1


class LiveLine(Line):
    """A connection of the fleet whose packets come one by one."""

    def __init__(self, port: int, number: int) -> None:
        super().__init__(port, number, ())

    def offer(self, made: Iterator[bytes], most: int) -> int:
        """Send up to `most` packets as far as the window lets it; how many."""
        count = min(most, WINDOW - self.open)
        if count > 0:
            packets = list(islice(made, count))
            self.socket.sendall(b"".join(packets))
            self.sent += len(packets)
            return len(packets)
        return 0


class Publisher:
    """Sends at a rate until it is told to stop."""

    def __init__(self, port: int, city: City, rate: float) -> None:
        self._lines = [LiveLine(port, number) for number in range(CONNECTIONS)]
        self._made, self._rate, self._packs = city.packets(), rate, city.packs
        self._selector = selectors.DefaultSelector()
        for line in self._lines:
            self._selector.register(line.socket, selectors.EVENT_READ, line)
        self.stopping = False

    @property
    def packs(self) -> int:
        """Sent so far."""
        return sum(line.sent for line in self._lines)

    def run(self, seconds: float) -> None:
        """Send, then wait for the last acknowledgements; a line a second meanwhile."""
        began = time.monotonic()
        said_at = began
        while not self.stopping and not (seconds and time.monotonic() - began >= seconds):
            self._turn(began)
            if time.monotonic() - said_at >= _SAY_S:
                said_at = time.monotonic()
                self.say()
        ends = time.monotonic() + _DRAIN_S
        while any(line.open for line in self._lines):
            if time.monotonic() > ends:
                raise TimeoutError(f"no PUBACK of the last packs within {_DRAIN_S:.0f} s")
            self._take(0.1)
        self.say(done=True)

    def _turn(self, began: float) -> None:
        due = int((time.monotonic() - began) * self._rate) + 1 - self.packs if self._rate else WINDOW * CONNECTIONS
        for line in self._lines:
            if due <= 0:
                break
            due -= line.offer(self._made, min(due, max(1, WINDOW // 4) if self._rate else WINDOW))
        self.stopping |= self.packs == self._packs
        self._take(0.005)

    def _take(self, timeout_s: float) -> None:
        for key, _ in self._selector.select(timeout_s):
            key.data.take()

    def say(self, *, done: bool = False) -> None:
        """One line."""
        unacknowledged = sum(line.open for line in self._lines)
        said = {"packs": self.packs, "open": unacknowledged, "cpu_s": time.process_time(), "done": done}
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()


def main(arguments: list[str]) -> None:
    """Send until the time is over or SIGTERM comes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--devices", type=int, required=True)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--for", type=float, default=0.0, dest="seconds")
    parser.add_argument("--turns", type=int, default=0)
    parser.add_argument("--step", type=float, default=0.0)
    options = parser.parse_args(arguments)
    city = City(options.root, options.devices, turns=options.turns, step_s=options.step)
    publisher = Publisher(options.port, city, options.rate)

    def stop(*_: object) -> None:
        publisher.stopping = True

    signal.signal(signal.SIGTERM, stop)
    publisher.run(options.seconds)


if __name__ == "__main__":
    main(sys.argv[1:])
