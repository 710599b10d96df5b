"""What the state machines left unseen, found by mutation (docs/mutation.md): counts over several segments, and before any connection."""

from __future__ import annotations

from pathlib import Path

from ingest.ack_tracker import AckTracker
from ingest.contract.frame import FrameHeader
from ingest.frames import OutFrame
from ingest.spool import Spool
from ingest.spool_scan import inspect


def segments(folder: Path, count: int) -> list[Path]:
    """That many segments of three frames each."""
    spool = Spool(folder, 100_000, 100)
    spool.open()
    for seq in range(count):
        spool.append(
            [OutFrame("t", 0, FrameHeader("gw", 1, seq * 3 + part, 0, 1, 1, 2), b"x" * 40) for part in range(3)]
        )
    spool.close()
    return sorted(folder.glob("*.spool"))


def test_what_was_found_is_added_up_over_all_segments(tmp_path: Path) -> None:
    paths = segments(tmp_path, 3)
    for path in paths[:2]:
        body = bytearray(path.read_bytes())
        body[20] ^= 3
        body[len(body) // 3 + 20] ^= 1
        path.write_bytes(body + b"CNSP1")
    state = inspect(tmp_path)
    assert (state.segments, state.frames, state.damaged, state.mended, state.torn_bytes) == (3, 7, 2, 2, 10)
    assert state.readings == {1: 7}
    assert state.bytes == sum(path.stat().st_size for path in paths)


def test_a_segment_without_a_readable_byte_is_torn_as_a_whole_and_dropped_at_opening(tmp_path: Path) -> None:
    paths = segments(tmp_path, 2)
    paths[0].write_bytes(b"CNSP123")
    assert inspect(tmp_path).torn_bytes == 7
    spool = Spool(tmp_path, 100_000, 100)
    spool.open()
    assert not paths[0].exists()
    assert [path.read_bytes() for path in tmp_path.glob("*.damaged")] == [b"CNSP123"]
    assert spool.size == paths[1].stat().st_size
    spool.close()


def test_a_segment_that_goes_while_it_is_inspected_is_no_error(tmp_path: Path) -> None:
    segments(tmp_path, 1)
    (tmp_path / "00000000000000000009.spool").symlink_to(tmp_path / "drained meanwhile")
    assert inspect(tmp_path).frames == 3


def test_before_the_first_connection_nothing_is_acknowledged_and_dropped_ones_add_up() -> None:
    tracker = AckTracker()
    for mids in ([1, 2], [3]):
        assert tracker.complete(tracker.open(mids, tracker.generation)) == []
    assert tracker.dropped_acks == 3
