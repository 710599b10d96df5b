"""Addresses in settings: a wrong one is one sentence where it is read, and tells no password."""

from __future__ import annotations

import pytest
from pydantic import SecretStr, ValidationError

from ingest.contract.addresses import checked_dsn, is_host_list
from ingest.contract.broker import KafkaSettings
from processors.contract.database import DatabaseSettings
from simulators.settings import ScoreDatabase


@pytest.mark.parametrize(
    "text",
    [
        "postgresql://citynerve@127.0.0.1:25432/citynerve",
        "postgres://u:p%40ss@127.0.0.1:5432,127.0.0.2:5433/x?sslmode=require",
        "postgresql://u@[::1]:5432/x",
        "postgresql:///x?host=/run/postgresql",
        "postgresql://%2Frun%2Fpostgresql/x",
        "postgresql://127.0.0.1",
    ],
)
def test_a_database_address_is_taken_as_it_is(text: str) -> None:
    assert checked_dsn(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "",
        "mysql://u@127.0.0.1/d",
        "postgresql://127.0.0.1:port/x",
        "postgresql://127.0.0.1:99999/x",
        "postgresql://u:secret@127.0.0.1 b/x",
    ],
)
def test_what_is_no_database_address_is_refused_by_all_who_read_it_without_telling_the_password(text: str) -> None:
    for model in (DatabaseSettings, ScoreDatabase):
        with pytest.raises(ValidationError, match=r"postgresql://user@127\.0\.0\.1:25432/citynerve") as caught:
            model(dsn=SecretStr(text))
        assert "secret" not in str(caught.value)


def test_kafka_is_found_at_one_host_or_several() -> None:
    assert all(map(is_host_list, ["kafka", "kafka-1:9092,kafka-2:9092", "a:1, b:2", "[::1]:9092"]))
    assert not any(map(is_host_list, ["", "h:p", "h:0", "h:65536", "a:1,,b:2", "http://127.0.0.1:1", "::1"]))
    with pytest.raises(ValidationError, match=r"'h:p' is no host:port, e\.g\. 127\.0\.0\.1:29092"):
        KafkaSettings(bootstrap="h:p")
