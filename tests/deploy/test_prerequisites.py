"""What the host must have, each told in one sentence with the remedy."""

from pathlib import Path

import pytest

from deploy.local import prerequisites
from deploy.local.trouble import Trouble


def test_a_host_without_time_zones_is_told_of_tzdata(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prerequisites, "ZONE", tmp_path / "absent")
    with pytest.raises(Trouble, match="install the Debian package tzdata"):
        prerequisites.check_host()


def test_this_host_will_do() -> None:
    prerequisites.check_host()


def test_root_is_told_which_folder_is_closed_to_the_servers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr(prerequisites, "is_root", lambda: True)
    monkeypatch.setenv("CITYNERVE_CACHE", str(closed / "cache"))
    with pytest.raises(Trouble) as caught:
        prerequisites.check_host()
    assert "may not enter" in str(caught.value)
    assert "CITYNERVE_CACHE" in str(caught.value)


def test_an_open_way_is_fine_whether_or_not_its_end_exists(tmp_path: Path) -> None:
    prerequisites.check_others_may_enter(Path("/usr/share/absent/folder"))
    prerequisites.check_others_may_enter(Path("/usr/share"))
    assert tmp_path.exists()
