"""A real stack of this test's own: started, asked, paused, killed, restarted and stopped."""

import asyncio
import shutil
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import asyncpg
import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from deploy.local import processes
from deploy.local.launch import bring_down, bring_up
from deploy.local.ports import Ports, default_ports
from deploy.local.services import Service
from deploy.local.stack import SERVERS, LocalStack
from deploy.local.trouble import Trouble
from tests.conftest import in_thread

pytestmark = pytest.mark.servers

WAIT_S = 20.0


def free_ports() -> Ports:
    """Ports that nobody holds now."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in default_ports("test")]
        return Ports(**{name: one.getsockname()[1] for name, one in zip(default_ports("test"), sockets, strict=True)})


@pytest.fixture(scope="module")
def own() -> Iterator[LocalStack]:
    """A stack beside all others, so that killing its servers hurts nobody."""
    stack = LocalStack("launcher-tests", free_ports())
    stack.down()
    bring_up(stack, own_settings=None, fresh=True, with_services=False)
    yield stack
    bring_down(stack)
    shutil.rmtree(stack.place.folder)


def test_every_server_is_ready_and_listens_on_loopback_only(own: LocalStack) -> None:
    states = own.status()
    assert [state.name for state in states] == list(SERVERS)
    assert all(state.ready for state in states), states
    for record in own.records.values():
        listening = [c for c in psutil.Process(record.pid).net_connections("inet") if c.status == psutil.CONN_LISTEN]
        assert listening, record.name
        assert {c.laddr.ip.removeprefix("::ffff:") for c in listening} == {"127.0.0.1"}, record.name


def test_up_when_up_changes_nothing(own: LocalStack, capsys: pytest.CaptureFixture[str]) -> None:
    before = own.records
    bring_up(own, own_settings=None, fresh=False, with_services=False)
    assert own.records == before
    assert "is already up" in capsys.readouterr().err


def test_ports_changed_under_a_running_stack_are_told(own: LocalStack) -> None:
    moved = LocalStack(own.name, own.ports.model_copy(update={"mqtt_port": 1}))
    with pytest.raises(Trouble, match=r"mosquitto runs on port \d+ and the settings now say 1; stop the stack"):
        bring_up(moved, own_settings=None, fresh=False, with_services=False)


def test_data_of_a_running_stack_is_not_removed(own: LocalStack) -> None:
    with pytest.raises(Trouble, match="is running; stop it with"):
        bring_up(own, own_settings=None, fresh=True, with_services=False)


def test_postgres_has_timescale_and_real_time_zones(own: LocalStack) -> None:
    async def ask() -> tuple[str, str, int]:
        connection = await asyncpg.connect(own.postgres_dsn(), timeout=10)
        try:
            await connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
            await connection.execute("CREATE TABLE IF NOT EXISTS kept (time timestamptz NOT NULL, value float8)")
            await connection.execute("SELECT create_hypertable('kept', 'time', if_not_exists => true)")
            await connection.execute("INSERT INTO kept VALUES ('2026-03-29 00:30+00', 1)")
            day = await connection.fetchval("SELECT time_bucket('1 day', time, 'Europe/Brussels')::text FROM kept")
            checksums = await connection.fetchval("SHOW data_checksums")
            workers = await connection.fetchval("SHOW max_worker_processes")
            return str(day), str(checksums), int(workers)
        finally:
            await connection.close()

    assert in_thread(ask()) == ("2026-03-28 23:00:00+00", "on", 84)


def test_postgres_keeps_its_rows_over_a_restart_and_over_a_kill(own: LocalStack) -> None:
    async def rows() -> int:
        connection = await asyncpg.connect(own.postgres_dsn(), timeout=10)
        try:
            await connection.execute("CREATE TABLE IF NOT EXISTS survivors (n int)")
            await connection.execute("INSERT INTO survivors VALUES (1)")
            return int(await connection.fetchval("SELECT count(*) FROM survivors"))
        finally:
            await connection.close()

    assert in_thread(rows()) == 1
    own.restart("postgres")
    assert in_thread(rows()) == 2
    workers = psutil.Process(own.records["postgres"].pid).children(recursive=True)
    own.kill("postgres")
    assert not any(processes._runs(worker) for worker in workers), "a worker outlived the killed server"
    own.start_servers(["postgres"])
    assert in_thread(rows()) == 3


def test_kafka_keeps_its_records_over_a_kill_and_makes_no_topic_by_itself(own: LocalStack) -> None:
    async def produce() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=own.kafka_bootstrap)
        await admin.start()
        await admin.create_topics([NewTopic("kept", 1, 1)])
        await admin.close()
        producer = AIOKafkaProducer(
            bootstrap_servers=own.kafka_bootstrap, acks="all", enable_idempotence=True, compression_type="lz4"
        )
        await producer.start()
        for number in range(100):
            await producer.send("kept", str(number).encode())
        await producer.stop()

    async def consume() -> list[bytes]:
        consumer = AIOKafkaConsumer("kept", bootstrap_servers=own.kafka_bootstrap, auto_offset_reset="earliest")
        await consumer.start()
        try:
            found: list[bytes] = []
            async with asyncio.timeout(WAIT_S):
                while len(found) < 100:
                    found.append((await consumer.getone()).value)
            assert await consumer.topics() == {"kept"}
            return found
        finally:
            await consumer.stop()

    in_thread(produce())
    own.kill("kafka")
    own.start_servers(["kafka"])
    assert in_thread(consume()) == [str(number).encode() for number in range(100)]


def gateway(stack: LocalStack, take: Callable[[MQTTMessage], None]) -> Client:
    """A connected MQTT 5 client with the fixed id and the persistent session of a gateway."""
    client = Client(CallbackAPIVersion.VERSION2, client_id="gateway", protocol=MQTTProtocolVersion.MQTTv5)
    session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    session.SessionExpiryInterval = 3600
    connected = threading.Event()
    client.on_connect = lambda *_: connected.set()
    client.on_message = lambda _client, _data, message: take(message)
    client.connect("127.0.0.1", stack.mqtt_port, clean_start=False, properties=session)
    client.loop_start()
    assert connected.wait(WAIT_S)
    return client


def test_mosquitto_keeps_what_it_acknowledged_for_an_absent_gateway_over_a_kill(own: LocalStack) -> None:
    received: set[bytes] = set()
    all_there = threading.Event()

    def take(message: MQTTMessage) -> None:
        received.add(bytes(message.payload))
        if len(received) == 500:
            all_there.set()

    first = gateway(own, take)
    subscribed = threading.Event()
    first.on_subscribe = lambda *_: subscribed.set()
    first.subscribe("city/#", qos=1)
    assert subscribed.wait(WAIT_S)
    first.disconnect()
    first.loop_stop()

    device = Client(CallbackAPIVersion.VERSION2, client_id="device", protocol=MQTTProtocolVersion.MQTTv5)
    reasons: list[str] = []
    device.on_publish = lambda _client, _data, _mid, reason, _properties: reasons.append(str(reason))
    device.connect("127.0.0.1", own.mqtt_port)
    device.loop_start()
    sent = [device.publish(f"city/{number}", str(number), qos=1) for number in range(500)]
    for message in sent:
        message.wait_for_publish(WAIT_S)
    # A PUBACK goes out a moment before its commit: it is on disk once the broker answers anything sent after it.
    device.publish("barrier", "x", qos=1).wait_for_publish(WAIT_S)
    own.kill("mosquitto")
    device.loop_stop()
    assert set(reasons[:500]) == {"Success"}, "the broker had no session to keep a message for"
    assert not received
    own.start_servers(["mosquitto"])

    second = gateway(own, take)
    missing = sorted(set(range(500)) - {int(payload) for payload in received}) if not all_there.wait(WAIT_S) else []
    assert not missing, f"{len(missing)} acknowledged messages are lost: {missing}"
    second.disconnect()
    second.loop_stop()


def test_a_paused_server_is_alive_but_not_ready_until_resumed(own: LocalStack) -> None:
    own.pause("mosquitto")
    paused = next(state for state in own.status() if state.name == "mosquitto")
    own.resume("mosquitto")
    resumed = next(state for state in own.status() if state.name == "mosquitto")
    assert (paused.alive, paused.ready, resumed.ready) == (True, False, True)
    assert "mosquitto" not in (paused.reason or "")


def test_a_killed_server_is_missed_by_status(own: LocalStack) -> None:
    own.kill("alertmanager")
    missing = next(state for state in own.status() if state.name == "alertmanager")
    assert (missing.alive, missing.reason) == (False, "not running")
    own.start_servers(["alertmanager"])


def test_a_crash_is_told_apart_from_a_stop(own: LocalStack) -> None:
    record = own.records["prometheus"]
    processes.send(record, signal.SIGKILL)
    assert processes.wait_for_end(record, WAIT_S)
    crashed = next(state for state in own.status() if state.name == "prometheus")
    assert crashed.reason == "it ended without being stopped"
    own.start_servers(["prometheus"])


def test_a_taken_port_stops_the_start_before_anything_runs(own: LocalStack) -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        ports = free_ports().model_dump() | {"alertmanager_port": holder.getsockname()[1]}
        second = LocalStack("launcher-tests-2", Ports(**ports))
        with pytest.raises(Trouble, match=r"port \d+ is taken by .*\[local\] alertmanager_port"):
            bring_up(second, own_settings=None, fresh=False, with_services=False)
    assert second.all_records() == {}
    shutil.rmtree(second.place.folder)
    assert own.records.keys() == set(SERVERS)


def test_a_service_that_ends_at_once_is_told_with_the_end_of_its_log(own: LocalStack) -> None:
    broken = Service("broken", ("fly",), "ingest", "ingest_port")
    with pytest.raises(
        Trouble, match=r"(?s)broken ended while starting; the end of .*broken\.log.*No such command 'fly'"
    ):
        own.start_service(broken)
    assert own.stop("broken")


def test_the_tools_of_the_servers_are_there(own: LocalStack) -> None:
    for name in ("promtool", "amtool", "psql", "pg_dump", "mosquitto"):
        assert own.tool(name).is_file(), name
    with pytest.raises(Trouble, match="no tool nothing"):
        own.tool("nothing")


def test_down_leaves_no_process(own: LocalStack) -> None:
    family = [
        p
        for record in own.records.values()
        for p in (psutil.Process(record.pid), *psutil.Process(record.pid).children())
    ]
    stopped, killed = bring_down(own)
    assert set(stopped) == set(SERVERS)
    assert killed == []
    assert not [process for process in family if processes._runs(process)]
    assert own.status() == []
