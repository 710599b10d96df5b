"""`python -m tests.fuzz.run TARGET... --seconds N`: coverage-guided fuzzing with atheris; `make fuzz` runs it.

Each target gets a process of its own. What breaks a promise, takes more than ten seconds or more than 2 GB is kept as
tests/corpus/findings/<target>/<sha>.bin, where the tests find it; its verdict must be written into verdicts.json by whoever mends it.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib
import os
import subprocess
import sys
import tempfile
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
FINDINGS = REPOSITORY / "tests" / "corpus" / "findings"
WORKING_SET = Path(tempfile.gettempdir()) / "citynerve-fuzz"
"""Inputs that reached new code, kept between runs so that the next one goes on where this one ended."""
TIMEOUT_S, MEMORY_MB, LONGEST_BYTES = 10, 2000, 4096
NAMES = ("plain-json", "senml-json", "chirpstack-v4", "topics", "frames", "spool", "mqtt-packets")


def main() -> int:
    """Fuzz the targets one after the other; 1 where one was broken."""
    parser = argparse.ArgumentParser(description="Fuzz the readers of foreign bytes.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"any of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--seconds", type=int, default=60, help="time for each target (default 60)")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set(options.targets) - set(NAMES)
    if unknown:
        parser.error(f"no target is called {', '.join(sorted(unknown))}; choose from {', '.join(NAMES)}")
    if options.one:
        drive(options.targets[0], options.seconds)
    broken = [name for name in options.targets or NAMES if not survives(name, options.seconds)]
    print(f"broken: {', '.join(broken)}" if broken else "no target was broken")
    return 1 if broken else 0


def survives(name: str, seconds: int) -> bool:
    """Fuzz one target in its own process; keep what broke it."""
    with tempfile.TemporaryDirectory() as found:
        command = [sys.executable, "-m", "tests.fuzz.run", name, "--one", "--seconds", str(seconds)]
        paths = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
        ended = subprocess.run(
            command, cwd=found, env={**os.environ, "PYTHONPATH": paths}, capture_output=True, text=True,
            timeout=seconds + 120, check=False,
        )  # fmt: skip
        lines = ended.stderr.splitlines()
        print(f"{name}: {next((line for line in reversed(lines) if 'DONE' in line or 'Done' in line), 'ended early')}")
        kept = [keep(name, path) for path in sorted(Path(found).iterdir()) if path.is_file()]
        for path in kept:
            print(f"{name}: broken, kept as {path}\n" + "\n".join(lines[-40:]))
        if ended.returncode != 0 and not kept:
            print(f"{name}: the fuzzer itself failed\n" + "\n".join(lines[-40:]))
        return ended.returncode == 0 and not kept


def keep(name: str, crash: Path) -> Path:
    """A breaking input, as a case of the corpus."""
    data = crash.read_bytes()
    folder = FINDINGS / name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{hashlib.sha256(data).hexdigest()[:16]}.bin"
    path.write_bytes(data)
    return path


def drive(name: str, seconds: int) -> None:
    """This process's own loop; libFuzzer ends the process."""
    atheris = importlib.import_module("atheris")  # only `make fuzz` installs it: it has no wheel for arm64
    with atheris.instrument_imports(include=["ingest", "processors"]):
        targets = importlib.import_module("tests.fuzz.targets")
        seeds = importlib.import_module("tests.fuzz.seeds").seeds()
    folder = WORKING_SET / name
    folder.mkdir(parents=True, exist_ok=True)
    for seed in seeds[name]:
        (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    arguments = [
        f"-max_total_time={seconds}", f"-timeout={TIMEOUT_S}", f"-rss_limit_mb={MEMORY_MB}", f"-max_len={LONGEST_BYTES}",
        "-print_final_stats=0", str(folder),
    ]  # fmt: skip
    atheris.Setup([name, *arguments], lambda data: targets.TARGETS[name](data) and None)
    atheris.Fuzz()


if __name__ == "__main__":
    sys.exit(main())
