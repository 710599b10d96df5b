"""What Grafana does to a query before it sends it: macros of its PostgreSQL data source, variables, the queries of a dashboard."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "deploy/grafana/dashboards"
NAMES = ("operators-en.json", "operators-vi.json", "platform.json")
_UNITS_S = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class PanelQuery:
    """One query of one panel. `kind` is "sql" or "promql"; `series` says that Grafana will read it as a time series."""

    board: str
    panel: str
    kind: str
    text: str
    series: bool
    legend: str = ""

    def __str__(self) -> str:
        return f"{self.board}: {self.panel}"


@dataclass(frozen=True, slots=True)
class TimeRange:
    """The chosen time range and the interval Grafana computes from it and the panel's width."""

    start: datetime
    end: datetime
    interval: str = "1m"


def load(name: str, folder: Path = FOLDER) -> dict[str, Any]:
    """One dashboard file."""
    document: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return document


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel, those inside rows too; rows themselves are not panels."""
    for panel in board["panels"]:
        yield from panel.get("panels") or []
        if panel["type"] != "row":
            yield panel


def queries(name: str, folder: Path = FOLDER) -> list[PanelQuery]:
    """Every query of every panel of a dashboard."""
    found: list[PanelQuery] = []
    for panel in panels(load(name, folder)):
        for target in panel["targets"]:
            if "rawSql" in target:
                found.append(
                    PanelQuery(name, panel["title"], "sql", target["rawSql"], target["format"] == "time_series")
                )
            else:
                found.append(
                    PanelQuery(name, panel["title"], "promql", target["expr"], not target.get("instant", False))
                )
    return found


def variables(name: str) -> list[dict[str, Any]]:
    """The dashboard's variables."""
    return list(load(name)["templating"].get("list", []))


def expand_sql(text: str, chosen: Mapping[str, str | Sequence[str]], time: TimeRange) -> str:
    """The statement Grafana would send.

    Raises:
        ValueError: something with a `$` is neither a macro nor a variable that is given.
    """
    text = text.replace("$__interval", time.interval)  # before the macros: they take it as an argument
    text = re.sub(r"\$__(\w+)\(([^()]*)\)", lambda match: _macro(match[1], match[2], time), text)
    text = re.sub(r"\$\{(\w+)(?::(\w+))?\}", lambda match: _variable(match[1], match[2], chosen), text)
    if "$" in text:
        raise ValueError(f"not expanded: {text[text.index('$') :][:40]!r}")
    return text


def _macro(name: str, arguments: str, time: TimeRange) -> str:
    given = [argument.strip() for argument in arguments.split(",")] if arguments.strip() else []
    start, end = time.start.isoformat(), time.end.isoformat()
    match name:
        case "timeFilter":
            return f"{given[0]} BETWEEN '{start}' AND '{end}'"
        case "timeFrom":
            return f"'{start}'"
        case "timeTo":
            return f"'{end}'"
        case "timeGroup" | "timeGroupAlias":  # as with `timescaledb: true` in the provisioned data source
            bucket = f"time_bucket('{_seconds(given[1].strip(chr(39))):.3f}s',{given[0]})"
            return bucket + (' AS "time"' if name.endswith("Alias") else "")
    raise ValueError(f"there is no macro $__{name}")


def _seconds(text: str) -> float:
    match = re.fullmatch(r"(\d+)(ms|s|m|h|d)", text)
    if match is None:
        raise ValueError(f"{text!r} is no interval of Grafana's")
    return int(match[1]) * _UNITS_S[match[2]]


def _variable(name: str, form: str | None, chosen: Mapping[str, str | Sequence[str]]) -> str:
    if name not in chosen:
        raise ValueError(f"the dashboard has no variable {name}")
    value = chosen[name]
    values = [value] if isinstance(value, str) else list(value)
    if form == "sqlstring":
        return ",".join("'" + item.replace("'", "''") + "'" for item in values)
    if form is None and len(values) == 1:
        return values[0]
    raise ValueError(f"variable {name} is used in a way this test does not know")


def expand_promql(text: str) -> str:
    """The expression Grafana would send, for a scrape interval of a second."""
    text = text.replace("$__rate_interval", "5s").replace("$__interval", "5s")
    if "$" in text:
        raise ValueError(f"not expanded: {text}")
    return text
