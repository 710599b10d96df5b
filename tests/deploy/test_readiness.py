"""Readiness probes against servers that are absent, silent, wrong or right."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from deploy.local import postgresql, readiness


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that reads once and answers `answer` to each connection."""

    def serve() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(1024)
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                connection.recv(1024)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@contextmanager
def http_server(status: int, body: bytes) -> Iterator[int]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing on stderr."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join(5)


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.mark.parametrize(
    "probe", [readiness.mqtt, readiness.kafka, postgresql.select_one, lambda port: readiness.http(port, "/readyz")]
)
def test_nothing_listening_is_a_reason_that_names_the_port(
    probe: Callable[[int], str | None], closed_port: int
) -> None:
    assert str(closed_port) in (probe(closed_port) or "")


def test_a_broker_is_ready_only_when_it_accepts_a_connect() -> None:
    with answering(bytes.fromhex("20 03 00 00 00")) as port:
        assert readiness.mqtt(port) is None
    with answering(bytes.fromhex("20 03 00 87 00")) as port:
        assert "refused a connection" in (readiness.mqtt(port) or "")
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        assert readiness.mqtt(port) is not None


def test_kafka_is_ready_only_when_a_broker_is_listed() -> None:
    def metadata(brokers: int) -> bytes:
        body = struct.pack(">ii", 1, brokers) + b"\0" * 16
        return struct.pack(">i", len(body)) + body

    with answering(metadata(1)) as port:
        assert readiness.kafka(port) is None
    with answering(metadata(0)) as port:
        assert "has not joined" in (readiness.kafka(port) or "")
    with answering(b"") as port:
        assert readiness.kafka(port) is not None


def test_a_server_of_another_protocol_is_not_postgres() -> None:
    with answering(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port:
        assert "does not answer" in (postgresql.select_one(port) or "")


def test_a_services_own_reasons_are_passed_on() -> None:
    with http_server(503, b'{"ready": false, "reasons": ["no broker", "no database"]}') as port:
        said = readiness.http(port, "/readyz")
    assert said == f"http://127.0.0.1:{port}/readyz says 503 (no broker; no database)"


def test_http_200_is_ready_and_an_answer_without_reasons_is_told_by_its_code() -> None:
    with http_server(200, b"ok") as port:
        assert readiness.http(port, "/-/ready") is None
    with http_server(500, b"<html>") as port:
        assert (readiness.http(port, "/") or "").endswith("says 500")


def test_a_proxy_of_the_environment_is_not_asked_for_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9/")
    with http_server(200, b"ok") as port:
        assert readiness.http(port, "/") is None
