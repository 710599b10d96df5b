"""What the prose says is true: layout, commands, paths, links, decision records, changelog."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.cli import COMMANDS
from ingest.contract.rejects import RejectReason
from tests.architecture.command_line import problem
from tests.architecture.tree import ROOT, files, text

PROSE = sorted(path for path in files() if path.suffix == ".md")
READMES = (Path("README.md"), Path("README.vi.md"))
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`((?:citynerve|make) [^`\n]+)`")
_LINK = re.compile(r"\]\(([^)#\s]+)(#[^)\s]*)?\)")
RECORD_HEADINGS = ["Context", "Decision", "Why", "Rejected", "Consequences"]
RECORD_LINES = 36


def commands() -> Iterator[tuple[Path, str]]:
    """Every `citynerve ...` and `make ...` that prose tells someone to type (`...` and <placeholders> are left alone)."""
    for path in PROSE:
        content = text(path)
        typed = [line for _, block in _FENCE.findall(content) for line in re.sub(r"\\\n\s*", " ", block).splitlines()]
        typed += _INLINE.findall(content)
        for line in typed:
            # a comment, or an explanation set off by a wide gap, stands behind a command
            command = re.sub(r"\s{2,}#.*|\s#\s.*|\s{3,}.*", "", line.strip().removeprefix("$ ")).strip()
            command = re.sub(r"^([A-Z_]+=\S+\s+)+", "", command)
            if command.startswith(("citynerve ", "make ")) and "..." not in command and "<" not in command:
                yield path, command


def test_the_prose_holds_commands_at_all() -> None:
    assert len(list(commands())) > 15


def test_every_command_in_the_prose_is_real() -> None:
    wrong = [f"{path}: {command}: {why}" for path, command in commands() if (why := problem(command))]
    assert wrong == []


@pytest.mark.parametrize(
    "command",
    ["make nowhere", "citynerve upp", "citynerve up --nowhere", "citynerve ingest nowhere", "citynerve status extra"],
)
def test_a_wrong_command_would_be_found(command: str) -> None:
    assert problem(command) is not None


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_answers_help(name: str) -> None:
    done = run(name, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Usage: "), done.stdout


@pytest.mark.parametrize("readme", READMES, ids=str)
def test_the_layout_list_is_the_tree(readme: Path) -> None:
    section = re.search(r"<!-- layout -->\n```\n(.*?)```", text(readme), re.DOTALL)
    assert section is not None, "the list stands between <!-- layout --> and its code fence"
    listed = {line.split()[0] for line in section[1].splitlines() if line.strip() and not line.startswith(" ")}
    tracked = {f"{path.parts[0]}/" if len(path.parts) > 1 else path.parts[0] for path in files()}
    hidden = {name for name in tracked if name.startswith(".")}
    assert listed == tracked - hidden


@pytest.mark.parametrize("path", PROSE, ids=str)
def test_links_and_paths_lead_somewhere(path: Path) -> None:
    for target, _ in _LINK.findall(text(path)):
        assert (ROOT / path.parent / target).exists(), f"{path} links to {target}"


def test_both_readmes_have_the_same_sections() -> None:
    english, vietnamese = (re.findall(r"^(#+) ", text(path), re.MULTILINE) for path in READMES)
    assert english == vietnamese
    assert [_FENCE.findall(text(path))[0][0] for path in READMES]


def records() -> list[Path]:
    """The decision records."""
    return [path for path in PROSE if path.parts[:2] == ("docs", "decisions") and path.name != "README.md"]


def test_the_decisions_of_this_version_are_recorded_and_listed() -> None:
    index = text(Path("docs/decisions/README.md"))
    assert len(records()) >= 5
    assert set(re.findall(r"\]\(([\w-]+\.md)\)", index)) == {path.name for path in records()}


@pytest.mark.parametrize("record", records(), ids=str)
def test_a_decision_record_has_its_five_headings_and_is_short(record: Path) -> None:
    content = text(record)
    assert re.findall(r"^## (.+)$", content, re.MULTILINE) == RECORD_HEADINGS
    assert content.startswith("# ")
    assert content.count("\n") <= RECORD_LINES


def test_the_changelog_has_the_version_of_the_package() -> None:
    version = re.search(r'^version = "([^"]+)"', text(Path("pyproject.toml")), re.MULTILINE)
    assert version is not None
    assert f"## [{version[1]}]" in text(Path("CHANGELOG.md"))
    assert text(Path("LICENSE")).strip().startswith("Apache License")


def test_the_field_guide_explains_every_reject_reason() -> None:
    table = re.findall(r"^\| (`[^|]*`) \|", text(Path("docs/field-engineer.md")), re.MULTILINE)
    assert sorted(reason for line in table for reason in re.findall(r"`(\w+)`", line)) == sorted(RejectReason)


def test_the_field_guides_example_answers_as_it_says(tmp_path: Path) -> None:
    guide = text(Path("docs/field-engineer.md"))
    payload = re.search(r'For `(\{"pm2_5".*?\})` the second line', guide)
    promised = re.search(r'^(\{"reject": .*?), \.\.\.\}$', guide, re.MULTILINE)
    assert payload is not None
    assert promised is not None
    (tmp_path / "payload.json").write_text(payload[1], encoding="utf-8")
    done = run("ingest", "decode", "--topic", "city/json/air-1", str(tmp_path / "payload.json"))
    assert done.returncode == 1
    assert done.stdout.splitlines()[1].startswith(promised[1])


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `citynerve` as a user would."""
    command = [sys.executable, "-m", "deploy.cli", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def test_make_help_lists_every_target_the_prose_names() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True).stdout
    named = {command.split()[1] for _, command in commands() if command.startswith("make ")}
    assert {f"make {name}" for name in named} <= set(re.findall(r"make [a-z-]+", listed)) | {"make help"}


_PATH = re.compile(
    r"(?<![\w/.-])((?:docs|deploy|ingest|processors|control_center|simulators|tests)/[\w./-]+\.(?:md|toml|py|sql|ya?ml|conf|json|lock))\b"
)


def test_every_file_that_code_or_prose_names_exists() -> None:
    kinds = {".py", ".md", ".toml", ".yml", ".yaml", ".sql", ".conf", ".service", ".ts"}
    missing = {
        f"{path}: {name}"
        for path in files()
        if path.suffix in kinds and path.parts[0] != "tests"
        for name in _PATH.findall(text(path))
        if not (ROOT / name).exists()
    }
    assert missing == set()
