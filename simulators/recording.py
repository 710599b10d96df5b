"""A recorded CSV as columns: what to read from it is a `RecordingSpec`, what was read a `Recording`, bad rows are named by line."""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ingest.contract.operating import UserError
from ingest.contract.sensor_kinds import METRICS, conversion
from simulators.noise import Floats, Ints
from simulators.payloads import FORMATS

MISSING = ("", "NA", "NaN", "nan", "NULL", "null", "?", "-")
_MOST_NAMED = 20


class Column(BaseModel):
    """One value column: which metric it is, and in which unit the file has it (default: the canonical one)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    metric: str
    unit: str = ""

    @model_validator(mode="after")
    def _known(self) -> Column:
        metric = METRICS.get(self.metric)
        if metric is None:
            alike = difflib.get_close_matches(self.metric, METRICS, n=3) or sorted(METRICS)
            raise ValueError(f"{self.metric!r} is not a known metric; there is {', '.join(alike)}")
        if self.unit and conversion(metric, self.unit) is None:
            raise ValueError(f"unit {self.unit!r} does not convert to {metric.unit!r}, the unit of {self.metric}")
        return self


class RecordingSpec(BaseModel):
    """How to read a recording and how to send it; what `replay --save` writes and `city --with` reads (JSON)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    csv: Path
    columns: tuple[Column, ...] = Field(min_length=1)
    time_columns: tuple[str, ...] = Field(min_length=1)
    time_format: str = ""
    time_zone: str = "UTC"
    device: str = ""
    device_column: str = ""
    delimiter: str = Field(",", min_length=1, max_length=1)
    missing: tuple[str, ...] = MISSING
    form: str = "senml-json"
    pack: int = Field(1, ge=1, le=500)
    shift_s: int = 0
    end_now: bool = False

    @field_validator("time_zone")
    @classmethod
    def _is_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ValueError, OSError, KeyError):
            raise ValueError(f"{name!r} is not an IANA time zone, e.g. Europe/Brussels") from None
        return name

    @model_validator(mode="after")
    def _consistent(self) -> RecordingSpec:
        if bool(self.device) == bool(self.device_column):
            raise ValueError("give either device (one name for all rows) or device_column")
        if self.form not in FORMATS:
            raise ValueError(f"format {self.form!r} is unknown; known are {', '.join(FORMATS)}")
        if self.form == "chirpstack-v4" and self.pack > 1:
            raise ValueError("a LoRaWAN uplink carries one sample: pack must be 1 with chirpstack-v4")
        if self.end_now and self.shift_s:
            raise ValueError("give either shift_s or end_now")
        return self


