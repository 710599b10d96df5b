"""What a cluster of brokers says of itself: who leads a partition, which copies are in sync, who coordinates a group."""

import asyncio
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self, TypeVar

import asyncpg
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from deploy.chaos.arena import Arena
from deploy.chaos.cluster_arena import REPLICAS, nodes_of
from deploy.local.kafka import Node
from deploy.local.readiness import HOST
from deploy.local.trouble import Trouble
from ingest.contract.topics import Topics

TOPICS = Topics()
_OFFSETS = "__consumer_offsets"
_ASKED = (TOPICS.readings, TOPICS.dead_letters, TOPICS.custody, _OFFSETS)
logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # it tells of every try at a dead broker
_ANSWER_BUDGET_S = 30.0
_REQUEST_MS = 3_000
_LOOK_AGAIN_S = 0.25
_CURSORS = "SELECT partition, next_offset FROM city.offsets WHERE topic = $1"
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class PartitionState:
    """One partition as the cluster has it; `leader` and `in_sync` are names of brokers, leader None where nobody leads."""

    topic: str
    partition: int
    leader: str | None
    in_sync: frozenset[str]


class ClusterView:
    """Asks the brokers that run, not through a proxy."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._nodes = nodes_of(arena)
        self._names = {node.number: node.name for node in self._nodes}

    def partitions(self) -> list[PartitionState]:
        """Every partition of our topics and of the groups' offsets."""
        return self._ask(self._partitions)

    def leader(self, partition: int = 0) -> str | None:
        """The broker that leads a partition of the readings."""
        return next(
            state.leader
            for state in self.partitions()
            if (state.topic, state.partition) == (TOPICS.readings, partition)
        )

    def coordinator(self) -> str:
        """The broker that coordinates the processors' group."""
        return self._ask(self._coordinator)

    def whole(self) -> bool:
        """Whether every copy of every partition is in sync."""
        return all(len(state.in_sync) == REPLICAS for state in self.partitions())

    def _ask(self, question: Callable[[AIOKafkaAdminClient], Awaitable[_T]]) -> _T:
        ends_s, reason = time.monotonic() + _ANSWER_BUDGET_S, "none runs"
        while time.monotonic() < ends_s:
            for node in self._nodes:
                if node.name not in self._arena.stack.records:
                    continue
                try:
                    return asyncio.run(_asked(node, question))
                except (KafkaError, OSError, TimeoutError) as error:  # it may have asked one that is dead
                    reason = str(error) or type(error).__name__
            time.sleep(_LOOK_AGAIN_S)
        raise Trouble(f"no broker of the cluster answered within {_ANSWER_BUDGET_S:.0f} s: {reason}")

    async def _partitions(self, admin: AIOKafkaAdminClient) -> list[PartitionState]:
        return [
            PartitionState(
                topic["topic"],
                found["partition"],
                self._names.get(found["leader"]),
                frozenset(self._names[number] for number in found["isr"]),
            )
            for topic in await admin.describe_topics(list(_ASKED))
            for found in topic["partitions"]
        ]

    async def _coordinator(self, admin: AIOKafkaAdminClient) -> str:
        return self._names[await admin.find_coordinator(f"{TOPICS.prefix}.processors")]


async def _asked(node: Node, question: Callable[[AIOKafkaAdminClient], Awaitable[_T]]) -> _T:
    admin = AIOKafkaAdminClient(bootstrap_servers=f"{HOST}:{node.port}", request_timeout_ms=_REQUEST_MS)
    try:
        await admin.start()
        return await question(admin)
    finally:
        await admin.close()


class StallWatch:
    """Looks four times a second how far the cursor of each partition of the readings has come, for the `with` statement.

    The sum over all partitions would hide one that stands still.
    """

    def __init__(self, arena: Arena) -> None:
        self._dsn = arena.dsn
        self._moved: dict[int, tuple[int, float]] = {}
        """Partition -> (offset, when it was first seen there)."""
        self._longest: dict[int, float] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), name="stall watch", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join(10)

    @property
    def longest_s(self) -> float:
        """The longest time any partition has stood still; raises Trouble where none was ever seen moving."""
        if not self._longest:
            raise Trouble("no partition of the readings moved, so no stall could be measured")
        return max(self._longest.values())

    async def _run(self) -> None:
        connection = await asyncpg.connect(self._dsn, timeout=10)
        try:
            while not self._end.is_set():
                for partition, offset in await connection.fetch(_CURSORS, TOPICS.readings):
                    self._saw(partition, offset, time.monotonic())
                await asyncio.sleep(_LOOK_AGAIN_S)
        finally:
            await connection.close(timeout=10)

    def _saw(self, partition: int, offset: int, now_s: float) -> None:
        before = self._moved.get(partition)
        if before is not None:
            stood_s = now_s - before[1]
            self._longest[partition] = max(self._longest.get(partition, 0.0), stood_s)
        if before is None or offset != before[0]:
            self._moved[partition] = (offset, now_s)
