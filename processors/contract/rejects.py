"""Why a processor set something aside as a dead letter; beside `ingest.contract.rejects`, whose reasons it uses where they fit."""

from __future__ import annotations

import enum


class FrameReject(enum.StrEnum):
    """The closed list of the processors' own reasons."""

    BAD_FRAME = "bad_frame"  # a Kafka record that is no frame of ours: rogue producer, flipped bit, unknown version
    WRONG_PARTITION = "wrong_partition"  # the device belongs to another partition: its series would have two writers
    REFUSED_BY_DATABASE = "refused_by_database"  # found by bisection when the database refused a batch
