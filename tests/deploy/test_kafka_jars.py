"""Kafka's jars: only what the lock names, with the very content it names."""

import hashlib
from pathlib import Path

import pytest

from deploy.local import kafka_jars
from deploy.local.kafka_jars import LockedJar
from deploy.local.trouble import Trouble


class FakeMaven:
    """Stands for jgo's MavenContext: every artifact is one file."""

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def project(self, group: str, artifact: str) -> "FakeMaven":
        del group, artifact
        return self

    def at_version(self, version: str) -> "FakeMaven":
        del version
        return self

    def artifact(self, packaging: str) -> "FakeMaven":
        assert packaging == "jar"
        return self

    def resolve(self) -> Path:
        if self.path is None:
            raise RuntimeError(
                "HTTPSConnectionPool: Max retries exceeded (Caused by NameResolutionError('no such host'))"
            )
        return self.path


def jar(content: bytes) -> LockedJar:
    return LockedJar("org.example", "thing", "1.0", hashlib.sha256(content).hexdigest())


def test_the_lock_pins_kafka_a_log_binding_and_every_digest() -> None:
    jars = {entry.artifact: entry for entry in kafka_jars.read_lock(kafka_jars.LOCK.read_text())}
    assert jars["kafka_2.13"].version == "4.3.1"
    assert "slf4j-simple" in jars
    assert all(len(bytes.fromhex(entry.sha256)) == 32 for entry in jars.values())


def test_the_lock_names_no_address() -> None:
    assert "://" not in kafka_jars.LOCK.read_text()


def test_a_jar_with_the_right_content_is_put_in_place(tmp_path: Path) -> None:
    (tmp_path / "download").write_bytes(b"jar")
    kafka_jars._fetch_one(FakeMaven(tmp_path / "download"), jar(b"jar"), tmp_path)
    assert (tmp_path / "thing-1.0.jar").read_bytes() == b"jar"


def test_a_jar_with_other_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "download").write_bytes(b"something else")
    with pytest.raises(Trouble, match=r"thing-1\.0\.jar as fetched is not the file of jars\.lock"):
        kafka_jars._fetch_one(FakeMaven(tmp_path / "download"), jar(b"jar"), tmp_path)
    assert not (tmp_path / "thing-1.0.jar").exists()


def test_no_network_is_one_sentence_with_the_innermost_reason(tmp_path: Path) -> None:
    with pytest.raises(Trouble) as caught:
        kafka_jars._fetch_one(FakeMaven(None), jar(b"jar"), tmp_path)
    assert "NameResolutionError('no such host'" in str(caught.value)
    assert "check the network" in str(caught.value)
    assert "\n" not in str(caught.value)