def read_spec(path: Path) -> RecordingSpec:
    """A saved specification.

    Raises:
        UserError: not readable, or wrong; all mistakes in one message.
    """
    try:
        return RecordingSpec.model_validate_json(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    except ValidationError as error:
        raise UserError(f"{path} is no recording: {problems_of(error)}") from None


def problems_of(error: ValidationError) -> str:
    """Every mistake in one line."""
    lines = []
    found = error.errors(include_url=False, include_input=False)
    for item in found:
        if item["type"] == "too_short" and any(other["loc"][:-1] == item["loc"] for other in found):
            continue  # pydantic counts a list without its wrong members, which have a message of their own
        where = ".".join(str(part) for part in item["loc"])
        text = str(item["msg"]).removeprefix("Value error, ")
        lines.append(f"{where}: {text}" if where else text)
    return "; ".join(lines)


@dataclass(frozen=True, slots=True)
class Recording:
    """n rows in file order. `who` indexes `devices`; `time_us` int64[n] after the shift; `value` float64[n, columns] as the file has
    it, NaN where missing. `problems` names the rows that could not be read (the first of them), `bad_rows` counts them all.
    """

    devices: list[str]
    who: Ints
    time_us: Ints
    value: Floats
    rows: int
    bad_rows: int
    problems: list[str]


def read(spec: RecordingSpec, now_us: int) -> Recording:
    """Read the file whole.

    Raises:
        UserError: no such file or column, or no row of it can be read.
    """
    devices: dict[str, int] = {}
    who: list[int] = []
    times: list[int] = []
    values: list[list[float]] = []
    problems: list[str] = []
    bad, rows = 0, 0
    for line, device, moment, cells in _rows(spec):
        rows += 1
        try:
            row = [_number(spec, text, column.column) for text, column in zip(cells, spec.columns, strict=True)]
            time_us = moment()
            if not device:
                raise ValueError(f"column {spec.device_column!r} is empty")
        except ValueError as error:
            bad += 1
            if len(problems) < _MOST_NAMED:
                problems.append(f"{spec.csv}, line {line}: {error}")
            continue
        who.append(devices.setdefault(device, len(devices)))
        times.append(time_us)
        values.append(row)
    if not who:
        raise UserError(
            f"no row of {spec.csv} can be read" + (f"; the first: {problems[0]}" if problems else " (it has none)")
        )
    time = np.asarray(times, dtype=np.int64)
    shift = (now_us - int(time.max())) // 1_000_000 * 1_000_000 if spec.end_now else spec.shift_s * 1_000_000
    return Recording(
        list(devices), np.asarray(who, np.int64), time + shift, np.asarray(values, np.float64), rows, bad, problems
    )


def _rows(spec: RecordingSpec) -> Iterator[tuple[int, str, Callable[[], int], list[str]]]:
    """(line, device, time as a function that may raise ValueError, value cells) of every row."""
    parse = _time_parser(spec)
    try:
        with spec.csv.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file, delimiter=spec.delimiter)
            head = next(reader, [])
            index = _index_of(spec, head)
            time_at, value_at = (
                [index[name] for name in spec.time_columns],
                [index[column.column] for column in spec.columns],
            )
            device_at = index[spec.device_column] if spec.device_column else None
            for found in reader:
                if not found:
                    continue
                cells = found + [""] * (len(head) - len(found))  # a short row has its last values missing
                text = " ".join(cells[i].strip() for i in time_at)
                device = spec.device if device_at is None else cells[device_at].strip()
                yield reader.line_num, device, lambda text=text: parse(text), [cells[i] for i in value_at]  # type: ignore[misc]
    except OSError as error:
        raise UserError(f"cannot read {spec.csv}: {error.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{spec.csv} is no UTF-8 CSV: {error}") from None


def _index_of(spec: RecordingSpec, head: list[str]) -> dict[str, int]:
    index = {name.strip(): i for i, name in enumerate(head)}
    needed = [
        *spec.time_columns,
        *(column.column for column in spec.columns),
        *([spec.device_column] if spec.device_column else []),
    ]
    absent = [name for name in needed if name not in index]
    if not head:
        raise UserError(f"{spec.csv} is empty; its first row must name its columns")
    if absent:
        raise UserError(
            f"{spec.csv} has no column {', '.join(map(repr, absent))}; its columns are {', '.join(map(repr, head))} "
            f"(read with delimiter {spec.delimiter!r})"
        )
    return index


def _time_parser(spec: RecordingSpec) -> Callable[[str], int]:
    zone = UTC if spec.time_zone == "UTC" else ZoneInfo(spec.time_zone)

    def parse(text: str) -> int:
        try:
            moment = datetime.strptime(text, spec.time_format) if spec.time_format else datetime.fromisoformat(text)  # noqa: DTZ007
        except ValueError:
            wanted = f"the format {spec.time_format!r}" if spec.time_format else "ISO 8601; give a time format"
            raise ValueError(f"time {text!r} is not of {wanted}") from None
        aware = moment.replace(tzinfo=zone) if moment.tzinfo is None else moment
        return round(aware.timestamp() * 1e6)

    return parse


def _number(spec: RecordingSpec, text: str, column: str) -> float:
    stripped = text.strip()
    if stripped in spec.missing:
        return math.nan
    try:
        number = float(stripped)
    except ValueError:
        raise ValueError(
            f"column {column!r}: {text!r} is no number; if it means missing, say so with --missing"
        ) from None
    if not math.isfinite(number):
        raise ValueError(f"column {column!r}: {text!r} is not finite")
    return number
