"""The CSV of the device register: read with every mistake named by its line, written so that a spreadsheet runs nothing in it. No I/O."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from control_center.rows import Device
from ingest.contract.reading import DEVICE_MAX_BYTES

COLUMNS: Final = ("device", "name", "kind", "district", "latitude", "longitude", "expected_interval_s")
_NUMBER_LIMITS: Final = {"latitude": 90.0, "longitude": 180.0}
_TEXT_MAX: Final = 200
_MAX_INTERVAL_S: Final = 31 * 86400
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
Entry = dict[str, str | float | int | None]


def parse_devices(text: str) -> tuple[list[Entry], list[str]]:
    """The rows of a CSV file and every mistake in it, each beginning with its line.

    `device` is needed, the other columns may be left out (what is registered stays). An empty number means: not known.
    """
    reader = csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True)
    try:
        header = next(reader, [])
        problems = _header_problems(header)
        if problems:
            return [], problems
        return _parse_rows(header, reader)
    except csv.Error as error:
        return [], [f"line {reader.line_num}: not readable as CSV: {error}"]


def _header_problems(header: Sequence[str]) -> list[str]:
    if not header:
        return [f"line 1: the file is empty; its first line must name the columns: {','.join(COLUMNS)}"]
    if len(header) == 1 and ";" in header[0]:
        return ["line 1: the columns are separated by semicolons; save the file with commas"]
    problems = [
        f"line 1: column {name!r} is not known; known are {', '.join(COLUMNS)}"
        for name in header
        if name not in COLUMNS
    ]
    problems += [f"line 1: column {name!r} stands there twice" for name in COLUMNS if header.count(name) > 1]
    if "device" not in header:
        problems.append("line 1: the column device is missing")
    return problems


def _parse_rows(header: Sequence[str], reader: Iterable[list[str]]) -> tuple[list[Entry], list[str]]:
    entries: list[Entry] = []
    problems: list[str] = []
    first_line: dict[str, int] = {}
    for cells in reader:
        line = reader.line_num if hasattr(reader, "line_num") else 0
        if not any(cell.strip() for cell in cells):
            continue
        if len(cells) != len(header):
            problems.append(f"line {line}: {len(cells)} values, but the first line names {len(header)} columns")
            continue
        entry, wrong = _parse_row(dict(zip(header, cells, strict=True)))
        problems += [f"line {line}: {problem}" for problem in wrong]
        device = str(entry.get("device", ""))
        if device in first_line:
            problems.append(f"line {line}: device {device!r} was already on line {first_line[device]}")
        first_line.setdefault(device, line)
        entries.append(entry)
    return entries, problems


def _parse_row(cells: Mapping[str, str]) -> tuple[Entry, list[str]]:
    entry: Entry = {}
    problems: list[str] = []
    for column, cell in cells.items():
        value, problem = _parse_cell(column, _unguarded(cell.strip()))
        entry[column] = value
        if problem:
            problems.append(f"{column} {problem}")
    if (entry.get("latitude") is None) != (entry.get("longitude") is None) and not problems:
        problems.append("latitude and longitude must be given both or neither")
    return entry, problems


def _parse_cell(column: str, cell: str) -> tuple[str | float | int | None, str | None]:
    if column in _NUMBER_LIMITS:
        return _number(cell, _NUMBER_LIMITS[column])
    if column == "expected_interval_s":
        return _interval(cell)
    return cell, _text_problem(column, cell)


def _text_problem(column: str, cell: str) -> str | None:
    if any(ord(character) < 32 or ord(character) == 127 for character in cell):
        return "holds control characters"
    if column == "device" and not 1 <= len(cell.encode()) <= DEVICE_MAX_BYTES:
        return f"must have 1 to {DEVICE_MAX_BYTES} bytes"
    if len(cell) > _TEXT_MAX:
        return f"is longer than {_TEXT_MAX} characters"
    return None


def _interval(cell: str) -> tuple[int | None, str | None]:
    if not cell:
        return None, None
    if cell.isascii() and cell.isdigit() and len(cell) <= 9 and 1 <= int(cell) <= _MAX_INTERVAL_S:
        return int(cell), None
    return None, f"{cell[:40]!r} is not a whole number of seconds between 1 and {_MAX_INTERVAL_S}"


def _number(cell: str, limit: float) -> tuple[float | None, str | None]:
    if not cell:
        return None, None
    try:
        number = float(cell) if "_" not in cell else float("nan")
    except ValueError:
        number = float("nan")
    if not -limit <= number <= limit:
        return None, f"{cell[:40]!r} is not a number between -{limit:g} and {limit:g} (decimal point, not comma)"
    return number, None


def format_devices(devices: Iterable[Device]) -> str:
    """The register as CSV, readable by `parse_devices`; texts a spreadsheet would run as a formula get an apostrophe in front."""
    out = io.StringIO(newline="")
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(COLUMNS)
    for device in devices:
        values = [getattr(device, column) for column in COLUMNS]
        writer.writerow([_guarded(value) if isinstance(value, str) else value for value in values])
    return out.getvalue()


def _guarded(cell: str) -> str:
    # "'=" is guarded too, else reading it back would take its own apostrophe for a guard
    return (
        f"'{cell}"
        if cell.startswith(_FORMULA) or (cell.startswith("'") and cell[1:].startswith((*_FORMULA, "'")))
        else cell
    )


def _unguarded(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and cell[1:].startswith((*_FORMULA, "'")) else cell
