"""What one read of the gateway's MQTT client takes from its socket, and how soon the next one is."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from ingest.contract.broker import MqttSettings
from ingest.messages import Messages
from ingest.metrics import IngestMetrics
from ingest.mqtt_client import BatchingClient
from ingest.mqtt_source import MqttSource
from ingest.settings import IngestSettings
from tests.ingest.test_mqtt_packets import publish


class RecordSocket:
    """Gives one TLS record for each read, as Python's ssl does; afterwards nothing is there, or the peer has gone."""

    def __init__(self, records: list[bytes], end: type[OSError] | None) -> None:
        self.records = records
        self.cut = 0
        self._end = end

    def recv(self, most: int) -> bytes:
        if not self.records:
            if self._end is None:
                return b""
            raise self._end
        record, rest = self.records[0][:most], self.records[0][most:]
        self.records[:1] = [rest] if rest else []
        self.cut += bool(rest)
        return record

    def setsockopt(self, *_: int) -> None: ...

    def close(self) -> None: ...


def client_on(sock: RecordSocket, taken: list[int]) -> BatchingClient:
    def keep(messages: Messages) -> None:
        taken.extend(messages.mids)

    client = BatchingClient("test", 1000, keep)
    client._sock = sock  # type: ignore[assignment]  # it has what the client uses of a socket
    client._ssl = True
    return client


@pytest.mark.parametrize("end", [BlockingIOError, ConnectionResetError, None])
def test_all_tls_records_that_are_there_are_read_at_once(end: type[OSError] | None) -> None:
    taken: list[int] = []
    client = client_on(RecordSocket([publish("a", b"1", mid) for mid in range(1, 501)], end), taken)
    client.loop_read()
    assert taken == list(range(1, 501))
    assert not client.chunk_was_full


def test_a_read_of_tls_records_is_no_longer_than_a_chunk() -> None:
    taken: list[int] = []
    sock = RecordSocket([publish("a", b"x" * 900, mid) for mid in range(1, 1001)], BlockingIOError)
    client = client_on(sock, taken)
    client.loop_read()
    assert client.chunk_was_full
    assert 0 < len(taken) < 300
    assert sock.cut == 0
    while sock.records:
        client.loop_read()
    assert taken == list(range(1, 1001))


def test_nothing_there_is_no_end_and_the_peer_gone_is_one() -> None:
    quiet, gone = client_on(RecordSocket([], BlockingIOError), []), client_on(RecordSocket([], None), [])
    quiet.loop_read()
    gone.loop_read()
    assert quiet.socket() is not None
    assert gone.socket() is None


@pytest.mark.parametrize(("flush_age_ms", "most_s"), [(1, 0.0005), (100, 0.006), (60_000, 0.03)])
def test_the_socket_rests_a_little_of_the_age_of_frames_and_never_long(flush_age_ms: int, most_s: float) -> None:
    settings = IngestSettings(flush_age_ms=flush_age_ms)
    source = MqttSource(MqttSettings(), settings, IngestMetrics(CollectorRegistry()), session_expected=False)
    assert 0 < source._rest_s < most_s
