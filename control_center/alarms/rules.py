"""The rules file: TOML with one [[rule]] an alarm rule. Checked whole: all mistakes are named at once, none is half accepted."""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from pydantic import ValidationError

from control_center.alarms.lifecycle import RuleTexts
from control_center.texts import LANGUAGES, text
from ingest.contract.operating import UserError
from ingest.contract.sensor_kinds import METRICS, Mean
from processors.contract.rules import Rule

DEFAULT_RULES: Final = Path(__file__).parent / "default_rules.toml"
UNACCOUNTED: Final = "unaccounted"
OFFSET_GAP: Final = "offset_gap"
INTERNAL_SUBJECT: Final = "citynerve"


def _internal(rule_id: str, severity: str) -> RuleTexts:
    texts = {
        f"{part}_{language}": text(f"{rule_id}_{part}", language)
        for part in ("title", "advice")
        for language in LANGUAGES
    }
    return RuleTexts(severity, {"kind": "internal", **texts})


INTERNAL_RULES: Final[Mapping[str, RuleTexts]] = MappingProxyType(
    {rule_id: _internal(rule_id, "critical") for rule_id in (UNACCOUNTED, OFFSET_GAP)}
)
"""Alarms the control center raises about the data's way itself; processors do not know them."""


def load_rules(path: Path | None) -> list[Rule]:
    """The rules of `path`, or those that come with CityNerve.

    Raises:
        UserError: the file cannot be read, or any rule is wrong; every mistake in one message, each with the rule it is in.
    """
    file = path or DEFAULT_RULES
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read the rules file {file}: {error}") from None
    except tomllib.TOMLDecodeError as error:
        raise UserError(f"the rules file {file} is not valid TOML: {error}") from None
    rules, problems = parse_rules(document)
    if problems:
        raise UserError(f"the rules file {file} is wrong, no rule was taken:\n  " + "\n  ".join(problems))
    return rules


def parse_rules(document: Mapping[str, Any]) -> tuple[list[Rule], list[str]]:
    """The rules of a parsed file and every mistake in it."""
    problems = [f"{key!r} is not known here; a rule begins with [[rule]]" for key in document if key != "rule"]
    entries = document.get("rule", [])
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        return [], [*problems, "rule must be written as [[rule]], once for each rule"]
    rules: list[Rule] = []
    for number, entry in enumerate(entries, 1):
        name = f"rule {number} ({entry.get('rule_id', 'without rule_id')})"
        try:
            rule = Rule.model_validate(entry)
        except ValidationError as error:
            problems += [f"{name}: {_sentence(item)}" for item in error.errors(include_url=False, include_input=False)]
            continue
        problems += [f"{name}: {problem}" for problem in rule_problems(rule)]
        rules.append(rule)
    return rules, problems + _repeated(rules)


def rule_problems(rule: Rule) -> list[str]:
    """What the rule model itself cannot know: the catalogue of metrics and the names we keep for ourselves."""
    problems = []
    if rule.rule_id in INTERNAL_RULES:
        problems.append("this rule_id is CityNerve's own; choose another")
    if not rule.title_en.strip() or not rule.title_vi.strip():
        problems.append("title_en and title_vi must not be empty")
    if not rule.device_glob:
        problems.append('device_glob must not be empty; "*" is every device')
    if rule.metric is None:
        return problems
    metric = METRICS.get(rule.metric)
    if metric is None:
        return [*problems, f"metric {rule.metric!r} is not in the catalogue of metrics"]
    if rule.column == "special" and metric.mean is Mean.ARITHMETIC:
        problems.append(f"{metric.name} has no special aggregate; use mean, max or a percentile")
    if metric.mean is Mean.CIRCULAR and rule.column == "mean":
        problems.append(f'{metric.name} is a direction: its arithmetic mean says nothing; use column = "special"')
    limits = [("raise_at", rule.raise_at), ("clear_at", rule.clear_at)]
    if rule.column not in {"special", "count"}:
        problems += [
            f"{name} = {limit:g} {metric.unit} can never be reached: {metric.name} lies in {metric.low:g} to {metric.high:g}"
            for name, limit in limits
            if limit is not None and not metric.low <= limit <= metric.high
        ]
    return problems


def rule_texts(rule: Rule) -> RuleTexts:
    """What an alarm keeps of the rule."""
    kept = {"kind", "title_en", "title_vi", "advice_en", "advice_vi"}
    return RuleTexts(rule.severity, rule.model_dump(include=kept))


def _repeated(rules: Sequence[Rule]) -> list[str]:
    counts = Counter(rule.rule_id for rule in rules)
    return [f"rule_id {rule_id!r} is used {count} times" for rule_id, count in counts.items() if count > 1]


def _sentence(item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"])
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{where}: {message}" if where else message
