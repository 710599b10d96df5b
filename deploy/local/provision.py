"""Everything the stack runs, fetched once into the cache: several downloads at a time, each an entry of its own."""

import shutil
import sysconfig
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deploy.local import java, kafka_jars, pins
from deploy.local.trouble import Trouble


@dataclass(frozen=True, slots=True)
class Programs:
    """Where the fetched programs are: two Debian prefixes, a Java, and the folder of Kafka's jars."""

    servers: Path
    mosquitto: Path
    java: Path
    kafka: Path

    @property
    def postgres_bin(self) -> Path:
        """Folder of initdb, postgres, psql."""
        return self.servers / "usr/lib/postgresql/17/bin"

    def tool(self, name: str) -> Path:
        """Path of a command-line tool of the servers: promtool, amtool, psql, pg_dump, ..."""
        for folder in (
            self.servers / "usr/bin",
            self.postgres_bin,
            self.mosquitto / "usr/sbin",
            self.mosquitto / "usr/bin",
        ):
            if (folder / name).is_file():
                return folder / name
        msg = f"there is no tool {name} among the servers' programs"
        raise Trouble(msg)


def provide_programs() -> Programs:
    """Fetch what is absent and return where everything is. Seconds when nothing is absent."""
    patchelf = patchelf_program()
    with ThreadPoolExecutor(4) as pool:
        servers = pool.submit(pins.SERVERS.provide, patchelf)
        mosquitto = pool.submit(pins.MOSQUITTO.provide, patchelf)
        kafka = pool.submit(kafka_jars.provide)
        found_java = pool.submit(java.find)
        return Programs(servers.result(), mosquitto.result(), found_java.result(), kafka.result())


def provide_browser() -> Path:
    """Path of a Chromium for the tests, fetched where it is absent.

    It is a starter of two lines, because Chromium must find the fonts of its own prefix, and has no sandbox without a
    set-uid helper or as root; it is for our own pages on loopback only.
    """
    prefix = pins.BROWSER.provide(patchelf_program())
    starter = prefix / "citynerve-chromium"
    text = (
        f'#!/bin/sh\nFONTCONFIG_PATH="{prefix}/etc/fonts" FONTCONFIG_SYSROOT="{prefix}" '
        f'exec "{prefix}/usr/lib/chromium/chromium" --no-sandbox "$@"\n'
    )
    if not starter.exists():
        beside = starter.with_suffix(".new")
        beside.write_text(text)
        beside.chmod(0o755)
        beside.replace(starter)
    return starter


def patchelf_program() -> Path:
    """The patchelf of the virtual environment."""
    beside = Path(sysconfig.get_path("scripts")) / "patchelf"
    found = beside if beside.exists() else shutil.which("patchelf")
    if found is None:
        raise Trouble("patchelf is not installed; run `make setup`, which makes the virtual environment")
    return Path(found)
