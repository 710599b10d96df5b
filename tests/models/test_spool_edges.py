"""What a spool does at its edges, found by mutation (docs/mutation.md): caps met exactly, all kinds of damage at once, repeated steps."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from ingest.contract.frame import FrameHeader
from ingest.contract.operating import EXIT_TROUBLE, UserError
from ingest.frames import OutFrame
from ingest.spool import Spool, SpoolFullError
from ingest.spool_record import encode
from tests.models.faulty_disk import FaultyDisk

BIG = 100_000


def frame(seq: int) -> OutFrame:
    return OutFrame("city.readings.v1", 0, FrameHeader("gw", 1, seq, seq * 10, 10, 1, 2), b"x" * 60)


LENGTH = len(encode(frame(0)))


@pytest.fixture
def spools() -> Iterator[list[Spool]]:
    opened: list[Spool] = []
    yield opened
    for spool in opened:
        spool.close()


def new(spools: list[Spool], folder: Path, max_bytes: int = BIG, segment_bytes: int = BIG) -> Spool:
    """Opened; one that has the folder is closed first, as its process is gone."""
    for spool in spools:
        spool.close()
    spools.append(Spool(folder, max_bytes, segment_bytes))
    spools[-1].open()
    return spools[-1]


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.spool"))


def damage(path: Path, *seqs: int) -> None:
    """Beyond mending: two bits of the body of each."""
    body = bytearray(path.read_bytes())
    for seq in seqs:
        body[seq * LENGTH + 30] ^= 3
    path.write_bytes(body)


def drained(spool: Spool) -> list[int]:
    seqs = []
    while batch := spool.read(2):
        seqs += [item.header.seq for _, item in batch]
        spool.release(batch[-1][0], len(batch))
    if not spool.empty:
        spool.forget_rest()
    assert (spool.empty, spool.size, spool.frames) == (True, 0, 0)
    return seqs


def test_before_it_is_opened_it_holds_nothing(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "deep" / "down", BIG, BIG)
    assert (spool.frames, spool.size, spool.damaged, spool.mended, spool.empty) == (0, 0, 0, 0, True)
    spool.open()
    spool.append([frame(0)])
    spool.close()


def test_a_folder_that_cannot_be_used_is_named_and_there_is_nothing_to_close(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    spool = Spool(tmp_path / "file", BIG, BIG)
    with pytest.raises(UserError, match=r"cannot use the spool folder .*/file: File exists") as told:
        spool.open()
    assert told.value.exit_code == EXIT_TROUBLE
    spool.close()


def test_the_lock_is_one_that_gateways_of_any_version_look_at(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="in use by another gateway") as told:
            Spool(tmp_path, BIG, BIG).open()
    assert told.value.exit_code == EXIT_TROUBLE


def test_a_cap_may_be_met_to_the_byte_and_says_what_it_is(tmp_path: Path, spools: list[Spool]) -> None:
    spool = new(spools, tmp_path, max_bytes=3 * LENGTH)
    spool.append([frame(0), frame(1), frame(2)])
    with pytest.raises(SpoolFullError, match=f"holds {3 * LENGTH} of at most {3 * LENGTH} bytes"):
        spool.append([frame(3)])
    assert drained(spool) == [0, 1, 2]


def test_a_segment_of_the_full_size_is_followed_by_another(tmp_path: Path, spools: list[Spool]) -> None:
    spool = new(spools, tmp_path, segment_bytes=2 * LENGTH)
    for seq in range(4):
        spool.append([frame(seq)])
    assert [path.stat().st_size for path in segments(tmp_path)] == [2 * LENGTH] * 2


def test_a_segment_goes_as_soon_as_it_is_released_and_the_last_one_is_written_on(
    tmp_path: Path, spools: list[Spool]
) -> None:
    spool = new(spools, tmp_path, segment_bytes=2 * LENGTH)
    for seq in range(3):
        spool.append([frame(seq)])
    first, last = segments(tmp_path)
    batch = spool.read(2)
    spool.release(batch[-1][0], 2)
    assert segments(tmp_path) == [last]
    spool.append([frame(3)])
    assert segments(tmp_path) == [last]
    spool.release(batch[-1][0], 0)  # of a segment that is gone: it says nothing of this one
    assert drained(spool) == [2, 3]
    assert not first.exists()


def test_a_refused_frame_that_lies_behind_the_end_never_comes_out(tmp_path: Path, spools: list[Spool]) -> None:
    """Written whole, not synced, not cut off: its sender was told so and sends it again."""
    spool, disk = new(spools, tmp_path), FaultyDisk()
    with disk.patched():
        spool.append([frame(0), frame(1)])
    with disk.failing(1, 2, 0, crash=False), pytest.raises(SpoolFullError):
        spool.append([frame(2)])
    assert segments(tmp_path)[0].stat().st_size == 3 * LENGTH
    batch = spool.read(1)
    spool.release(batch[0][0], 1)
    assert drained(spool) == [1]
    disk.restart()


def test_a_segment_that_can_be_neither_begun_nor_removed_is_a_full_disk(
    tmp_path: Path, spools: list[Spool], monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = new(spools, tmp_path)

    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", broken)
        patch.setattr(Path, "unlink", broken)
        with pytest.raises(SpoolFullError, match="cannot write the spool: Input/output error"):
            spool.append([frame(0)])
    spool.append([frame(1)])
    assert drained(spool) == [1]


def test_damage_found_at_opening_is_counted_once_however_often_it_is_read(tmp_path: Path, spools: list[Spool]) -> None:
    new(spools, tmp_path).append(frame(seq) for seq in range(6))
    damage(segments(tmp_path)[0], 1, 3)
    spool = new(spools, tmp_path)
    assert (spool.frames, spool.damaged) == (4, 2)
    for _ in range(2):
        assert [item.header.seq for _, item in spool.read(9)] == [0, 2, 4, 5]
    os.truncate(segments(tmp_path)[0], 4 * LENGTH)  # and two more vanish while it runs
    assert drained(spool) == [0, 2]
    assert spool.damaged == 4


@pytest.mark.parametrize(
    ("damaged", "left", "come"), [([1], 4, [0, 2, 3]), ([0, 2], 4, [1, 3]), ([1], 3, [0, 2]), ([0, 2], 3, [1])]
)
def test_damage_that_comes_while_it_runs_is_counted_by_the_frame(
    tmp_path: Path, spools: list[Spool], damaged: list[int], left: int, come: list[int]
) -> None:
    """Records beyond mending, and records that vanish, add up to the frames that did not come."""
    spool = new(spools, tmp_path)
    spool.append(frame(seq) for seq in range(4))
    damage(segments(tmp_path)[0], *damaged)
    os.truncate(segments(tmp_path)[0], left * LENGTH)
    assert drained(spool) == come
    assert spool.damaged == 4 - len(come)


def test_every_damaged_and_every_mended_record_is_named(
    tmp_path: Path, spools: list[Spool], caplog: pytest.LogCaptureFixture
) -> None:
    new(spools, tmp_path).append(frame(seq) for seq in range(6))
    (path,) = segments(tmp_path)
    damage(path, 1, 3)
    body = bytearray(path.read_bytes())
    body[4 * LENGTH + 1] ^= 4
    body[5 * LENGTH + 2] ^= 1
    path.write_bytes(body)
    with caplog.at_level(logging.WARNING):
        spool = new(spools, tmp_path)
    assert (spool.damaged, spool.mended) == (2, 2)
    told = [record.fields for record in caplog.records]  # type: ignore[attr-defined]
    assert told == [
        {"segment": path.name, "offset": LENGTH, "bytes": LENGTH},
        {"segment": path.name, "offset": 3 * LENGTH, "bytes": LENGTH},
        {"segment": path.name, "offset": 4 * LENGTH, "bit": 10},
        {"segment": path.name, "offset": 5 * LENGTH, "bit": 16},
    ]
    assert drained(spool) == [0, 2, 4, 5]
    assert sorted(path.name.split("-")[1] for path in tmp_path.glob("*.damaged")) == sorted(
        f"{seq * LENGTH}.damaged" for seq in (1, 3)
    )


def test_in_a_folder_that_is_gone_there_is_no_room(tmp_path: Path) -> None:
    assert Spool(tmp_path / "gone", BIG, BIG).room() == 0


def test_a_number_is_not_used_again_while_a_whole_segment_of_it_is_set_aside(
    tmp_path: Path, spools: list[Spool]
) -> None:
    new(spools, tmp_path).append([frame(0)])
    (path,) = segments(tmp_path)
    kept = path.rename(path.with_suffix(".damaged"))
    new(spools, tmp_path).append([frame(1)])
    assert [found.stem > kept.stem for found in segments(tmp_path)] == [True]
