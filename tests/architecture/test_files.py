"""Sizes, names and contents of the files themselves."""

from __future__ import annotations

import ast
import re

import pytest

from tests.architecture.tree import STAGES, files, parsed, python_files, text

LINES_WANTED, LINES_AT_MOST = 350, 500
LONG_FILES = {
    "deploy/local/stack.py": "one class, each method a few lines: the stack's whole vocabulary for tests and commands",
    "ingest/mqtt_source.py": "one class whose callbacks share the connection's generation",
}
"""File of more than 350 lines -> why it is not two."""
FUNCTION_LINES_AT_MOST = 60
"""The house rule is about 40; what is longer than this is two functions."""
LONG_FUNCTIONS = {"ingest/metrics.py __init__": "one declaration for each metric, nothing to follow"}
"""Function of more lines than that -> why it is not two."""
DUMPS = {"utils", "util", "common", "helpers", "helper", "misc", "base", "shared", "lib"}

_TEXT = {
    "", ".conf", ".css", ".html", ".json", ".lock", ".md", ".properties", ".py", ".service", ".sh", ".sql", ".toml", ".ts", ".yaml", ".yml",
}  # fmt: skip
_MACHINE = re.compile(r"(?<![\w.])/(?:root|work|tmp/brief|home/(?!citynerve\b)\w+)/\w")
_ADDRESS = re.compile(r"https?://([A-Za-z0-9.-]+)")
_HOSTS = {
    "127.0.0.1", "localhost",  # loopback
    "www.apache.org",  # the licence's own text
    "json-schema.org", "www.w3.org",  # names of schemas and namespaces, never fetched
}  # fmt: skip
_DOCUMENTS = {"www.postgresql.org"}
"""Documentation that a comment cites as the source of a rule."""
_RESERVED = (".example", ".test", ".invalid", "example.com", "example.org")
_SERVICES = {"alertmanager", "prometheus", "ingest", "control", "process", "timescaledb", "grafana"}
"""Host names of compose.yaml."""


def test_files_are_short_enough_to_read() -> None:
    sizes = {str(path): text(path).count("\n") for path in python_files()}
    too_long = {path: lines for path, lines in sizes.items() if lines > LINES_WANTED and path not in LONG_FILES}
    assert too_long == {}, f"split them, or give the reason in LONG_FILES (never beyond {LINES_AT_MOST})"
    assert max(sizes.values()) <= LINES_AT_MOST
    assert {path for path in LONG_FILES if sizes.get(path, 0) <= LINES_WANTED} == set(), (
        "no exception is needed any more"
    )


def test_functions_are_short_enough_to_read() -> None:
    for path in python_files(*STAGES):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if f"{path} {node.name}" not in LONG_FUNCTIONS:
                    assert lines <= FUNCTION_LINES_AT_MOST, f"{path}:{node.lineno} {node.name} has {lines} lines"


def test_no_module_is_a_dump() -> None:
    for path in files():
        if "node_modules" not in path.parts:
            assert not DUMPS & {part.removesuffix(path.suffix) for part in path.parts}, path


@pytest.mark.parametrize("stage", STAGES)
def test_every_module_and_public_name_says_what_it_is(stage: str) -> None:
    for path in python_files(stage):
        module = parsed(path)
        assert ast.get_docstring(module), f"{path} has no docstring"
        for node in module.body:
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and not node.name.startswith(
                "_"
            ):
                assert ast.get_docstring(node), f"{path}:{node.lineno} {node.name} has no docstring"


def test_no_file_names_a_machine_or_a_place_to_download_from() -> None:
    for path in files():
        if path.suffix not in _TEXT or path.name == "test_files.py":
            continue
        content = text(path)
        if path.name == "package-lock.json":  # it names who may be paid for a package, but nowhere to fetch one
            assert '"resolved"' not in content
            continue
        assert _MACHINE.search(content) is None, f"{path} holds a path of one machine: {_MACHINE.search(content)}"
        hosts = {
            host
            for host in _ADDRESS.findall(content)
            if host not in _HOSTS | _SERVICES | _DOCUMENTS and not host.endswith(_RESERVED)
        }
        assert hosts == set(), f"{path} names {sorted(hosts)}"


def test_the_paths_the_rule_looks_for_are_found() -> None:
    for bad in ("see /root/x", "/home/someone/x", "/work/main"):
        assert _MACHINE.search(bad), bad
    for good in ("/home/citynerve", "processors/work/x", "framework/x", "/var/lib/citynerve"):
        assert _MACHINE.search(good) is None, good
