"""Debian packages fetched by apt-get as an ordinary user: own state and cache folders, the host's mirror and keyring.

Standard library only: the bootstrap uses it too. Nothing is installed on the host; apt checks every signature and hash.
"""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.local.trouble import Trouble

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
TRIXIE_KEY = Path("/usr/share/keyrings/debian-archive-trixie-automatic.gpg")
COMMAND_BUDGET_S = 600
_WHAT_FAILED = re.compile(r"^(?:E|W): (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Apt:
    """apt-get with its own folders under `home`; `sources` None means the host's own sources."""

    home: Path
    suite: str | None = None
    mirror: str | None = None
    keyring: Path = KEYRING

    def update(self) -> None:
        """Fetch the package index; raises Trouble in one sentence where the mirror or the network fails."""
        for folder in ("state/lists/partial", "cache/archives/partial", "etc/preferences.d"):
            (self.home / folder).mkdir(parents=True, exist_ok=True)
        (self.home / "state/status").touch()
        if self.suite is not None:
            parts = self.home / "etc/sources.list.d"
            parts.mkdir(parents=True, exist_ok=True)
            source = (
                f"Types: deb\nURIs: {self.mirror}\nSuites: {self.suite}\nComponents: main\n"
                f"Architectures: {architecture()}\nSigned-By: {self.keyring}\n"
            )
            (parts / "suite.sources").write_text(source)
        self._run(["update"], cwd=self.home)

    def index(self) -> bytes:
        """The Packages file of the suite, whatever way apt stored it."""
        found = [path for path in (self.home / "state/lists").iterdir() if "_Packages" in path.name]
        if not found:
            msg = f"apt-get brought no package index of {self.suite}; look at {self.home / 'state/lists'}"
            raise Trouble(msg)
        if found[0].suffix == "":
            return found[0].read_bytes()
        unpacked = ["/usr/lib/apt/apt-helper", "cat-file", str(found[0])]
        return subprocess.run(unpacked, check=True, capture_output=True).stdout

    def download(self, packages: list[str], into: Path) -> list[Path]:
        """Fetch packages (`name` or `name=version`) and return the .deb files."""
        into.mkdir(parents=True, exist_ok=True)
        self._run(["download", *packages], cwd=into)
        return sorted(into.glob("*.deb"))

    def _run(self, arguments: list[str], cwd: Path) -> None:
        command = ["apt-get", "-q", "-c", str(self._settings()), *arguments]
        environment = os.environ | {"LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"}
        try:
            done = subprocess.run(
                command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=COMMAND_BUDGET_S, check=False
            )
        except FileNotFoundError:
            msg = "apt-get is missing: this is no Debian; use Docker with deploy/compose.yaml instead"
            raise Trouble(msg) from None
        except subprocess.TimeoutExpired:
            msg = (
                f"apt-get {arguments[0]} did not end within {COMMAND_BUDGET_S} s; check the network, or set "
                "CITYNERVE_DEBIAN_MIRROR to a nearer mirror"
            )
            raise Trouble(msg) from None
        if done.returncode != 0:
            raise Trouble(_failure_sentence(arguments[0], done.stdout + done.stderr, self.mirror))

    def _settings(self) -> Path:
        """Our apt.conf, read after the host's, whose proxies and certificates stay in force."""
        settings = {
            "Dir::State": self.home / "state",
            "Dir::State::status": self.home / "state/status",
            "Dir::Cache": self.home / "cache",
            "APT::Sandbox::User": "",  # else root's apt becomes _apt, which may not enter our folders
            "APT::Default-Release": "",  # the host's would not be found among our sources
            "APT::Update::Error-Mode": "any",
            "Acquire::Languages": "none",
            "Acquire::GzipIndexes": "false",
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled": "false",
            "Acquire::Retries": "3",
        }
        if self.suite is not None:
            settings |= {
                "Dir::Etc::SourceList": "/dev/null",
                "Dir::Etc::SourceParts": self.home / "etc/sources.list.d",
                "Dir::Etc::Preferences": "/dev/null",
                "Dir::Etc::PreferencesParts": self.home / "etc/preferences.d",
            }
        cleared = [f"#clear APT::Update::{hook};" for hook in ("Pre-Invoke", "Post-Invoke", "Post-Invoke-Success")]
        lines = [*cleared, *(f'{name} "{value}";' for name, value in settings.items())]
        path = self.home / "apt.conf"
        path.write_text("\n".join(lines) + "\n")
        return path


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a .deb file without running its scripts; raises Trouble where that fails."""
    done = subprocess.run(["dpkg", "-x", str(archive), str(folder)], check=False, capture_output=True, text=True)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        msg = f"cannot unpack {archive.name}: {reason}; free disk space, or set CITYNERVE_CACHE to a folder with room"
        raise Trouble(msg)


def architecture() -> str:
    """Debian's name of this processor; raises Trouble on one for which not everything is packaged."""
    machine = os.uname().machine
    names = {"x86_64": "amd64", "aarch64": "arm64"}
    if machine not in names:
        msg = f"this processor ({machine}) is not supported: the servers come for x86-64 and arm64 only"
        raise Trouble(msg)
    return names[machine]


def host_mirror() -> str:
    """The Debian mirror this host is set up with (`CITYNERVE_DEBIAN_MIRROR` wins)."""
    if chosen := os.environ.get("CITYNERVE_DEBIAN_MIRROR"):
        return chosen.rstrip("/") + "/"
    try:
        listed = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(CREATED_BY)|$(REPO_URI)|$(RELEASE)|$(COMPONENT)"],
            capture_output=True, text=True, timeout=60, check=False,
        ).stdout  # fmt: skip
    except (FileNotFoundError, subprocess.TimeoutExpired):
        listed = ""
    mirror = mirror_of(listed)
    if mirror is None:
        msg = (
            "this host's apt configuration names no Debian mirror; set CITYNERVE_DEBIAN_MIRROR to the address of one "
            "(a Debian 12 or 13 is needed, or Docker with deploy/compose.yaml)"
        )
        raise Trouble(msg)
    return mirror


