"""Kafka's jars: those of deploy/kafka/jars.lock, fetched by jgo and checked against their SHA-256."""

import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from deploy.local.cache_entry import cached, need_space
from deploy.local.places import REPOSITORY
from deploy.local.progress import step
from deploy.local.trouble import Trouble

LOCK = REPOSITORY / "deploy/kafka/jars.lock"
HOST_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_FETCHERS = 8
_TIMEOUT_S = 60


class LockedJar(NamedTuple):
    """One line of the lock: Maven coordinates and the SHA-256 of the jar."""

    group: str
    artifact: str
    version: str
    sha256: str


def read_lock(text: str) -> list[LockedJar]:
    """Read the lock, `group:artifact:version sha256:HEX` a line."""
    jars = []
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        coordinates, digest = line.split(" sha256:")
        group, artifact, version = coordinates.split(":")
        jars.append(LockedJar(group, artifact, version, digest))
    return jars


def provide() -> Path:
    """Return the folder of the jars, fetching them where it is absent."""
    text = LOCK.read_text()
    jars = read_lock(text)
    recipe = hashlib.sha256(text.encode()).hexdigest()
    return cached(f"kafka-{recipe[:10]}", recipe, lambda folder, _: _fetch(jars, folder))


def _fetch(jars: list[LockedJar], folder: Path) -> None:
    from jgo.maven import MavenContext  # noqa: PLC0415 - needed on a first start only

    need_space(folder, 200, "downloading Kafka")
    if HOST_CERTIFICATES.exists():  # an organisation's own authority is there, and not in the library's list
        os.environ.setdefault("REQUESTS_CA_BUNDLE", str(HOST_CERTIFICATES))
    with step(f"kafka: downloading {len(jars)} jars"), ThreadPoolExecutor(_FETCHERS) as pool:
        maven = MavenContext(repo_cache=folder / "maven", timeout=_TIMEOUT_S)
        list(pool.map(lambda jar: _fetch_one(maven, jar, folder), jars))
    shutil.rmtree(folder / "maven")


def _fetch_one(maven: object, jar: LockedJar, folder: Path) -> None:
    name = f"{jar.artifact}-{jar.version}.jar"
    try:
        component = maven.project(jar.group, jar.artifact).at_version(jar.version)  # type: ignore[attr-defined]
        path = Path(component.artifact(packaging="jar").resolve())
    except Exception as error:  # jgo raises what its HTTP client does; any of it means "not fetched"
        reason = (str(error).splitlines() or [type(error).__name__])[0].rpartition("(Caused by ")[2].rstrip("()")
        msg = f"cannot fetch {name} from Maven Central ({reason}); check the network and start again"
        raise Trouble(msg) from None
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != jar.sha256:
        msg = f"{name} as fetched is not the file of {LOCK.name} (SHA-256 {digest}); find out why before you go on"
        raise Trouble(msg)
    shutil.move(path, folder / name)
