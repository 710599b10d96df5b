"""What a batch is on its way to the commit: frames told apart, readings sorted, and afterwards what became of each. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from processors.arrivals import first_arrivals
from processors.columns import BrokenRecord, Columns, Frames, LettersFrame, Partition, ReadingsFrame, RefusedReading
from processors.contract.rejects import FrameReject
from processors.frame_sequence import Arrival, FrameSequence
from processors.ledger import Counts, LedgerKey, Letter

_UNREADABLE_ORDINAL = {"readings": -1, "deadletters": -2, "custody": -3}
_BAD_LETTERS_ORDINAL = (
    -2_000_000_000
)  # apart from refused readings of a frame with the same number on the readings topic
_MAX_COUNT = (1 << 31) - 1


@dataclass(slots=True)
class Batch:
    """`fresh` are the readings frames not seen before, with their position in `frames.readings`."""

    frames: Frames
    fresh: list[tuple[int, ReadingsFrame]] = field(default_factory=list)
    fresh_letters: list[LettersFrame] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    counts: dict[LedgerKey, Counts] = field(default_factory=dict)
    refused_by_frame: dict[int, int] = field(default_factory=dict)
    unattributed: dict[Partition, int] = field(
        default_factory=dict
    )  # dead letters of records without a readable header
    contradictions: int = 0

    def count_of(self, key: LedgerKey, frame_us: int) -> Counts:
        """The counts of `key`, created at 0."""
        counts = self.counts.setdefault(key, Counts())
        counts.last_frame_us = max(counts.last_frame_us, frame_us)
        return counts


def key_of(frame: ReadingsFrame | LettersFrame | BrokenRecord) -> LedgerKey | None:
    """The ledger row a frame belongs to; None where its header could not be read."""
    if frame.header is None:
        return None
    return LedgerKey(frame.header.gateway, frame.header.epoch, *frame.partition)


def keys_of(frames: Frames) -> set[LedgerKey]:
    """Every ledger row the batch touches."""
    every: Iterable[ReadingsFrame | LettersFrame | BrokenRecord] = (*frames.readings, *frames.letters, *frames.broken)
    return {key for frame in every if (key := key_of(frame)) is not None}


def account_frames(frames: Frames, sequences: Mapping[LedgerKey, FrameSequence]) -> Batch:
    """Number check of every frame: fresh ones go on, frames seen before are counted as redelivered and go no further."""
    batch = Batch(frames)
    for index, frame in enumerate(frames.readings):
        if _is_fresh(batch, frame, sequences):
            batch.fresh.append((index, frame))
    for letters in frames.letters:
        if _is_fresh(batch, letters, sequences):
            batch.fresh_letters.append(letters)
            _take_letters(batch, letters)
    for broken in frames.broken:
        _take_broken(batch, broken, sequences)
    return batch


def _is_fresh(
    batch: Batch, frame: ReadingsFrame | LettersFrame | BrokenRecord, sequences: Mapping[LedgerKey, FrameSequence]
) -> bool:
    key = key_of(frame)
    assert key is not None and frame.header is not None  # noqa: S101, PT018 - callers pass frames with headers
    header = frame.header
    sequence = sequences[key]
    if header.seq == sequence.next_seq and header.before != sequence.sent_before:
        batch.contradictions += 1
    counts = batch.count_of(key, header.sent_us)
    if sequence.take(header.seq, header.before, header.count) is Arrival.FRESH:
        return True
    counts.redelivered += header.count
    return False


def _take_letters(batch: Batch, frame: LettersFrame) -> None:
    key = key_of(frame)
    assert key is not None  # noqa: S101
    header = frame.header
    batch.count_of(key, header.sent_us).dead += header.count
    batch.letters += [
        Letter(
            header.gateway, header.epoch, frame.partition[1], header.seq, ordinal, letter.received_us, letter.reason, letter.detail,
            letter.mqtt_topic, letter.payload, letter.readings,
        )
        for ordinal, letter in enumerate(frame.letters)
    ]  # fmt: skip


def _take_broken(batch: Batch, broken: BrokenRecord, sequences: Mapping[LedgerKey, FrameSequence]) -> None:
    topic, number = broken.partition
    where = f"kafka:{topic}/{number}@{broken.offset}"
    header = broken.header
    if header is None:
        ordinal = next((value for name, value in _UNREADABLE_ORDINAL.items() if f".{name}." in topic), -4)
        batch.unattributed[broken.partition] = batch.unattributed.get(broken.partition, 0) + 1
        batch.letters.append(
            Letter(
                "",
                0,
                number,
                broken.offset,
                ordinal,
                broken.append_us,
                FrameReject.BAD_FRAME,
                broken.detail,
                where,
                broken.body,
                1,
            )
        )
        return
    if not _is_fresh(batch, broken, sequences):
        return
    key = key_of(broken)
    assert key is not None  # noqa: S101
    batch.count_of(key, header.sent_us).dead += header.count
    ordinal = -1 if ".readings." in topic else _BAD_LETTERS_ORDINAL
    batch.letters.append(
        Letter(
            header.gateway, header.epoch, number, header.seq, ordinal, broken.append_us, FrameReject.BAD_FRAME, broken.detail, where,
            broken.body, max(1, min(header.count, _MAX_COUNT)),
        )
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sorted:
    """The distinct readings of a batch by (series, time): `columns`, and the `partition` number of each."""

    columns: Columns
    partition: npt.NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.columns)


def sort_distinct(batch: Batch, columns: Columns) -> Sorted:
    """Keep the first arrival of each (series, time)."""
    kept = columns.take(first_arrivals(columns.series, columns.time_us)) if len(columns) else columns
    numbers = np.array([frame.partition[1] for frame in batch.frames.readings], np.int32)
    return Sorted(kept, numbers[kept.frame] if len(kept) else np.empty(0, np.int32))


def refuse(batch: Batch, refused: Iterable[RefusedReading]) -> None:
    """Dead letters for readings that cannot be stored, numbered downwards from -1 within their frame."""
    for reading in refused:
        frame = batch.frames.readings[reading.frame]
        number = batch.refused_by_frame.get(reading.frame, 0) + 1
        batch.refused_by_frame[reading.frame] = number
        payload = json.dumps(
            {
                "device": reading.device,
                "metric": reading.metric,
                "time_us": reading.time_us,
                "value": repr(reading.value),
                "flags": reading.flags,
            }
        )
        header = frame.header
        topic, partition = frame.partition
        batch.letters.append(
            Letter(
                header.gateway, header.epoch, partition, header.seq, -number, header.received_us, reading.reason, reading.detail,
                f"kafka:{topic}/{partition}", payload.encode(), 1,
            )
        )  # fmt: skip


def settle(batch: Batch, stored_frames: npt.NDArray[np.int32]) -> None:
    """Count what became of the readings of every fresh frame; `stored_frames` is the frame of each reading stored now.

    What was neither stored nor refused was there already: a duplicate.
    """
    stored = np.bincount(stored_frames, minlength=len(batch.frames.readings))
    for index, frame in batch.fresh:
        key = key_of(frame)
        assert key is not None  # noqa: S101
        counts = batch.count_of(key, frame.header.sent_us)
        dead = batch.refused_by_frame.get(index, 0)
        counts.stored += int(stored[index])
        counts.dead += dead
        counts.duplicate += frame.header.count - int(stored[index]) - dead
