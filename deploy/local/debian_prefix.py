"""A folder of unpacked Debian packages that runs on any glibc host: its own libc, loader and libraries."""

import hashlib
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local import debian_apt, elf_files
from deploy.local.cache_entry import cached, need_space
from deploy.local.debian_packages import LEFT_OUT, closure, read_index, replaced_pins
from deploy.local.progress import say, step

BUILDER = 1
"""Raised when the way a prefix is built changes, so that caches are rebuilt."""


@dataclass(frozen=True)
class Prefix:
    """What one prefix holds: a suite, the packages asked for and the versions this release was tested with."""

    name: str
    suite: str
    packages: tuple[str, ...]
    pins: dict[str, str] = field(default_factory=dict)
    needed_mb: int = 500
    relative_paths: dict[str, str] = field(default_factory=dict)
    """Program -> folder that it has built in; made relative to its working folder, which must then be the prefix."""
    added_libraries: dict[str, str] = field(default_factory=dict)
    """Program -> library it is made to load first (LD_PRELOAD would reach the host's programs that it starts, too)."""

    def recipe(self) -> str:
        """Digest of all that decides the content."""
        settings = sorted((self.pins | self.relative_paths | self.added_libraries).items())
        parts = [str(BUILDER), self.suite, *self.packages, *(f"{name}={value}" for name, value in settings)]
        parts += [LEFT_OUT.pattern, debian_apt.architecture()]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def provide(self, patchelf: Path) -> Path:
        """Return the prefix's folder, building it where it is absent."""

        def build(folder: Path, final: Path) -> None:
            self._build(folder, final, patchelf)

        # Named by its recipe: a checkout of another version must not replace the programs that this one runs.
        recipe = self.recipe()
        return cached(f"prefixes/{self.name}-{recipe[:10]}", recipe, build)

    def _build(self, folder: Path, final: Path, patchelf: Path) -> None:
        need_space(folder, self.needed_mb, f"unpacking {', '.join(self.packages)}")
        work = folder / ".apt"
        work.mkdir()
        with step(f"{self.name}: package index of Debian {self.suite}"):
            apt = debian_apt.Apt(work, self.suite, debian_apt.host_mirror(), debian_apt.keyring(work))
            apt.update()
            chosen = closure(read_index(apt.index()), self.packages)
        for sentence in replaced_pins(chosen, self.pins):
            say(f"{self.name}: {sentence}")
        with step(f"{self.name}: downloading {len(chosen)} packages"):
            archives = apt.download([f"{p.name}={p.version}" for p in chosen], work / "archives")
        with step(f"{self.name}: unpacking"):
            with ThreadPoolExecutor(2) as pool:
                list(pool.map(lambda archive: debian_apt.unpack(archive, folder), archives))
            count = elf_files.relocate(folder, final, patchelf)
            for program, path in self.relative_paths.items():
                elf_files.make_path_relative(folder / program, path)
            for program, library in self.added_libraries.items():
                elf_files.add_library(folder / program, library, patchelf)
        say(f"{self.name}: {count} programs and libraries set to the folder's own libc")
        shutil.rmtree(work)
