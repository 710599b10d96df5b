"""How apt's configuration is read and its failures are told."""

import os
from pathlib import Path

import pytest

from deploy.local import debian_apt
from deploy.local.debian_apt import Apt, architecture, host_mirror, mirror_of
from deploy.local.trouble import Trouble

TARGETS = """Packages|http://security.example/debian-security/|bookworm-security|main
Packages|http://packages.example/apt/|cloud-sdk|main
DEP-11|http://mirror.example/debian/|bookworm|main
Packages|http://mirror.example/debian/|bookworm|contrib
Packages|http://mirror.example/debian/|bookworm|main
"""


def test_debians_own_archive_is_picked_among_security_and_third_parties() -> None:
    assert mirror_of(TARGETS) == "http://mirror.example/debian/"


def test_a_host_without_debian_sources_has_no_mirror() -> None:
    assert mirror_of("Packages|http://packages.example/apt/|cloud-sdk|main\n") is None


def test_the_mirror_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CITYNERVE_DEBIAN_MIRROR", "http://near.example/debian")
    assert host_mirror() == "http://near.example/debian/"


def test_an_unsupported_processor_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "h", "6", "1", "riscv64")))
    with pytest.raises(Trouble, match=r"riscv64.*x86-64 and arm64"):
        architecture()


def test_a_mirror_that_does_not_answer_is_one_sentence_with_the_remedy(tmp_path: Path) -> None:
    apt = Apt(tmp_path, "trixie", "http://127.0.0.1:9/debian/")
    with pytest.raises(Trouble) as caught:
        apt.update()
    assert "CITYNERVE_DEBIAN_MIRROR" in str(caught.value)
    assert "127.0.0.1:9" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_apt_uses_only_our_folders_and_sources(tmp_path: Path) -> None:
    settings = Apt(tmp_path, "trixie", "http://mirror.example/debian/")._settings().read_text()
    assert f'Dir::State "{tmp_path}/state";' in settings
    assert f'Dir::Etc::SourceParts "{tmp_path}/etc/sources.list.d";' in settings
    assert "#clear APT::Update::Post-Invoke;" in settings


def test_a_host_without_apt_is_told_of_docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Trouble, match=r"compose\.yaml"):
        Apt(tmp_path, "trixie", "http://mirror.example/debian/").update()


def test_a_full_disk_and_missing_keys_have_their_own_remedies() -> None:
    full = debian_apt._failure_sentence("download", "E: write failed (28: No space left on device)", None)
    assert "disk is full" in full
    keys = debian_apt._failure_sentence("update", "E: GPG error: NO_PUBKEY 6ED0E7B82643E131", None)
    assert "debian-archive-keyring" in keys
