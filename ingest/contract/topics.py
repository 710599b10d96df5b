"""Kafka topics: names, partitions, retention, and which partition a device belongs to."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

DAY_MS = 24 * 3600 * 1000


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """One topic as `citynerve migrate` creates it. `max_message_bytes` bounds one frame."""

    name: str
    partitions: int
    retention_ms: int
    max_message_bytes: int = 4 * 1024 * 1024
    cleanup_policy: str = "delete"

    def configs(self, *, min_insync_replicas: int) -> dict[str, str]:
        """Topic settings for the admin client; event time lives in the frame, so the log keeps append time."""
        return {
            "retention.ms": str(self.retention_ms),
            "max.message.bytes": str(self.max_message_bytes),
            "message.timestamp.type": "LogAppendTime",
            "cleanup.policy": self.cleanup_policy,
            "min.insync.replicas": str(min_insync_replicas),
            "unclean.leader.election.enable": "false",
        }


@dataclass(frozen=True, slots=True)
class Topics:
    """The names under one prefix (default "city"); tests and several cities on one cluster use other prefixes."""

    prefix: str = "city"

    @property
    def readings(self) -> str:
        """Frames of readings."""
        return f"{self.prefix}.readings.v1"

    @property
    def dead_letters(self) -> str:
        """Frames of refused payloads."""
        return f"{self.prefix}.deadletters.v1"

    @property
    def custody(self) -> str:
        """The gateways' custody statements (JSON): what each took from the broker and what Kafka has of it."""
        return f"{self.prefix}.custody.v1"

    @property
    def alarms(self) -> str:
        """Alarm changes as JSON for other systems."""
        return f"{self.prefix}.alarms.v1"

    def specs(self, *, partitions: int) -> tuple[TopicSpec, ...]:
        """All topics. Only `readings` is split: a series must always be one partition's."""
        return (
            TopicSpec(self.readings, partitions, 7 * DAY_MS),
            TopicSpec(self.dead_letters, 1, 30 * DAY_MS),
            TopicSpec(self.custody, 1, 30 * DAY_MS),
            TopicSpec(self.alarms, 1, 30 * DAY_MS),
        )


def partition_of(device: str, partitions: int) -> int:
    """The readings partition of a device: CRC-32 of its UTF-8 bytes, modulo. Stable across processes and versions."""
    return zlib.crc32(device.encode()) % partitions
