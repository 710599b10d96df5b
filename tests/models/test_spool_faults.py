"""Faults of the disk that the spool's state machine found, each by itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.contract.frame import FrameHeader
from ingest.contract.operating import UserError
from ingest.frames import OutFrame
from ingest.spool import Spool, SpoolFullError
from tests.models.faulty_disk import FaultyDisk

_CREATE, _FOLDER_SYNC, _WRITE = 0, 1, 2  # the steps of an append that begins a segment


def frame(seq: int) -> OutFrame:
    return OutFrame("city.readings.v1", 0, FrameHeader("gw", 1, seq, seq * 10, 10, 1, 2), b"body")


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    spool = Spool(tmp_path, 100_000, 150)
    spool.open()
    yield spool
    spool.close()


@pytest.mark.parametrize("waiting", [0, 1, 3])
@pytest.mark.parametrize("failures", [1, 2])
@pytest.mark.parametrize("step", [_CREATE, _FOLDER_SYNC, _WRITE])
def test_a_segment_that_could_not_be_begun_does_not_stop_the_spool(
    spool: Spool, tmp_path: Path, waiting: int, failures: int, step: int
) -> None:
    """Once the file was made and its folder could not be synced: the name was taken for ever, or frames went to a file nobody read."""
    for seq in range(waiting):
        spool.append([frame(seq)])
    spool.close()
    again = Spool(tmp_path, 100_000, 150)
    again.open()
    disk = FaultyDisk()
    with disk.failing(step, failures, part=20, crash=False), pytest.raises(SpoolFullError, match="No space left"):
        again.append([frame(90)])
    again.append([frame(91)])
    found: list[int] = []
    while batch := again.read(10):
        found += [item.header.seq for _, item in batch]
        again.release(batch[-1][0], len(batch))
    assert found == [*range(waiting), 91]
    assert again.empty
    assert not list(tmp_path.glob("*.spool"))
    again.close()
    disk.restart()


def test_what_a_failed_write_left_and_could_not_be_cut_off_hides_no_later_frame(spool: Spool) -> None:
    disk = FaultyDisk()
    with disk.patched():
        spool.append([frame(0)])
    with disk.failing(0, 2, part=50, crash=False), pytest.raises(SpoolFullError):
        spool.append([frame(1)])
    spool.append([frame(2)])
    spool.append([frame(3)])
    assert [item.header.seq for _, item in spool.read(1)] == [0]
    found: list[int] = []
    while batch := spool.read(10):
        found += [item.header.seq for _, item in batch]
        spool.release(batch[-1][0], len(batch))
    assert found == [0, 2, 3]
    assert spool.empty
    disk.restart()


@pytest.mark.parametrize("step", [0, 1, 2])
def test_a_disk_that_fails_while_the_spool_is_opened_is_told_in_one_sentence(tmp_path: Path, step: int) -> None:
    """The last segment is opened, cut where it is torn, and synced. It was a traceback, and the folder stayed locked."""
    spool = Spool(tmp_path, 100_000, 150)
    spool.open()
    spool.append([frame(0)])
    spool.close()
    disk, again = FaultyDisk(), Spool(tmp_path, 100_000, 150)
    with (
        disk.failing(step, 1, 0, crash=False),
        pytest.raises(UserError, match=r"cannot use the spool folder .*No space"),
    ):
        again.open()
    disk.restart()
    well = Spool(tmp_path, 100_000, 150)
    assert well.open().frames == 1
    well.close()
