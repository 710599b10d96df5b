"""The small disk of the faults really fills, gives back what is removed, and leaves nothing behind, as root or not."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from deploy.chaos import small_disk
from deploy.chaos.small_disk import SmallDisk
from deploy.chaos.waits import NotHere

SIZE = 1 << 20


@pytest.fixture(params=["as we are", "as an ordinary user"])
def disk_folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where to mount it; the second way is the only one without root, and works with it too."""
    if request.param == "as an ordinary user":
        monkeypatch.setattr(small_disk, "is_root", lambda: False)
    try:
        with SmallDisk(tmp_path / "trial", SIZE):
            pass
    except NotHere as reason:
        pytest.skip(str(reason))
    return tmp_path / "disk"


def test_it_fills_and_removing_works_when_it_is_full(disk_folder: Path) -> None:
    with SmallDisk(disk_folder, SIZE) as disk:
        assert 0 < disk.free_bytes <= SIZE
        disk.fill()
        assert disk.free_bytes == 0
        with (
            pytest.raises(OSError, match="No space left") as caught,
            (disk.path / "more").open("wb", buffering=0) as file,
        ):
            file.write(b"x" * 5000)
        assert caught.value.errno == errno.ENOSPC
        disk.relieve()
        assert (disk.path / "more").exists()
        assert disk.free_bytes > SIZE // 2
    assert not disk_folder.exists()


def test_where_nothing_can_be_mounted_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(small_disk, "is_root", lambda: False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotHere, match="cannot be mounted here"), SmallDisk(tmp_path / "disk", SIZE):
        pass
    assert not (tmp_path / "disk").exists()
