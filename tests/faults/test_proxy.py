"""The proxy does to a line what it says, and nothing else."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Iterator

import pytest

from deploy.chaos.answers import CommitAnswers, ProduceAnswers, PublishAnswers
from deploy.chaos.proxy import ProxyRoom, TcpProxy, Weather


@pytest.fixture
def echo() -> Iterator[int]:
    """A server that says what it hears; its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(line: socket.socket) -> None:
        with line:
            try:
                while data := line.recv(65536):
                    line.sendall(data)
            except OSError:
                return

    def accept() -> None:
        while True:
            try:
                line, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(line,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.fixture
def proxy(echo: int) -> Iterator[TcpProxy]:
    room = ProxyRoom()
    yield room.proxy("postgres", echo)
    room.close()


def connected(proxy: TcpProxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), 5)


def said(line: socket.socket, text: bytes) -> bytes:
    """What comes back, whole."""
    line.sendall(text)
    heard = b""
    while len(heard) < len(text):
        data = line.recv(65536)
        if not data:
            break
        heard += data
    return heard


def test_fair_weather_passes_every_byte(proxy: TcpProxy) -> None:
    text = bytes(range(256)) * 4000
    with connected(proxy) as line:
        sender = threading.Thread(target=line.sendall, args=(text,))
        sender.start()
        heard = b""
        while len(heard) < len(text):
            heard += line.recv(65536)
        sender.join(10)
    assert heard == text
    assert proxy.hurt == 0


def test_a_cut_resets_what_is_open_and_refuses_what_comes(proxy: TcpProxy) -> None:
    with connected(proxy) as line:
        assert said(line, b"hello") == b"hello"
        with proxy.under(Weather(cut=True)):
            with pytest.raises(ConnectionResetError):
                line.recv(1)
            with connected(proxy) as second, pytest.raises(ConnectionResetError):
                second.recv(1)
    assert proxy.hurt == 1
    with connected(proxy) as again:
        assert said(again, b"hello") == b"hello"


def test_a_black_hole_answers_nothing_and_ends_nothing(proxy: TcpProxy) -> None:
    with connected(proxy) as line:
        assert said(line, b"before") == b"before"
        with proxy.under(Weather(black_hole=True)):
            line.sendall(b"lost in it")
            line.settimeout(0.3)
            with pytest.raises(TimeoutError):
                line.recv(1)
        line.settimeout(5)
        assert line.recv(100) == b"lost in it"


def test_latency_delays_each_way(proxy: TcpProxy) -> None:
    with connected(proxy) as line, proxy.under(Weather(latency_s=0.2)):
        time.sleep(0.1)
        started_s = time.monotonic()
        assert said(line, b"hello") == b"hello"
        assert time.monotonic() - started_s >= 0.4


def test_a_reset_comes_in_the_middle_of_a_packet(proxy: TcpProxy) -> None:
    with connected(proxy) as line:
        assert said(line, b"short") == b"short"
        proxy.set(Weather(resets_left=1))
        time.sleep(0.1)
        line.sendall(b"0123456789" * 10)
        heard = 0
        with contextlib.suppress(ConnectionResetError):
            while data := line.recv(100):
                heard += len(data)
    assert heard < 100
    assert proxy.hurt == 1


def test_every_second_answer_to_a_commit_is_lost(proxy: TcpProxy) -> None:
    proxy.set(Weather(lose_every=2))
    time.sleep(0.1)
    with connected(proxy) as line:
        assert said(line, b"C COMMIT\x00") == b"C COMMIT\x00"
        with pytest.raises(ConnectionResetError):
            said(line, b"C COMMIT\x00")


def request(api_key: int, body: bytes) -> bytes:
    """A Kafka request: length, api key, the rest."""
    return struct.pack(">ih", 2 + len(body), api_key) + body


def test_a_produce_request_is_found_however_its_bytes_are_cut() -> None:
    stream = request(3, b"metadata") + request(0, bytes(100)) + request(1, b"fetch")
    for size in (1, 5, 7, 1000):
        watch = ProduceAnswers()
        for start in range(0, len(stream), size):
            watch.asked(stream[start : start + size])
        assert watch.answers(b"response")
        assert not watch.answers(b"response")


def test_other_requests_have_no_answer_to_lose() -> None:
    watch = ProduceAnswers()
    watch.asked(request(3, bytes(12)) + request(1, bytes(2)))
    assert not watch.answers(b"response")
    assert not CommitAnswers().answers(b"C\x00BEGIN\x00")
    assert PublishAnswers().answers(bytes([0x40, 2, 0, 1]))
    assert not PublishAnswers().answers(bytes([0xD0, 0]))
