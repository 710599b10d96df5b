"""Ports: defaults, contradictions, and the sentence about one that is taken."""

import os
import socket
from collections.abc import Iterator

import pytest

from deploy.local.ports import Ports, check_free, default_ports, is_free
from deploy.local.settings import load_ports
from deploy.local.trouble import Trouble
from ingest.contract.operating import UserError


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that this process listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_demo_and_test_stacks_share_no_port() -> None:
    demo, test = default_ports("demo"), default_ports("test")
    assert demo["postgres_port"] == 25432
    assert test["postgres_port"] == 15432
    assert not set(demo.values()) & set(test.values())


def test_a_taken_port_is_named_with_its_owner_and_the_setting(taken: int) -> None:
    ports = Ports(**(default_ports("test") | {"postgres_port": taken}))
    with pytest.raises(Trouble) as caught:
        check_free(ports, ["postgres_port"])
    text = str(caught.value)
    assert text.startswith(f"port {taken} is taken by ")
    assert f"(pid {os.getpid()})" in text
    assert text.endswith("; set [local] postgres_port or CITYNERVE_LOCAL__POSTGRES_PORT")


def test_all_taken_ports_are_named_at_once(taken: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as second:
        other = second.getsockname()[1]
        ports = Ports(**(default_ports("test") | {"postgres_port": taken, "mqtt_port": other}))
        with pytest.raises(Trouble) as caught:
            check_free(ports, ["mqtt_port", "postgres_port"])
    assert len(str(caught.value).splitlines()) == 2


def test_a_port_in_time_wait_counts_as_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = server.accept()
        accepted.close()  # the side that closes first is left in TIME_WAIT
        client.close()
    assert is_free(port)


def test_one_port_given_twice_is_refused_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITYNERVE_LOCAL__POSTGRES_PORT", "11883")
    with pytest.raises(UserError, match="postgres_port and mqtt_port are both 11883"):
        load_ports("test", None)


def test_what_is_no_port_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITYNERVE_LOCAL__KAFKA_PORT", "70000")
    with pytest.raises(UserError, match="kafka_port"):
        load_ports("test", None)


def test_the_environment_moves_one_port_and_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITYNERVE_LOCAL__KAFKA_PORT", "30001")
    ports = load_ports("test", None)
    assert ports.kafka_port == 30001
    assert ports.mqtt_port == 11883
