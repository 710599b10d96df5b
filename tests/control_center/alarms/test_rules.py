"""The rules file: what comes with CityNerve is right, and every mistake in one's own file is named in one message."""

import tomllib
from pathlib import Path
from typing import Any

import pytest

from control_center.alarms.rules import DEFAULT_RULES, INTERNAL_RULES, load_rules, parse_rules, rule_texts
from control_center.texts import catalogue
from ingest.contract.operating import UserError

GOOD = {
    "rule_id": "pm", "kind": "threshold", "metric": "pm2_5", "source": "15m", "column": "mean", "raise_at": 50.0, "title_en": "High",
    "title_vi": "Cao",
}  # fmt: skip


def problems(**changes: Any) -> list[str]:
    entry = {key: value for key, value in (GOOD | changes).items() if value is not None}
    return parse_rules({"rule": [entry]})[1]


def test_the_rules_that_come_with_citynerve_are_valid_and_in_both_languages() -> None:
    rules = load_rules(None)
    assert {"threshold", "absence"} == {rule.kind for rule in rules}
    assert len(rules) >= 8
    for rule in rules:
        assert rule.title_vi != rule.title_en
        assert rule.advice_en
        assert rule.advice_vi


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"metric": "pm25"}, "'pm25' is not in the catalogue"),
        ({"raise_at": 1e9}, "can never be reached"),
        ({"clear_at": 60.0}, "clear_at must be at or below raise_at"),
        ({"above": False, "clear_at": 40.0}, "clear_at must be at or above raise_at"),
        ({"column": "special"}, "no special aggregate"),
        ({"metric": "wind_direction"}, "a direction"),
        ({"source": "reading"}, 'column "value" belongs to source "reading"'),
        ({"source": "5m"}, "source"),
        ({"rule_id": "unaccounted"}, "CityNerve's own"),
        ({"rule_id": "A B"}, "rule_id"),
        ({"title_vi": " "}, "title_vi"),
        ({"title_vi": None}, "title_vi"),
        ({"metric": None}, "needs metric"),
        ({"severity": "urgent"}, "severity"),
        ({"for_s": -1}, "for_s"),
        ({"device_glob": ""}, "device_glob"),
        ({"treshold": 5}, "treshold"),
    ],
)
def test_each_mistake_is_named_with_its_rule(changes: dict[str, Any], words: str) -> None:
    found = problems(**changes)
    assert len(found) == 1
    assert words in found[0]
    assert found[0].startswith("rule 1 (")


def test_a_rule_without_mistakes_is_taken() -> None:
    assert problems() == []
    assert problems(metric="laeq", column="special", raise_at=80.0, clear_at=75.0) == []


def test_all_mistakes_come_in_one_message_and_no_rule_is_taken(tmp_path: Path) -> None:
    file = tmp_path / "rules.toml"
    file.write_text(
        DEFAULT_RULES.read_text().replace('"pm2_5"', '"pm25"') + '\n[[rule]]\nrule_id = "heat"\n[nonsense]\n'
    )
    with pytest.raises(UserError) as caught:
        load_rules(file)
    message = str(caught.value)
    assert "no rule was taken" in message
    for words in (
        "rule 1 (pm25-high): metric 'pm25'",
        "rule 2 (pm25-very-high)",
        "rule 10 (heat)",
        "'nonsense' is not known",
    ):
        assert words in message


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"[[rule", "not valid TOML"), (b"\xff", "cannot read"), (b"rule = 5", "must be written as [[rule]]")],
)
def test_a_file_that_is_no_rules_file_is_said_to_be_none(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "rules.toml"
    file.write_bytes(content)
    with pytest.raises(UserError, match=r"rules\.toml") as caught:
        load_rules(file)
    assert words in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot read the rules file"):
        load_rules(tmp_path / "none.toml")


def test_the_same_id_twice_is_a_mistake() -> None:
    assert parse_rules({"rule": [GOOD, GOOD]})[1] == ["rule_id 'pm' is used 2 times"]


def test_an_alarm_keeps_texts_not_limits_of_its_rule() -> None:
    texts = rule_texts(load_rules(None)[0]).texts
    assert set(texts) == {"kind", "title_en", "title_vi", "advice_en", "advice_vi"}
    assert set(INTERNAL_RULES["unaccounted"].texts) == set(texts)


def test_the_shipped_file_says_what_each_rule_is_for() -> None:
    assert len(tomllib.loads(DEFAULT_RULES.read_text())["rule"]) == len(load_rules(None))
    assert len(catalogue()) > 20
