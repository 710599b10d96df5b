"""Custody: numbers without gaps, an epoch that grows, and earlier lives that are still spoken for."""

from __future__ import annotations

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from ingest.contract.frame import FrameHeader
from ingest.custody import Custody


def begun(folder: Path, now_us: int = 1000, spooled: dict[int, int] | None = None) -> Custody:
    return Custody.begin("gw", folder / "custody.json", now_us, spooled or {})


def header(custody: Custody, count: int, topic: str = "r", partition: int = 0) -> FrameHeader:
    seq, before = custody.number(topic, partition, count)
    return FrameHeader("gw", custody.epoch, seq, before, count, 1, 2)


def said(custody: Custody) -> dict[int, dict[str, Any]]:
    statements = [json.loads(body) for body in custody.statements(5)]
    return {statement["epoch"]: statement for statement in statements}


def test_frames_of_each_partition_are_numbered_from_0_without_gaps(tmp_path: Path) -> None:
    custody = begun(tmp_path)
    headers = [header(custody, count) for count in (3, 5)] + [header(custody, 7, partition=1)]
    assert [(made.seq, made.before) for made in headers] == [(0, 0), (1, 3), (0, 0)]


def test_the_epoch_grows_even_when_the_clock_steps_back(tmp_path: Path) -> None:
    assert begun(tmp_path, 5000).epoch == 5000
    assert begun(tmp_path, 4000).epoch == 5001
    assert begun(tmp_path, 9000).epoch == 9000
    assert begun(tmp_path, 100, {9500: 3}).epoch == 9501


def test_a_statement_has_the_columns_of_the_ledger(tmp_path: Path) -> None:
    custody = begun(tmp_path)
    custody.received(2, 10)
    custody.acknowledged("r", 0, header(custody, 4), 17)
    statement = said(custody)[1000]
    assert statement == {
        "gateway": "gw", "epoch": 1000, "at_us": 5, "received": 10, "refused": 0, "acked_kafka": 4, "spooled": 0, "messages": 2,
        "partitions": [{"topic": "r", "partition": 0, "acked": 4, "offset": 17}],
    }  # fmt: skip
    assert said(custody) == {}  # nothing changed since


def test_a_replayed_frame_is_counted_once(tmp_path: Path) -> None:
    custody = begun(tmp_path)
    first = header(custody, 4)
    custody.acknowledged("r", 0, first, 17)
    custody.acknowledged("r", 0, first, 18)
    assert custody.now.acked_kafka == 4
    assert custody.has("r", 0, first)
    assert not custody.has("r", 0, header(custody, 1))


def test_frames_spooled_by_an_earlier_life_are_settled_in_its_name(tmp_path: Path) -> None:
    first = begun(tmp_path)
    first.received(1, 6)
    spooled = [header(first, 4), header(first, 2)]
    for one in spooled:
        first.spooled(one, sign=1)
    first.save()
    second = begun(tmp_path, 2000, {1000: 6})
    assert said(second)[1000]["spooled"] == 6
    for offset, one in enumerate(spooled):
        second.acknowledged("r", 0, one, offset)
        second.spooled(one, sign=-1)
    statement = said(second)[1000]
    assert (statement["spooled"], statement["acked_kafka"], statement["received"]) == (0, 6, 6)
    assert 1000 not in second.lives  # nothing more to say for it


def test_a_spool_without_its_custody_file_is_still_accounted_for(tmp_path: Path) -> None:
    custody = begun(tmp_path, 2000, {1000: 6})
    statement = said(custody)[1000]
    assert (statement["spooled"], statement["received"]) == (6, 6)


def test_a_damaged_custody_file_is_set_aside_and_does_not_stop_the_start(tmp_path: Path) -> None:
    (tmp_path / "custody.json").write_bytes(b'{"lives": [')
    assert begun(tmp_path).epoch == 1000
    assert len(list(tmp_path.glob("custody.unreadable-*"))) == 1


def test_the_session_seen_is_remembered(tmp_path: Path) -> None:
    custody = begun(tmp_path)
    custody.session_seen = True
    custody.save()
    assert begun(tmp_path).session_seen


def test_two_threads_that_save_at_once_leave_a_whole_file(tmp_path: Path) -> None:
    custody = begun(tmp_path)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: custody.save(), range(60)))
    assert begun(tmp_path, 500).epoch == 1001


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_no_reason_not_to_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Once the gateway did not come up again after a kill on a full disk, so that its spool could never be drained."""
    before = begun(tmp_path, 1000)

    def full(_file: int) -> None:
        raise OSError(number, "no room")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        custody = begun(tmp_path, 2000, {before.epoch: 70})
    assert custody.epoch == 2000
    assert custody.lives[1000].spooled == 70
    custody.save()
    assert begun(tmp_path, 3000, {2000: 5}).lives[2000].spooled == 5


def test_a_folder_that_cannot_be_written_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_file: int) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(os, "fsync", refused)
    with pytest.raises(OSError, match="Read-only"):
        begun(tmp_path, 1000)
