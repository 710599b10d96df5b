"""Programs and libraries of a package prefix made to find each other: soname links, interpreter and rpath."""

import struct
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from deploy.local.trouble import Trouble

_PT_INTERP = 3
_PT_DYNAMIC = 2
_FILES_PER_CALL = 40


@dataclass(frozen=True, slots=True)
class ElfFile:
    """A dynamically linked ELF file; `has_interpreter` tells a program from a library."""

    path: Path
    has_interpreter: bool


def inspect(path: Path) -> ElfFile | None:
    """Read the program headers; None for what is not a 64-bit little-endian dynamic ELF file."""
    with path.open("rb") as file:
        head = file.read(64)
        if len(head) < 64 or head[:6] != b"\x7fELF\x02\x01":
            return None
        (offset,) = struct.unpack_from("<Q", head, 32)
        size, count = struct.unpack_from("<HH", head, 54)
        file.seek(offset)
        table = file.read(size * count)
    kinds = {struct.unpack_from("<I", table, at)[0] for at in range(0, len(table) - 3, size)} if size else set()
    if _PT_DYNAMIC not in kinds:
        return None
    return ElfFile(path, _PT_INTERP in kinds)


def find(prefix: Path) -> list[ElfFile]:
    """Every dynamic ELF file under `prefix` but libc and the loader, which patchelf would break."""
    found = []
    for path in prefix.rglob("*"):
        if path.is_symlink() or not path.is_file() or path.name == "libc.so.6" or path.name.startswith("ld-linux"):
            continue
        if path.suffix == ".o" or path.stat().st_size < 64:
            continue
        elf = inspect(path)
        if elf is not None:
            found.append(elf)
    return found


def library_folders(prefix: Path) -> list[Path]:
    """Folders of shared libraries in a prefix, the multiarch ones first, private ones (pulseaudio/) after."""
    roots = [folder for folder in (prefix / "usr/lib", prefix / "lib") if folder.is_dir()]
    multiarch = [folder for root in roots for folder in sorted(root.glob("*-linux-gnu"))]
    private = [folder / name for folder in multiarch for name in ("pulseaudio",) if (folder / name).is_dir()]
    return [*multiarch, *private, *roots]


def loader(prefix: Path) -> Path:
    """The prefix's own ld-linux."""
    for folder in [prefix / "usr/lib64", prefix / "lib64", *library_folders(prefix)]:
        for path in sorted(folder.glob("ld-linux-*.so.*")):
            return path.resolve()
    msg = f"the unpacked libc6 in {prefix} has no ld-linux; remove the folder and try again"
    raise Trouble(msg)


def relocate(built: Path, final: Path, patchelf: Path) -> int:
    """Point every ELF file under `built` to the loader and libraries under `final`, where `built` will be moved.

    Returns how many files there were. DT_RPATH and not RUNPATH, because LD_LIBRARY_PATH must not win over our libc.
    """
    for folder in library_folders(built):
        subprocess.run(["/sbin/ldconfig", "-n", str(folder)], check=False, capture_output=True)
    moved = [final / folder.relative_to(built) for folder in library_folders(built)]
    rpath = ":".join(str(folder) for folder in moved)
    interpreter = final / loader(built).relative_to(built.resolve())
    files = find(built)
    with_rpath = [str(patchelf), "--force-rpath", "--set-rpath", rpath]
    calls = _calls([*with_rpath, "--set-interpreter", str(interpreter)], [f.path for f in files if f.has_interpreter])
    calls += _calls(with_rpath, [f.path for f in files if not f.has_interpreter])
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(_patch, calls))
    return len(files)


def make_path_relative(program: Path, path: str) -> int:
    """Turn an absolute folder that a program has built in into one relative to its working folder; return how many.

    The text keeps its length: the leading slash goes, and one is added at the end, where a doubled one means nothing.
    """
    wired = path.encode()
    content = program.read_bytes()
    count = content.count(wired)
    if count:
        program.write_bytes(content.replace(wired, wired[1:] + b"/"))
    return count


def add_library(program: Path, library: str, patchelf: Path) -> None:
    """Make a program load a library before all others, so that its functions stand in for libc's."""
    _patch([str(patchelf), "--add-needed", library, str(program)])


def _calls(command: Sequence[str], paths: Sequence[Path]) -> list[list[str]]:
    names = [str(path) for path in paths]
    return [[*command, *names[at : at + _FILES_PER_CALL]] for at in range(0, len(names), _FILES_PER_CALL)]


def _patch(command: list[str]) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        msg = f"patchelf failed on an unpacked Debian package ({last}); report it with the output of `uname -m`"
        raise Trouble(msg)
