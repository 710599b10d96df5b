"""Alarm rules as processors judge them: one row of `city.rules`. The control center writes them, processors evaluate them vectorised."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Severity = Literal["critical", "warning", "info"]
RuleKind = Literal["threshold", "absence"]
Source = Literal["reading", "1m", "15m", "1h", "1d"]
Column = Literal["value", "mean", "min", "max", "last", "p50", "p95", "p99", "special", "count"]


class Rule(BaseModel):
    """One rule.

    threshold: raise when `column` of `source` is `above` (or below) `raise_at` for at least `for_s` of event time without a break;
    clear when it is back past `clear_at` (hysteresis; equal to `raise_at` means none).
    absence: raise when a device has sent nothing for `missed_intervals` times its expected interval; clear on the next reading.
    `device_glob` is a shell pattern over device ids.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule_id: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    kind: RuleKind
    severity: Severity = "warning"
    metric: str | None = None
    device_glob: str = "*"
    source: Source = "1m"
    column: Column = "mean"
    above: bool = True
    raise_at: float | None = None
    clear_at: float | None = None
    for_s: int = Field(0, ge=0, le=7 * 86400)
    missed_intervals: float = Field(3.0, ge=1.0, le=1000.0)
    title_en: str
    title_vi: str
    advice_en: str = ""
    advice_vi: str = ""
    enabled: bool = True

    @model_validator(mode="after")
    def _complete(self) -> Rule:
        if self.kind == "absence":
            return self
        if self.metric is None or self.raise_at is None:
            raise ValueError(f"rule {self.rule_id}: a threshold rule needs metric and raise_at")
        if (
            self.clear_at is not None
            and (self.clear_at > self.raise_at) == self.above
            and self.clear_at != self.raise_at
        ):
            side = "at or below" if self.above else "at or above"
            raise ValueError(f"rule {self.rule_id}: clear_at must be {side} raise_at, else the alarm could never rest")
        if (self.source == "reading") != (self.column == "value"):
            raise ValueError(f'rule {self.rule_id}: column "value" belongs to source "reading", the others to windows')
        return self
