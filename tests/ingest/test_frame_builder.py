"""Frames: one partition each, readings of a device in order, small enough for Kafka, numbered once."""

from __future__ import annotations

import numpy as np
import pytest

from ingest import frames as frames_module
from ingest.admission import TimeWindow, admit
from ingest.catalogue import Catalogue
from ingest.contract.frame import DeadLetter, decode_dead_letters, decode_readings
from ingest.contract.topics import Topics, partition_of
from ingest.decoders.columns import Columns
from ingest.device_profile import load_profiles
from ingest.frames import FrameBuilder

NOW_US = 1_700_000_000_000_000
PROFILE = load_profiles(["canonical"])["canonical"]


def builder_with(readings: list[tuple[str, str, float]]) -> FrameBuilder:
    catalogue = Catalogue(4)
    columns = Columns()
    for index, (device, metric, value) in enumerate(readings):
        columns.add(device, metric, None, NOW_US + index, value, 0)
    numbers: dict[tuple[str, int], tuple[int, int]] = {}

    def number(topic: str, partition: int, count: int) -> tuple[int, int]:
        seq, before = numbers.get((topic, partition), (0, 0))
        numbers[topic, partition] = (seq + 1, before + count)
        return seq, before

    builder = FrameBuilder("gw", 7, Topics("t"), catalogue, number)
    builder.add([admit(columns, PROFILE, catalogue, TimeWindow(10**9, 10**9), NOW_US)], [], NOW_US - 5)
    return builder


def test_every_reading_is_in_the_frame_of_its_partition_in_order() -> None:
    readings = [(f"dev-{index % 20}", "energy_total", float(index)) for index in range(1000)]
    builder = builder_with(readings)
    assert builder.readings == 1000
    frames = builder.build(NOW_US)
    assert builder.readings == 0
    found: list[tuple[str, float]] = []
    for frame in frames:
        columns = decode_readings(frame.body)
        assert frame.header.count == len(columns)
        assert (frame.header.epoch, frame.header.seq, frame.header.received_us) == (7, 0, NOW_US - 5)
        names = [columns.devices[code] for code in columns.device_codes]
        assert {partition_of(name, 4) for name in names} == {frame.partition}
        assert len(columns.devices) == len(set(columns.devices)) == len(np.unique(columns.device_codes))
        found += zip(names, columns.values.tolist(), strict=True)
    assert sorted(found, key=lambda item: item[1]) == [(device, value) for device, _, value in readings]
    for device in {name for name, _ in found}:
        values = [value for name, value in found if name == device]
        assert values == sorted(values)


def test_a_frame_too_large_for_kafka_is_halved_until_it_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames_module, "FRAME_LIMIT_BYTES", 10_000)
    frames = builder_with([("one-device", "energy_total", float(index)) for index in range(2000)]).build(NOW_US)
    assert all(len(frame.body) <= 10_000 for frame in frames)
    assert [frame.header.seq for frame in frames] == list(range(len(frames)))
    assert [frame.header.before for frame in frames] == np.cumsum([0] + [f.header.count for f in frames])[:-1].tolist()
    values = [value for frame in frames for value in decode_readings(frame.body).values.tolist()]
    assert values == [float(index) for index in range(2000)]


def test_dead_letters_are_split_by_bytes_and_counted_by_readings() -> None:
    builder = builder_with([])
    letters = [DeadLetter("malformed", "d", "t", b"x" * 400_000, NOW_US, 3) for _ in range(5)]
    builder.add([], letters, NOW_US)
    assert builder.readings == 15
    frames = builder.build(NOW_US)
    assert [frame.header.count for frame in frames] == [6, 6, 3]
    assert [letter for frame in frames for letter in decode_dead_letters(frame.body)] == letters
