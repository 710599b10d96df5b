"""Fixtures shared by all tests: the real servers of the test stack, a fresh database, fresh topics."""

import asyncio
import fcntl
import os
import uuid
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import asyncpg
import pytest

from deploy.local.settings import load_ports
from deploy.local.stack import LocalStack

Result = TypeVar("Result")


def servers_of_tests() -> LocalStack:
    """The stack that tests and benchmarks use: `test`, or CITYNERVE_TEST_STACK (with ports of its own by CITYNERVE_LOCAL__...)."""
    name = os.environ.get("CITYNERVE_TEST_STACK", "test")
    return LocalStack(name, load_ports(name, None))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whatever uses a server fixture is marked `servers`, so that `-m "not servers"` is complete."""
    for item in items:
        if "stack" in getattr(item, "fixturenames", ()):
            item.add_marker("servers")


@pytest.fixture(scope="session")
def stack() -> Iterator[LocalStack]:
    """The servers of the test stack, started once; those that run already are used and left running.

    Several test runs may share them: each holds a shared lock, and the last run of a stack that tests started stops it.
    """
    servers = servers_of_tests()
    servers.place.make()
    marker = servers.place.run / "started-by-tests"
    with (servers.place.run / "users").open("w") as users:
        with servers.locked():
            fcntl.flock(users, fcntl.LOCK_SH)
            if not servers.records:
                servers.wipe()
                marker.touch()
            servers.start_servers()
            servers.write_settings()
        yield servers
        with servers.locked():
            try:
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return
            if marker.exists():
                servers.down()
                marker.unlink()


@pytest.fixture
def empty_database(stack: LocalStack) -> Iterator[str]:
    """DSN of a new empty database, dropped after the test."""
    name = f"test_{uuid.uuid4().hex[:12]}"
    in_thread(_execute(stack.postgres_dsn(), f"CREATE DATABASE {name}"))
    yield stack.postgres_dsn(name)
    in_thread(_execute(stack.postgres_dsn(), f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))


@pytest.fixture
def database(empty_database: str) -> str:
    """DSN of a new database with all migrations applied, dropped after the test."""
    from processors.migrate import migrate

    in_thread(migrate(empty_database))
    return empty_database


@pytest.fixture
def kafka_prefix(stack: LocalStack) -> Iterator[str]:
    """A topic prefix of this test's own, its topics created; deleted after the test."""
    from processors.migrate import create_topics

    prefix = f"t{uuid.uuid4().hex[:12]}"
    in_thread(create_topics(stack.kafka_bootstrap, prefix, 4))
    yield prefix
    in_thread(_delete_topics(stack.kafka_bootstrap, prefix))


@pytest.fixture
def mqtt_root() -> str:
    """An MQTT topic root of this test's own."""
    return f"t{uuid.uuid4().hex[:12]}"


def in_thread(work: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end from any test, whether or not the test has a loop of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(asyncio.run, work).result()


async def _execute(dsn: str, statement: str) -> None:
    connection = await asyncpg.connect(dsn, timeout=10)
    try:
        await connection.execute(statement, timeout=60)
    finally:
        await connection.close(timeout=10)


async def _delete_topics(bootstrap: str, prefix: str) -> None:
    from aiokafka.admin import AIOKafkaAdminClient

    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        names = [name for name in await admin.list_topics() if name.startswith(f"{prefix}.")]
        if names:
            await admin.delete_topics(names)
    finally:
        await admin.close()
