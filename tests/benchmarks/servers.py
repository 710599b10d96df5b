"""The servers of the test stack for one benchmark: topics, database and topic root of its own, removed after."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import asyncpg
import paho.mqtt.client as paho
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from paho.mqtt.enums import CallbackAPIVersion

from deploy.local.stack import LocalStack
from processors.migrate import create_topics, migrate
from tests.conftest import servers_of_tests

PARTITIONS = 4
TEXTBOOK_TABLE = """
CREATE TABLE textbook (
    device text NOT NULL, metric text NOT NULL, time timestamptz NOT NULL, value double precision NOT NULL,
    PRIMARY KEY (device, metric, time)
);
SELECT create_hypertable('textbook', 'time', chunk_time_interval => interval '1 day', create_default_indexes => false);
"""
"""What a textbook stores: names instead of series ids, the same hypertable, the same uniqueness."""


@dataclass(frozen=True)
class Place:
    """One round's own corner of the servers. `name` is topic prefix, database, topic root and client id at once."""

    stack: LocalStack
    name: str

    @property
    def dsn(self) -> str:
        """The round's database, migrated."""
        return self.stack.postgres_dsn(self.name)

    @property
    def textbook_topic(self) -> str:
        """One Kafka topic with as many partitions as ours."""
        return f"{self.name}.textbook"


@contextlib.contextmanager
def test_stack() -> Iterator[LocalStack]:
    """The test stack, started where it does not run and left running; nobody stops it meanwhile."""
    stack = servers_of_tests()
    stack.place.make()
    with (stack.place.run / "users").open("w") as users:
        with stack.locked():
            fcntl.flock(users, fcntl.LOCK_SH)
            stack.start_servers()
            stack.write_settings()
        yield stack


@contextlib.contextmanager
def own_place(stack: LocalStack) -> Iterator[Place]:
    """Topics and a migrated database that exist only inside the `with`."""
    place = Place(stack, f"bench_{uuid.uuid4().hex[:10]}")
    asyncio.run(_make(place))
    try:
        yield place
    finally:
        asyncio.run(_remove(place))


async def _make(place: Place) -> None:
    async with administrator(place.stack) as admin:
        await admin.execute(f"CREATE DATABASE {place.name}")
    await migrate(place.dsn)
    connection = await asyncpg.connect(place.dsn, timeout=10)
    try:
        await connection.execute(TEXTBOOK_TABLE, timeout=60)
    finally:
        await connection.close(timeout=10)
    await create_topics(place.stack.kafka_bootstrap, place.name, PARTITIONS)
    async with kafka_admin(place.stack) as kafka:
        await kafka.create_topics([NewTopic(place.textbook_topic, PARTITIONS, 1)])


async def _remove(place: Place) -> None:
    async with administrator(place.stack) as admin:
        await admin.execute(f"DROP DATABASE IF EXISTS {place.name} WITH (FORCE)", timeout=60)
    for client_id in (f"citynerve-{place.name}", f"textbook-{place.name}"):
        await asyncio.to_thread(forget_session, place.stack.mqtt_port, client_id)
    async with kafka_admin(place.stack) as kafka:
        names = [topic for topic in await kafka.list_topics() if topic.startswith(f"{place.name}.")]
        if names:
            await kafka.delete_topics(names)


def forget_session(mqtt_port: int, client_id: str) -> None:
    """Let the broker drop what it keeps for a client: its subscriptions and any messages left."""
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=paho.MQTTv311, clean_session=True)
    client.connect("127.0.0.1", mqtt_port)
    for _ in range(50):
        client.loop(0.1)
        if client.is_connected():
            break
    client.disconnect()


@contextlib.asynccontextmanager
async def administrator(stack: LocalStack) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection to the server's own database."""
    connection = await asyncpg.connect(stack.postgres_dsn(), timeout=10)
    try:
        yield connection
    finally:
        await connection.close(timeout=10)


@contextlib.asynccontextmanager
async def kafka_admin(stack: LocalStack) -> AsyncIterator[AIOKafkaAdminClient]:
    """A client that makes and deletes topics."""
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka_bootstrap)
    await admin.start()
    try:
        yield admin
    finally:
        await admin.close()
