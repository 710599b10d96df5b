"""ELF files found and told apart; the patched ones are proven by the servers' tests, which run them."""

import struct
import sys
from pathlib import Path

from deploy.local import elf_files


def elf(*kinds: int) -> bytes:
    """A 64-bit ELF header with program headers of the given kinds."""
    head = bytearray(64)
    head[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<Q", head, 32, 64)
    struct.pack_into("<HH", head, 54, 56, len(kinds))
    return bytes(head) + b"".join(struct.pack("<I", kind) + bytes(52) for kind in kinds)


def test_programs_libraries_and_other_files_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(elf(1, 3, 2))
    (tmp_path / "library").write_bytes(elf(1, 2))
    (tmp_path / "static").write_bytes(elf(1))
    (tmp_path / "script").write_text("#!/bin/sh\n" + "exit 0\n" * 20)
    assert elf_files.inspect(tmp_path / "program") == elf_files.ElfFile(tmp_path / "program", has_interpreter=True)
    assert elf_files.inspect(tmp_path / "library") == elf_files.ElfFile(tmp_path / "library", has_interpreter=False)
    assert elf_files.inspect(tmp_path / "static") is None
    assert elf_files.inspect(tmp_path / "script") is None


def test_libc_and_the_loader_are_left_alone(tmp_path: Path) -> None:
    for name in ("libc.so.6", "ld-linux-x86-64.so.2", "libm.so.6"):
        (tmp_path / name).write_bytes(elf(1, 2))
    (tmp_path / "libm.so").symlink_to("libm.so.6")
    assert [found.path.name for found in elf_files.find(tmp_path)] == ["libm.so.6"]


def test_a_real_program_is_recognised() -> None:
    assert elf_files.inspect(Path(sys.executable).resolve()) is not None


def test_a_built_in_folder_becomes_relative_and_the_file_keeps_its_length(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\0/usr/share/a/b/default.tmpl\0/usr/share/a\0")
    assert elf_files.make_path_relative(program, "/usr/share/a/b") == 1
    assert program.read_bytes() == b"\0usr/share/a/b//default.tmpl\0/usr/share/a\0"
    assert elf_files.make_path_relative(program, "/not/there") == 0


def test_multiarch_folders_come_before_the_plain_ones(tmp_path: Path) -> None:
    private = tmp_path / "usr/lib/x86_64-linux-gnu/pulseaudio"
    private.mkdir(parents=True)
    assert elf_files.library_folders(tmp_path) == [private.parent, private, tmp_path / "usr/lib"]
