"""The condition of a query, put together from what a caller asked for."""

from __future__ import annotations

from typing import Any


class Where:
    """Collects conditions and their bound values, so that no value is ever part of the SQL text."""

    def __init__(self) -> None:
        self.conditions: list[str] = ["true"]
        self.arguments: list[Any] = []

    def add(self, condition: str, *values: object) -> None:
        """`condition` with {0}, {1} where the values go."""
        marks = [f"${len(self.arguments) + n + 1}" for n in range(len(values))]
        self.conditions.append(condition.format(*marks))
        self.arguments += values

    def __str__(self) -> str:
        return " AND ".join(self.conditions)