def mirror_of(index_targets: str) -> str | None:
    """Pick Debian's own archive out of `apt-get indextargets`: component main, neither security nor a third party's."""
    for line in index_targets.splitlines():
        created_by, address, release, component = line.split("|")
        suite = release.split("-")[0].split("/")[0]
        if created_by != "Packages" or component != "main" or "security" in address + release:
            continue
        if suite in {"bookworm", "trixie", "forky", "sid", "stable", "oldstable", "testing", "unstable"}:
            return address
    return None


def _failure_sentence(verb: str, output: str, mirror: str | None) -> str:
    found = _WHAT_FAILED.findall(output)
    reason = found[0].strip() if found else output.strip().splitlines()[-1] if output.strip() else "no reason given"
    if "No space left" in output:
        return f"apt-get {verb} failed: the disk is full; free 1.5 GB, or set CITYNERVE_CACHE to a folder with room"
    if "NO_PUBKEY" in output or "not signed" in output:
        remedy = "update Debian's package debian-archive-keyring"
        return f"apt-get {verb} failed: the keys in {KEYRING} do not cover the suite ({reason}); {remedy}"
    remedy = f"check the network and that {mirror} is a Debian mirror (CITYNERVE_DEBIAN_MIRROR sets another)"
    return f"apt-get {verb} failed: {reason}; {remedy if mirror else 'check the network'}"


def keyring(work: Path) -> Path:
    """A keyring that knows trixie and forky: the host's, or on an old point release the newer one of its own mirror."""
    if TRIXIE_KEY.exists():
        return KEYRING
    if not KEYRING.exists():
        msg = f"{KEYRING} is missing, so signatures cannot be checked; install the package debian-archive-keyring"
        raise Trouble(msg)
    apt = Apt(work / "host")
    apt.update()
    unpack(apt.download(["debian-archive-keyring"], work / "keyring")[0], work / "keyring")
    return work / "keyring" / KEYRING.relative_to("/")
