"""The repository's own files, as the architecture tests see them."""

from __future__ import annotations

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
STAGES = ("ingest", "processors", "control_center", "simulators", "deploy")


@cache
def files() -> tuple[Path, ...]:
    """Every file that is in the repository or would be added to it, relative to its root."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=30).stdout.decode().split("\0")
    return tuple(sorted(Path(name) for name in set(listed) if name and (ROOT / name).is_file()))


def python_files(*folders: str) -> list[Path]:
    """The Python files below the named top folders (all of them when none is named)."""
    return [path for path in files() if path.suffix == ".py" and (not folders or path.parts[0] in folders)]


def text(path: Path) -> str:
    """Content of a file."""
    return (ROOT / path).read_text(encoding="utf-8")


def parsed(path: Path) -> ast.Module:
    """Syntax tree of a Python file."""
    return ast.parse(text(path), filename=str(path))


def imports(path: Path) -> list[str]:
    """Dotted names a file imports, wherever in the file (relative imports are written out)."""
    found: list[str] = []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = node.module or ""
            if node.level:
                start = ".".join([*path.parts[: len(path.parts) - node.level], *([start] if start else [])])
            found += [f"{start}.{alias.name}" for alias in node.names]
    return found
