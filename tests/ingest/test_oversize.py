"""When a frame that is too large for Kafka stops holding up what is behind it."""

from __future__ import annotations

from pathlib import Path

from ingest.contract.frame import FrameHeader
from ingest.frames import OutFrame
from ingest.oversize import Oversize


def frame(seq: int, size: int) -> OutFrame:
    return OutFrame("city.readings.v1", 0, FrameHeader("gw", 1, seq, 0, 10, 1, 2), b"x" * size)


def given_up(oversize: Oversize, one: OutFrame) -> bool:
    return oversize.instead_of(one) is not one


def test_it_is_waited_for_and_the_time_of_another_frame_is_not_counted(tmp_path: Path) -> None:
    oversize = Oversize(tmp_path, 60)
    oversize.refused(frame(1, 1000), 0)
    oversize.refused(frame(1, 1000), 59)
    oversize.refused(frame(2, 900), 61)
    assert not given_up(oversize, frame(1, 1000))
    assert not given_up(oversize, frame(2, 900))
    oversize.refused(frame(2, 900), 121)
    assert given_up(oversize, frame(2, 900))


def test_frames_as_large_do_not_wait_again_and_smaller_ones_do(tmp_path: Path) -> None:
    oversize = Oversize(tmp_path, 60)
    for now_s in (0, 60):
        oversize.refused(frame(1, 1000), now_s)
    oversize.taken(oversize.instead_of(frame(1, 1000)))
    oversize.refused(frame(2, 1000), 61)
    oversize.refused(frame(3, 999), 62)
    assert given_up(oversize, frame(2, 1000))
    assert not given_up(oversize, frame(3, 999))
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "city.readings.v1-0-1-1.refused", "city.readings.v1-0-1-2.refused",
    ]  # fmt: skip


def test_a_limit_that_is_raised_is_noticed(tmp_path: Path) -> None:
    oversize = Oversize(tmp_path, 60)
    for now_s in (0, 60):
        oversize.refused(frame(1, 1000), now_s)
    oversize.taken(oversize.instead_of(frame(1, 1000)))
    oversize.taken(frame(2, 1000))
    oversize.refused(frame(3, 1000), 100)
    assert not given_up(oversize, frame(3, 1000))


def test_nothing_is_given_up_whose_bytes_cannot_be_kept(tmp_path: Path) -> None:
    oversize = Oversize(tmp_path / "gone", 60)
    for now_s in (0, 60):
        oversize.refused(frame(1, 1000), now_s)
    assert not given_up(oversize, frame(1, 1000))
