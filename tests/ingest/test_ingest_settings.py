"""Settings of the gateway: contradictions are refused together; topic filters match as MQTT says."""

from __future__ import annotations

import pytest

from ingest.contract.broker import KafkaSettings
from ingest.contract.operating import UserError, load_section
from ingest.settings import IngestSettings, Route
from ingest.topic_routes import TopicRoutes, matches


def test_all_contradictions_are_named_in_one_message() -> None:
    environ = {
        "CITYNERVE_INGEST__RECEIVE_MAXIMUM": "5000",
        "CITYNERVE_INGEST__MAX_UNACKED_MESSAGES": "100",
        "CITYNERVE_INGEST__SPOOL_MAX_BYTES": "2000000",
        "CITYNERVE_INGEST__SPOOL_SEGMENT_BYTES": "1500000",
    }
    with pytest.raises(UserError) as error:
        load_section("ingest", IngestSettings, None, environ)
    assert "receive_maximum" in str(error.value)
    assert "spool_segment_bytes" in str(error.value)


def test_more_copies_in_sync_than_there_are_copies_are_refused_before_anything_connects() -> None:
    environ = {"CITYNERVE_KAFKA__REPLICATION_FACTOR": "2", "CITYNERVE_KAFKA__MIN_INSYNC_REPLICAS": "3"}
    with pytest.raises(UserError, match="min_insync_replicas is larger than replication_factor"):
        load_section("kafka", KafkaSettings, None, environ)


@pytest.mark.parametrize("topic", ["a/#/b", "a#", "a/b+", "$share/g/a", ""])
def test_a_wrong_topic_filter_is_refused(topic: str) -> None:
    with pytest.raises(ValueError, match="topic"):
        Route(topic=topic, format="plain-json", profile="canonical")


@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("a/+", "a/b", True),
        ("a/+", "a", False),
        ("a/+", "a/b/c", False),
        ("a/#", "a", True),
        ("a/#", "a/b/c", True),
        ("#", "a", True),
        ("#", "$SYS/x", False),
        ("+/x", "$SYS/x", False),
        ("a/+/c", "a//c", True),
        ("a/b", "A/b", False),
    ],
)
def test_filters_match_as_mqtt_says(topic_filter: str, topic: str, expected: bool) -> None:  # noqa: FBT001 - a table of cases
    assert matches(topic_filter, topic) is expected


def test_the_first_route_that_matches_is_taken() -> None:
    routes = [
        Route(topic="a/b", format="senml-json", profile="p"),
        Route(topic="a/+", format="plain-json", profile="q"),
    ]
    found = TopicRoutes(routes)
    for topic, profile in (("a/b", "p"), ("a/c", "q"), ("a/b", "p")):
        route = found.find(topic)
        assert route is not None
        assert route.profile == profile
    assert found.find("b") is None


def test_a_gateway_cannot_take_the_name_of_the_retries() -> None:
    with pytest.raises(UserError, match='gateway_id "retry" is taken by `citynerve deadletters retry`'):
        load_section("ingest", IngestSettings, None, {"CITYNERVE_INGEST__GATEWAY_ID": "retry"})
