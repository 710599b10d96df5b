"""The catalogue of sentences: both languages, the same values in each, and the caller's language found."""

import re
from pathlib import Path

import pytest

import control_center
from control_center.texts import catalogue, preferred_language, text

PLACE = re.compile(r"\{(\w+)")


def test_every_sentence_is_there_in_both_languages_with_the_same_values() -> None:
    for key, entry in catalogue().items():
        assert set(PLACE.findall(entry["en"])) == set(PLACE.findall(entry["vi"])), key
        assert entry["en"].strip()
        assert entry["vi"].strip()


def test_every_sentence_the_code_asks_for_exists_and_none_is_left_over() -> None:
    source = "".join(path.read_text() for path in Path(control_center.__file__).parent.glob("**/*.py"))
    # test_flow.py and test_device_clocks.py go through those whose keys are put together
    made = ("unaccounted_", "offset_gap_", "flow_held_up_", "flow_unknown_", "flow_kafka_", "flow_database_", "clock_")
    unused = [key for key in catalogue() if f'"{key}"' not in source and not key.startswith(made)]
    assert unused == []
    asked = re.findall(r'ApiError\(\d+, "(\w+)"|refusal\(\d+, "(\w+)"', source)
    assert {name for pair in asked for name in pair if name} <= set(catalogue())


def test_values_are_data() -> None:
    assert text("unknown_device", "en", device="{0.__class__}") == "There is no device '{0.__class__}'."


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"), ("vi", "vi"), ("vi-VN,vi;q=0.9,en;q=0.8", "vi"), ("en-US,en;q=0.9,vi;q=0.8", "en"), ("fr,de", "en"),
        ("fr,vi;q=0.1", "vi"),
        ("vi;q=0", "en"), ("en;q=0.2, vi;q=0.3", "vi"), (";;;,=,q=,vi;q=x", "en"), ("VI", "vi"), ("*" * 10_000, "en"),
    ],
)  # fmt: skip
def test_the_language_of_a_browser_is_found(header: str, language: str) -> None:
    assert preferred_language(header) == language
