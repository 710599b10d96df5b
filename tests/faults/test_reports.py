"""What the reports say of trials that went well and badly."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from deploy.chaos.destroyed import Destroyed
from deploy.chaos.faults import FAULTS
from deploy.chaos.report_page import page
from deploy.chaos.report_text import as_json, as_table, summary
from deploy.chaos.sampling import Sample
from deploy.chaos.timeline import lanes, picture
from deploy.chaos.recovery import is_calm
from deploy.chaos.trial import Result


def looks(placed: list[int | None]) -> list[Sample]:
    """Two looks a second; devices are acknowledged 1,000 readings a second."""
    return [Sample(n / 2, 500 * n, value, 0, 0.1, 2e6) for n, value in enumerate(placed)]


GOOD = Result(
    "kill-kafka", readings=30_000, recovery_s=4.25, began_s=2.0, ended_s=5.0, samples=looks([*range(0, 10_000, 500)])
)
BAD = Result("lock", readings=5, lost=2, problems=["ingest ended by itself"])


def test_the_table_has_a_line_for_each_fault_and_says_what_is_wrong() -> None:
    text = as_table([GOOD, BAD])
    assert text.splitlines()[1].split() == ["kill-kafka", "30,000", "0", "0", "0", "4.2"]
    assert text.splitlines()[2].split() == ["lock", "5", "2", "0", "0", "-"]
    assert "  ingest ended by itself" in text
    assert summary([GOOD, BAD]) == "1 of 2 faults were not survived as promised: lock"
    assert summary([GOOD]) == "1 faults, 30,000 readings: 0 lost, 0 doubled, 0 unaccounted"


GONE = Destroyed("a record of the spool", 272, frozenset())
DESTROYING = Result("damaged-segment", readings=20_000, lost=270, unaccounted=272, destroyed=[GONE], gone=270)


def test_what_a_fault_destroyed_itself_is_told_and_nothing_else_may_be_missing() -> None:
    text = as_table([DESTROYING])
    assert "the only copy of 272 readings (a record of the spool); 270 of them are nowhere else" in text
    assert DESTROYING.passed
    assert "but for 272 of which faults destroyed the only copy" in summary([DESTROYING])
    for lost, unaccounted in ((271, 272), (269, 272), (270, 271), (270, 0)):
        assert not replace(DESTROYING, lost=lost, unaccounted=unaccounted).passed
    assert not replace(DESTROYING, destroyed=[]).passed
    assert not replace(DESTROYING, doubled=1).passed
    assert "272 readings" in page([DESTROYING], 3, 60.0)
    assert as_json([DESTROYING], 3)["trials"][0]["destroyed"] == {"a record of the spool": 272}


def test_a_fault_that_cannot_be_thrown_here_says_so() -> None:
    assert "  not thrown: no user namespaces" in as_table([replace(GOOD, not_here="no user namespaces")])


def test_json_counts_seconds_from_the_trials_start() -> None:
    said = as_json([GOOD, BAD], seed=3)
    assert said["passed"] is False
    assert said["trials"][0]["began_s"] == 2.0
    assert said["trials"][0]["samples"][2] == {
        "at_s": 1.0, "acked": 1000, "placed": 1000, "in_flight": 0, "lag_s": 0.1, "spool_bytes": 2e6
    }  # fmt: skip


def test_the_page_stands_alone_and_its_pictures_are_sound() -> None:
    html = page([GOOD, BAD], 3, 60.0)
    assert "src=" not in html
    assert "href=" not in html
    assert html.count('class="failed"') == 3
    assert FAULTS["kill-kafka"].description in html
    picture_of_it = ET.fromstring(picture(GOOD))  # noqa: S314 - our own text
    lines = {line.get("class"): (line.get("points") or "").split() for line in picture_of_it.iter("polyline")}
    assert set(lines) == {"in", "stored", "lag", "spool"}
    assert len(lines["in"]) == len(GOOD.samples) - 4


def test_rates_are_readings_a_second_and_silence_has_no_point() -> None:
    readings = lanes(looks([0, 500, None, None, 1500, 2500, 3500]))[0]
    assert [value for _, value in dict(readings.lines)["in"]] == pytest.approx([1000.0] * 3)
    assert [value for _, value in dict(readings.lines)["stored"]] == pytest.approx([3500 / 3])


def test_calm_is_close_behind_and_never_without_an_answer() -> None:
    assert is_calm(looks([0, 400, 900]), base=0)
    assert not is_calm(looks([0, 400, 400]), base=0)
    assert is_calm(looks([1000, 1400, 1900]), base=1000)
    assert not is_calm(looks([0, None, 1000]), base=0)
    assert not is_calm([Sample(n / 2, 5000 + 500 * n, 500 * n, 0, None, None) for n in range(3)], base=0)
    assert not is_calm([Sample(n / 2, 500, 500, 0, None, None) for n in range(3)], base=0)
