"""`citynerve migrate`: tables by plain SQL files, forward only, and Kafka topics with their settings. Both may be run again at any time."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaConnectionError, KafkaError, TopicAlreadyExistsError, for_code
from pydantic import SecretStr

from ingest.contract.broker import KafkaSettings
from ingest.contract.topics import TopicSpec
from ingest.contract.user_error import EXIT_TROUBLE, UserError
from processors.contract.database import DatabaseSettings

_ADVISORY_LOCK = 0x0C17_1E8E  # any fixed number: whoever migrates this database takes it first
_TOPIC_TIMEOUT_MS = 30_000


@dataclass(frozen=True, slots=True)
class Migration:
    """One SQL file. `checksum` is the SHA-256 of its text: an applied file must never change."""

    name: str
    sql: str

    @property
    def checksum(self) -> str:
        """SHA-256 in hexadecimal."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def shipped_migrations() -> list[Migration]:
    """The files of processors/migrations in order of their names."""
    folder = resources.files("processors").joinpath("migrations")
    files = [item for item in folder.iterdir() if item.name.endswith(".sql")]
    return [
        Migration(item.name, item.read_text(encoding="utf-8")) for item in sorted(files, key=lambda item: item.name)
    ]


async def migrate(database: DatabaseSettings | str, migrations: Sequence[Migration] | None = None) -> list[str]:
    """Apply what is missing, in one transaction under an advisory lock; returns the names of the files applied now.

    Raises:
        UserError: the server cannot be reached, an applied file was changed, or the database is newer than this program.
    """
    settings = database if isinstance(database, DatabaseSettings) else DatabaseSettings(dsn=SecretStr(database))
    wanted = shipped_migrations() if migrations is None else list(migrations)
    try:
        connection = await settings.connect("citynerve migrate")
    except (OSError, TimeoutError, asyncpg.PostgresError) as error:
        raise UserError(
            f"cannot connect to the database: {error or type(error).__name__}; check [database] dsn",
            exit_code=EXIT_TROUBLE,
        ) from None
    try:
        return await _apply(connection, wanted)
    finally:
        await connection.close(timeout=settings.connect_timeout_s)


async def _apply(connection: asyncpg.Connection[asyncpg.Record], wanted: Sequence[Migration]) -> list[str]:
    # held until the connection closes, and taken before CREATE EXTENSION: two that create it at once collide in the catalogue
    await connection.execute("SET lock_timeout = '5min'")
    await connection.execute("SELECT pg_advisory_lock($1)", _ADVISORY_LOCK, timeout=300)
    # outside the transaction: TimescaleDB asks for CREATE EXTENSION in a session that has not yet looked for it
    try:
        await connection.execute("CREATE EXTENSION IF NOT EXISTS timescaledb")
    except asyncpg.PostgresError as error:
        raise UserError(
            f"cannot create the extension timescaledb: {error}; ask the database's owner to create it",
            exit_code=EXIT_TROUBLE,
        ) from None
    applied: list[str] = []
    async with connection.transaction():
        await connection.execute(
            "CREATE SCHEMA IF NOT EXISTS city; CREATE TABLE IF NOT EXISTS city.migrations "
            "(name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())"
        )
        done = {
            row["name"]: row["checksum"] for row in await connection.fetch("SELECT name, checksum FROM city.migrations")
        }
        _refuse_contradictions(done, wanted)
        for migration in wanted:
            if migration.name in done:
                continue
            try:
                await connection.execute(migration.sql, timeout=300)
            except asyncpg.PostgresError as error:
                raise UserError(
                    f"migration {migration.name} failed, nothing was changed: {error}", exit_code=EXIT_TROUBLE
                ) from error
            await connection.execute(
                "INSERT INTO city.migrations (name, checksum) VALUES ($1, $2)", migration.name, migration.checksum
            )
            applied.append(migration.name)
    return applied


def _refuse_contradictions(done: dict[str, str], wanted: Sequence[Migration]) -> None:
    known = {migration.name: migration for migration in wanted}
    for name, checksum in sorted(done.items()):
        if name not in known:
            raise UserError(
                f"the database has the migration {name}, which this version of CityNerve does not know; use the newer version"
            )
        if known[name].checksum != checksum:
            raise UserError(
                f"the migration {name} was changed after it had been applied; put the file back and write the change as a new file"
            )


