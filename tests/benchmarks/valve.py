"""A TCP proxy that is shut until opened: a gateway has started and is measured before its first message comes."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

CHUNK = 1 << 18


class Valve:
    """Connections are taken at once and joined to `target_port` when the valve opens."""

    def __init__(self, listener: socket.socket, target_port: int) -> None:
        self._listener, self._target_port = listener, target_port
        self._open = threading.Event()
        self.port = int(listener.getsockname()[1])

    def open(self) -> None:
        """Let everything through from now on."""
        self._open.set()

    def shut(self) -> None:
        """Hold connections made from now on."""
        self._open.clear()

    def serve(self) -> None:
        """Take connections until the listener is closed."""
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                threading.Thread(target=self._join, args=(near,), daemon=True).start()

    def _join(self, near: socket.socket) -> None:
        self._open.wait()
        far = socket.create_connection(("127.0.0.1", self._target_port), timeout=10)
        far.settimeout(None)
        for end in (near, far):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        threading.Thread(target=_pump, args=(far, near), daemon=True).start()
        _pump(near, far)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while chunk := source.recv(CHUNK):
            sink.sendall(chunk)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def valve(target_port: int) -> Iterator[Valve]:
    """A valve on a free port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        made = Valve(listener, target_port)
        threading.Thread(target=made.serve, daemon=True).start()
        yield made
        listener.shutdown(socket.SHUT_RDWR)
