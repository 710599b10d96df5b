"""`citynerve migrate`: run twice, run by two at once, refused with a sentence where it must not go on."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest
from click.testing import CliRunner

from deploy.local.stack import LocalStack
from ingest.contract.broker import KafkaSettings
from ingest.contract.user_error import UserError
from processors.commands import migrate as command
from processors.migrate import Migration, create_topics, migrate, shipped_migrations


async def test_two_at_once_apply_every_file_once(empty_database: str) -> None:
    both = await asyncio.gather(migrate(empty_database), migrate(empty_database))
    assert sorted(both[0] + both[1]) == [migration.name for migration in shipped_migrations()]
    assert await migrate(empty_database) == []


async def test_an_applied_file_that_was_changed_is_refused(database: str) -> None:
    shipped = shipped_migrations()
    changed = [Migration(shipped[0].name, shipped[0].sql + "\n-- more"), *shipped[1:]]
    with pytest.raises(UserError, match=f"{shipped[0].name} was changed after it had been applied"):
        await migrate(database, changed)


async def test_a_database_of_a_newer_version_is_refused(database: str) -> None:
    await migrate(database, [*shipped_migrations(), Migration("9999_future.sql", "SELECT 1")])
    with pytest.raises(UserError, match=r"9999_future\.sql, which this version of CityNerve does not know"):
        await migrate(database)


async def test_a_file_that_fails_leaves_nothing_behind(database: str) -> None:
    more = [Migration("9998_good.sql", "CREATE TABLE city.extra (x int)"), Migration("9999_bad.sql", "SELECT nonsense")]
    with pytest.raises(UserError, match=r"9999_bad\.sql failed, nothing was changed"):
        await migrate(database, [*shipped_migrations(), *more])
    connection = await asyncpg.connect(database)
    try:
        assert await connection.fetchval("SELECT to_regclass('city.extra')") is None
    finally:
        await connection.close(timeout=5)


async def test_a_topic_with_another_number_of_partitions_is_refused(stack: LocalStack, kafka_prefix: str) -> None:
    assert await create_topics(stack.kafka_bootstrap, kafka_prefix, 4) == []
    with pytest.raises(UserError, match="has 4 partitions but the settings ask for 5"):
        await create_topics(stack.kafka_bootstrap, kafka_prefix, 5)


async def test_more_copies_than_the_cluster_has_brokers_are_refused(stack: LocalStack) -> None:
    kafka = KafkaSettings(bootstrap=stack.kafka_bootstrap, topic_prefix="three-copies", replication_factor=3)
    with pytest.raises(UserError, match=r"replication_factor is 3 but the cluster at 127\.0\.0\.1:\d+ has 1 broker;"):
        await create_topics(kafka)


async def test_a_topic_with_fewer_copies_than_the_settings_ask_for_is_refused(
    stack: LocalStack, kafka_prefix: str
) -> None:
    kafka = KafkaSettings(bootstrap=stack.kafka_bootstrap, topic_prefix=kafka_prefix, replication_factor=2)
    with pytest.raises(UserError, match=rf"topic {kafka_prefix}\.readings\.v1 is kept 1 time but .* asks for 2"):
        await create_topics(kafka)


async def test_a_broker_of_several_that_does_not_answer_is_passed_over(stack: LocalStack, kafka_prefix: str) -> None:
    for bootstrap in (f"127.0.0.1:9,{stack.kafka_bootstrap}", f"{stack.kafka_bootstrap}, 127.0.0.1:9"):
        assert await create_topics(bootstrap, kafka_prefix, 4) == []


async def test_topics_have_their_settings(stack: LocalStack, kafka_prefix: str) -> None:
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka_bootstrap)
    await admin.start()
    try:
        answers = await admin.describe_configs(
            [ConfigResource(ConfigResourceType.TOPIC, f"{kafka_prefix}.readings.v1")]
        )
    finally:
        await admin.close()
    found = {entry[0]: entry[1] for entry in answers[0].resources[0][4]}
    assert found["message.timestamp.type"] == "LogAppendTime"
    assert found["max.message.bytes"] == str(4 * 1024 * 1024)
    assert found["unclean.leader.election.enable"] == "false"


def test_servers_that_do_not_answer_are_named_in_one_sentence() -> None:
    environment = {
        "CITYNERVE_DATABASE__DSN": "postgresql://citynerve@127.0.0.1:9/x",
        "CITYNERVE_KAFKA__BOOTSTRAP": "127.0.0.1:9",
    }
    result = CliRunner().invoke(command, [], env=environment)
    assert isinstance(result.exception, UserError)
    assert "cannot connect to the database" in str(result.exception)
    assert "\n" not in str(result.exception)