async def create_topics(kafka: KafkaSettings | str, prefix: str = "city", partitions: int = 4) -> list[str]:
    """Create the topics that are missing, with their settings; returns their names. `kafka` may be a bare bootstrap address.

    Raises:
        UserError: no broker answers, fewer brokers than copies are asked for, or a topic has another number of partitions than the settings
            say (its series would change partition) or fewer copies.
    """
    settings = (
        kafka
        if isinstance(kafka, KafkaSettings)
        else KafkaSettings(bootstrap=kafka, topic_prefix=prefix, partitions=partitions)
    )
    admin = AIOKafkaAdminClient(**settings.client_options())
    try:
        await admin.start()
    except KafkaConnectionError:
        await admin.close()
        raise UserError(
            f"no Kafka broker answers at {settings.bootstrap}; start it or set [kafka] bootstrap",
            exit_code=EXIT_TROUBLE,
        ) from None
    try:
        specs = settings.topics.specs(partitions=settings.partitions)
        missing = await _missing(admin, specs, settings)
        if missing:
            await _refuse_too_few_brokers(admin, settings)
            await _create(admin, missing, settings)
        return [spec.name for spec in missing]
    except (KafkaError, TimeoutError) as error:
        raise UserError(
            f"Kafka at {settings.bootstrap} did not answer about its topics ({str(error) or type(error).__name__}); "
            "run `citynerve migrate` again",
            exit_code=EXIT_TROUBLE,
        ) from error
    finally:
        await admin.close()


async def _missing(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec], settings: KafkaSettings) -> list[TopicSpec]:
    existing = set(await admin.list_topics())
    present = [spec for spec in specs if spec.name in existing]
    described = await admin.describe_topics([spec.name for spec in present]) if present else []
    found = {topic["topic"]: topic["partitions"] for topic in described}
    for spec in present:
        partitions = found[spec.name]
        if len(partitions) != spec.partitions:
            raise UserError(
                f"topic {spec.name} has {len(partitions)} partitions but the settings ask for {spec.partitions}; a device's series belong "
                "to one partition, so the number cannot change: set [kafka] partitions back, or choose another topic_prefix"
            )
        copies = min((len(partition["replicas"]) for partition in partitions), default=0)
        if copies < settings.replication_factor:
            raise UserError(
                f"topic {spec.name} is kept {_times(copies, 'time')} but [kafka] replication_factor asks for "
                f"{settings.replication_factor}; add the copies with kafka-reassign-partitions.sh, or set replication_factor back"
            )
    return [spec for spec in specs if spec.name not in existing]


async def _refuse_too_few_brokers(admin: AIOKafkaAdminClient, settings: KafkaSettings) -> None:
    brokers = len((await admin.describe_cluster())["brokers"])
    if brokers < settings.replication_factor:
        raise UserError(
            f"[kafka] replication_factor is {settings.replication_factor} but the cluster at {settings.bootstrap} has "
            f"{_times(brokers, 'broker')}; start the others, or set replication_factor to what the cluster can keep",
            exit_code=EXIT_TROUBLE,
        )


def _times(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


async def _create(admin: AIOKafkaAdminClient, specs: Sequence[TopicSpec], settings: KafkaSettings) -> None:
    topics = [
        NewTopic(
            name=spec.name,
            num_partitions=spec.partitions,
            replication_factor=settings.replication_factor,
            topic_configs=spec.configs(min_insync_replicas=settings.min_insync_replicas),
        )
        for spec in specs
    ]
    response = await admin.create_topics(topics, timeout_ms=_TOPIC_TIMEOUT_MS)
    for name, code, *message in response.topic_errors:
        error: type[KafkaError] = for_code(code)
        if code != 0 and error is not TopicAlreadyExistsError:
            raise UserError(
                f"Kafka refused to create the topic {name}: {message[0] if message else error.__name__}",
                exit_code=EXIT_TROUBLE,
            )
