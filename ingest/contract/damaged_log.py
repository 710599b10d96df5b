"""Past a damaged batch of a topic, and past nothing else: what a consumer does that Kafka gives bytes whose checksum is wrong.

aiokafka raises CorruptRecordException and fetches the same bytes again, for ever. Skipping ahead by guess would skip good records
too. So the partition is fetched here as bytes, and its batches are told apart by their headers: those before the damaged one are read as
ever, and the next one begins behind it. The batch itself is asked of the other replicas: Kafka does not look at checksums when it
serves a fetch, so a leader with a bad disk goes on serving what its followers have whole. Where no replica has it, it is gone, and the
caller says so. A flipped bit is not mended here, as it is in the spool: nothing but this one checksum could tell a mended batch from a
badly guessed one.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.consumer.fetcher import READ_UNCOMMITTED, PartitionRecords
from aiokafka.errors import CorruptRecordException, KafkaError
from aiokafka.protocol.fetch import FetchRequest
from aiokafka.record.memory_records import MemoryRecords
from aiokafka.record.util import calc_crc32c
from aiokafka.structs import ConsumerRecord

log = logging.getLogger(__name__)

_BATCH = struct.Struct(">qiibIhi")
"""baseOffset, batchLength, partitionLeaderEpoch, magic, crc, attributes, lastOffsetDelta."""
_LENGTH_ENDS_AT, _CHECKED_FROM = 12, 21
_WAIT_MS, _MIN_BYTES, _MAX_BYTES = 100, 1, 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Stretch:
    """Records of a partition up to a damaged batch, and that batch: `damaged` is its first and last offset, None where there is none.

    `unasked` are the brokers that may have it whole and did not answer: as long as there are some, it is not lost. `replaced`: the last of
    `records` are another replica's, in the place of such a batch.
    """

    records: Sequence[ConsumerRecord] = field(default_factory=list)
    damaged: tuple[int, int] | None = None
    unasked: tuple[int, ...] = ()
    replaced: bool = False


async def read_to_damage(consumer: AIOKafkaConsumer, partition: TopicPartition, offset: int) -> Stretch:
    """What one fetch from `offset` holds, a damaged batch replaced by another replica's. The consumer's position stays as it is.

    Raises:
        KafkaError: the partition has no leader, or its leader refuses.
    """
    client = consumer._client  # noqa: SLF001 - aiokafka has no public way to fetch bytes
    leader = client.cluster.leader_for_partition(partition)
    if leader is None or leader == -1:
        msg = f"no leader for {partition}"
        raise KafkaError(msg)
    found = await _fetch(client, leader, partition, offset)
    if found.damaged is None:
        return found
    return await _from_other_replicas(client, partition, leader, found)


async def _from_other_replicas(
    client: AIOKafkaClient, partition: TopicPartition, leader: int, found: Stretch
) -> Stretch:
    assert found.damaged is not None  # noqa: S101 - asked for nothing else
    first, last = found.damaged
    known = client.cluster._partitions[partition.topic][partition.partition]  # noqa: SLF001 - replicas have no public name
    unasked = []
    for replica in set(known.replicas) - {leader}:
        try:
            other = await _fetch(client, replica, partition, first)
        except (KafkaError, TimeoutError):
            unasked.append(replica)
            continue
        whole = [record for record in other.records if record.offset <= last]
        if whole:
            log.error(
                "offsets %d to %d of %s are damaged at broker %d; read from broker %d, which has them whole",
                first, whole[-1].offset, partition, leader, replica,
            )  # fmt: skip
            return Stretch([*found.records, *whole], replaced=True)
        if other.damaged is None:
            unasked.append(replica)  # it may not know yet that the batch is committed
    return Stretch(found.records, found.damaged, tuple(sorted(unasked)))


async def _fetch(client: AIOKafkaClient, node: int, partition: TopicPartition, offset: int) -> Stretch:
    wanted = [(partition.topic, [(partition.partition, offset, _MAX_BYTES)])]
    answer = await client.send(node, FetchRequest(_WAIT_MS, _MIN_BYTES, _MAX_BYTES, READ_UNCOMMITTED, wanted))
    ((_, ((_, code, highwater, *rest),)),) = answer.topics
    if code:
        msg = f"{partition}: fetch from {offset} answered with error {code}"
        raise KafkaError(msg)
    return stretch(bytes(rest[-1]), partition, offset, int(highwater))


def stretch(data: bytes, partition: TopicPartition, offset: int, highwater: int) -> Stretch:
    """Fetched bytes taken apart; `highwater` is where the partition ends."""
    good_from = good_until = 0
    for start, end, first, following in batches(data):
        if following <= offset:
            good_from = good_until = end
            continue
        if not _is_whole(data[start:end]):
            # the header is a part of what is checked: the next batch says better where this one ends
            behind = next((base for _, _, base, _ in batches(data[end:])), min(following, highwater))
            return Stretch(_records(data[good_from:good_until], partition, offset), (max(first, offset), behind - 1))
        good_until = end
    return Stretch(_records(data[good_from:good_until], partition, offset))


def batches(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(start, end, first offset, next offset) of each batch that is there whole; a fetch, or a file, may end in the middle of one."""
    start = 0
    while start + _BATCH.size <= len(data):
        base, length, _, _, _, _, last_delta = _BATCH.unpack_from(data, start)
        end = start + _LENGTH_ENDS_AT + length
        if length < _BATCH.size - _LENGTH_ENDS_AT or end > len(data):
            return
        yield start, end, base, base + max(0, last_delta) + 1
        start = end


def _is_whole(batch: bytes) -> bool:
    return bool(calc_crc32c(batch[_CHECKED_FROM:]) == _BATCH.unpack_from(batch)[4])


def _records(data: bytes, partition: TopicPartition, offset: int) -> list[ConsumerRecord]:
    return list(
        PartitionRecords(partition, MemoryRecords(data), [], offset, None, None, check_crcs=True, isolation_level=READ_UNCOMMITTED)
    )  # fmt: skip


__all__ = ["CorruptRecordException", "Stretch", "read_to_damage", "stretch"]
