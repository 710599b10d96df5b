"""Write the dashboards: `python -m deploy.grafana.build [--check]`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from deploy.grafana.classic import JSONEncoder, schema
from deploy.grafana.operators_board import board as operators_board
from deploy.grafana.platform_board import board as platform_board

FOLDER = Path(__file__).parent / "dashboards"
BOARDS: Mapping[str, Callable[[], schema.Dashboard]] = {
    "operators-en.json": lambda: operators_board("en"),
    "operators-vi.json": lambda: operators_board("vi"),
    "platform.json": platform_board,
}


def render(name: str) -> str:
    """The text of one dashboard file."""
    return JSONEncoder(sort_keys=True, indent=2, ensure_ascii=False).encode(BOARDS[name]()) + "\n"


def stale() -> list[str]:
    """Names of the files that differ from what this code makes."""
    return [
        name
        for name in BOARDS
        if not (FOLDER / name).exists() or (FOLDER / name).read_text(encoding="utf-8") != render(name)
    ]


def main(arguments: list[str]) -> int:
    """Write all files; with --check write nothing and exit 1 where one is not what the code makes."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m deploy.grafana.build [--check]", file=sys.stderr)
        return 2
    if arguments:
        old = stale()
        for name in old:
            print(f"{name} is not what the code makes; run python -m deploy.grafana.build", file=sys.stderr)
        return 1 if old else 0
    FOLDER.mkdir(exist_ok=True)
    for name in BOARDS:
        (FOLDER / name).write_text(render(name), encoding="utf-8")
        print(f"wrote {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
