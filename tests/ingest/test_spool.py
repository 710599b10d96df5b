"""The spool survives a crash at any byte and a full disk, and gives frames back in order. Damaged bits: `test_spool_damage.py`."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from ingest.contract.frame import FrameHeader
from ingest.contract.operating import UserError
from ingest.frames import OutFrame
from ingest.spool import Spool, SpoolFullError
from ingest.spool_scan import inspect

SEGMENT = 2000


def frame(seq: int, size: int = 300, epoch: int = 1) -> OutFrame:
    header = FrameHeader("gw", epoch, seq, seq * 10, 10, 1, 2)
    return OutFrame("city.readings.v1", seq % 4, header, bytes([seq % 256]) * size)


OPENED: list[Spool] = []


def opened(folder: Path, max_bytes: int = 1_000_000) -> Spool:
    spool = Spool(folder, max_bytes, SEGMENT)
    OPENED.append(spool)
    spool.open()
    return spool


@pytest.fixture(autouse=True)
def close_spools() -> Iterator[None]:
    yield
    while OPENED:
        OPENED.pop().close()


def drain(spool: Spool, limit: int = 3) -> list[OutFrame]:
    frames: list[OutFrame] = []
    while batch := spool.read(limit):
        frames += [found for _, found in batch]
        spool.release(batch[-1][0], len(batch))
    return frames


def test_frames_come_back_as_they_were_in_order_and_their_files_go(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    sent = [frame(seq) for seq in range(30)]
    for part in range(0, 30, 5):
        spool.append(sent[part : part + 5])
    assert drain(spool) == sent
    assert spool.empty
    assert spool.size == 0
    assert not list(tmp_path.glob("*.spool"))


def test_what_was_appended_is_there_after_a_crash(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([frame(seq) for seq in range(20)])
    spool.close()  # closing writes nothing: a killed process leaves the same files
    again = Spool(tmp_path, 1_000_000, SEGMENT)
    OPENED.append(again)
    state = again.open()
    assert (state.frames, state.readings[1], state.damaged, state.torn_bytes) == (20, 200, 0, 0)
    again.append([frame(20)])
    assert [found.header.seq for found in drain(again)] == list(range(21))


@settings(max_examples=60, deadline=None)
@given(cut=st.integers(0, 1500), data=st.data())
def test_a_crash_at_any_byte_keeps_every_whole_record(
    tmp_path_factory: pytest.TempPathFactory, cut: int, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("spool")
    spool = opened(folder)
    ends = []
    for seq in range(4):
        spool.append([frame(seq, data.draw(st.integers(0, 400)))])
        ends.append(spool.size)
    spool.close()
    (path,) = sorted(folder.glob("*.spool"))
    cut = min(cut, path.stat().st_size)
    os.truncate(path, cut)
    again = opened(folder)
    whole = sum(end <= cut for end in ends)
    assert [found.header.seq for found in drain(again)] == list(range(whole))
    again.append([frame(9)])
    assert [found.header.seq for found in drain(again)] == [9]
    again.close()


def test_the_byte_cap_refuses_a_batch_whole_and_draining_makes_room(tmp_path: Path) -> None:
    spool = opened(tmp_path, max_bytes=4000)
    spool.append([frame(seq) for seq in range(8)])
    before = spool.size
    with pytest.raises(SpoolFullError):
        spool.append([frame(8), frame(9), frame(10), frame(11)])
    assert (spool.size, spool.frames) == (before, 8)
    assert len(drain(spool)) == 8
    spool.append([frame(8)])


def test_a_disk_that_fills_in_the_middle_of_a_write_leaves_no_torn_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = opened(tmp_path)
    spool.append([frame(0)])
    size = next(tmp_path.glob("*.spool")).stat().st_size

    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(SpoolFullError, match="No space left"):
            spool.append([frame(1)])
    assert next(tmp_path.glob("*.spool")).stat().st_size == size
    spool.append([frame(2)])
    assert [found.header.seq for found in drain(spool)] == [0, 2]


def test_the_room_left_is_the_caps_or_the_disks_where_that_is_less(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = opened(tmp_path, max_bytes=4000)
    spool.append([frame(0)])
    assert spool.room() == 4000 - spool.size
    full = os.statvfs_result([4096, 4096, 512, 1, 0, 0, 0, 0, 0, 255])
    with monkeypatch.context() as patch:
        patch.setattr(os, "statvfs", lambda _folder: full)
        assert spool.room() == 0


def test_a_second_process_is_told_in_one_sentence(tmp_path: Path) -> None:
    opened(tmp_path)
    with pytest.raises(UserError, match="in use by another gateway process"):
        opened(tmp_path)


def test_inspecting_changes_nothing_and_needs_no_lock(tmp_path: Path) -> None:
    spool = opened(tmp_path)
    spool.append([frame(seq) for seq in range(5)])
    state = inspect(tmp_path)
    assert (state.frames, state.bytes, state.damaged) == (5, spool.size, 0)
    assert inspect(tmp_path / "nowhere").frames == 0


class SpoolAgainstAList(RuleBasedStateMachine):
    """Append, crash, reopen, read and release in any order, against a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.released = 0
        self.model: list[int] = []
        self.next = 0

    @initialize(folder=st.uuids())
    def start(self, folder: object) -> None:
        self.folder = Path(os.environ.get("TMPDIR", "/tmp")) / f"citynerve-spool-{folder}"  # noqa: S108 - removed in teardown
        self.spool = opened(self.folder)

    @rule(count=st.integers(1, 6), size=st.integers(0, 900))
    def append(self, count: int, size: int) -> None:
        self.spool.append([frame(self.next + offset, size) for offset in range(count)])
        self.model += range(self.next, self.next + count)
        self.next += count

    @precondition(lambda self: self.model)
    @rule(limit=st.integers(1, 5))
    def release(self, limit: int) -> None:
        batch = self.spool.read(limit)
        seqs = [found.header.seq for _, found in batch]
        assert seqs == self.model[: len(seqs)]
        assert seqs
        self.spool.release(batch[-1][0], len(batch))
        del self.model[: len(seqs)]

    @rule(torn=st.binary(max_size=40))
    def crash(self, torn: bytes) -> None:
        """Killed while appending: a part of a record may follow. What was released within the first segment comes again."""
        self.spool.close()  # closing writes nothing: a killed process leaves the same files
        paths = sorted(self.folder.glob("*.spool"))
        if paths:
            with paths[-1].open("ab") as file:
                file.write(torn)
        self.spool = opened(self.folder)
        found = [item.header.seq for _, item in self._all()]
        assert found[len(found) - len(self.model) :] == self.model
        self.model = found

    def _all(self) -> list[tuple[object, OutFrame]]:
        items: list[tuple[object, OutFrame]] = []
        after = None
        while batch := self.spool.read(100, after):
            items += batch
            after = batch[-1][0]
        return items

    @invariant()
    def counts_agree(self) -> None:
        if hasattr(self, "spool"):
            assert self.spool.frames == len(self.model)

    def teardown(self) -> None:
        if hasattr(self, "spool"):
            self.spool.close()
            for path in self.folder.iterdir():
                path.unlink()
            self.folder.rmdir()


SpoolAgainstAList.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestSpoolAgainstAList = SpoolAgainstAList.TestCase
