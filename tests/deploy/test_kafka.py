"""The configuration of Kafka nodes: one alone, three that are a cluster, and a listener for each client."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.chaos.arena import Arena
from deploy.chaos.cluster_arena import BROKERS, ClusterPorts, ClusterStack, nodes_of
from deploy.local.kafka import TEMPLATE, Node, cluster_properties, listener_properties
from deploy.local.ports import default_ports
from deploy.local.trouble import Trouble
from ingest.contract.broker import KafkaSettings

NODES = [Node(f"kafka-{number}", number, 9000 + number, 9100 + number) for number in (1, 2, 3)]


def test_every_node_of_a_cluster_knows_the_same_voters_and_its_own_number() -> None:
    found = [cluster_properties(node, NODES) for node in NODES]
    assert [properties.pop("node.id") for properties in found] == ["1", "2", "3"]
    assert found[0] == found[1] == found[2]
    assert found[0]["controller.quorum.voters"] == "1@127.0.0.1:9101,2@127.0.0.1:9102,3@127.0.0.1:9103"


def test_kafkas_own_topics_have_three_copies_in_a_cluster_and_never_more_than_there_are_nodes() -> None:
    single = TEMPLATE.read_text()
    for name in ("offsets.topic", "transaction.state.log", "share.coordinator.state.topic"):
        assert f"{name}.replication.factor=1" in single
        assert cluster_properties(NODES[0], NODES)[f"{name}.replication.factor"] == "3"
        assert cluster_properties(NODES[0], NODES[:2])[f"{name}.replication.factor"] == "2"


def test_each_client_has_a_listener_that_advertises_its_proxy() -> None:
    found = listener_properties(NODES[0], {"ingest": (9201, 9301)})
    assert found["listeners"] == "PLAINTEXT://127.0.0.1:9001,INGEST://127.0.0.1:9201,CONTROLLER://127.0.0.1:9101"
    assert found["advertised.listeners"] == "PLAINTEXT://127.0.0.1:9001,INGEST://127.0.0.1:9301"
    assert found["listener.security.protocol.map"] == "PLAINTEXT:PLAINTEXT,INGEST:PLAINTEXT,CONTROLLER:PLAINTEXT"


def test_the_stack_with_a_cluster_has_three_brokers_in_the_place_of_one(tmp_path: Path) -> None:
    names = ("kafka_2_port", "kafka_2_controller_port", "kafka_3_port", "kafka_3_controller_port")
    ports = ClusterPorts(**default_ports("test"), **dict(zip(names, range(9401, 9405), strict=True)))
    stack = ClusterStack("three", ports, tmp_path)
    assert [name for name in stack.servers if name.startswith("kafka")] == list(BROKERS)
    settings = KafkaSettings.model_validate(stack.kafka_settings())
    assert settings.bootstrap == f"127.0.0.1:{ports.kafka_port},127.0.0.1:9401,127.0.0.1:9403"
    assert (settings.replication_factor, settings.min_insync_replicas) == (3, 2)


def test_a_fault_of_the_cluster_is_refused_where_there_is_one_broker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.chaos.arena.stack_folder", lambda name: tmp_path / name)
    arena = Arena()
    try:
        with pytest.raises(Trouble, match="needs the arena with three brokers"):
            nodes_of(arena)
    finally:
        arena.close()
