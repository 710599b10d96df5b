"""What the reports say of trials that went well and badly."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from deploy.chaos.arena import Stop
from deploy.chaos.destroyed import Destroyed
from deploy.chaos.faults import FAULTS
from deploy.chaos.memory import MIB, Growth
from deploy.chaos.recovery import is_calm
from deploy.chaos.report_page import page
from deploy.chaos.report_text import as_json, as_table, summary
from deploy.chaos.report_words import memory_lines, theme, told
from deploy.chaos.sampling import Sample
from deploy.chaos.timeline import lanes, picture
from deploy.chaos.trial import Result


def looks(placed: list[int | None]) -> list[Sample]:
    """Two looks a second; devices are acknowledged 1,000 readings a second."""
    return [Sample(n / 2, 500 * n, value, 0, 0.1, 2e6, 0.3, {"ingest": 90 * MIB}) for n, value in enumerate(placed)]


GOOD = Result(
    "kill-kafka", readings=30_000, recovery_s=4.25, began_s=2.0, ended_s=5.0, samples=looks([*range(0, 10_000, 500)]),
    latency_back_s=6.0, phases_s={"fault": 3.0, "recovery": 8.5},
    growths=[Growth("ingest", 90 * MIB, 108 * MIB, 95 * MIB), Growth("servers", 500 * MIB, 600 * MIB, 600 * MIB)],
    stops=[Stop("process2", 1.25, 15.0), Stop("process2", 0.5, 15.0)],
)  # fmt: skip
BAD = Result("lock", readings=5, lost=2, problems=["ingest ended by itself"])


def test_the_table_has_a_line_for_each_fault_and_says_what_is_wrong() -> None:
    text = as_table([GOOD, BAD])
    assert text.splitlines()[1].split() == ["kill-kafka", "30,000", "0", "0", "0", "4.2", "6.0", "+18", "11.5"]
    assert text.splitlines()[3].split() == ["lock", "5", "2", "0", "0", "-", "-", "-", "0.0"]
    assert "  ingest ended by itself" in text
    assert "  process2 (2 times, the longest) ended 1.2 s after SIGTERM, of 15 s that it may take" in text
    assert text.splitlines()[-1] == "the trials took 0.2 minutes"
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
        "at_s": 1.0, "acked": 1000, "placed": 1000, "in_flight": 0, "lag_s": 0.1, "spool_bytes": 2e6, "latency_s": 0.3,
        "memory": {"ingest": 90 * MIB},
    }  # fmt: skip
    assert said["trials"][0]["memory"]["ingest"] == {"before": 90 * MIB, "most": 108 * MIB, "after": 95 * MIB}
    assert said["trials"][0]["stops"][0] == {"name": "process2", "took_s": 1.25, "budget_s": 15.0}
    assert said["took_s"] == 11.5


def test_the_page_stands_alone_and_its_pictures_are_sound() -> None:
    html = page([GOOD, BAD], 3, 60.0)
    assert "src=" not in html
    assert re.findall(r'href="([^"]*)"', html) == ["#g1", "#g2", "#t1", "#t2"]
    assert [f'id="{target}"' in html for target in ("g1", "g2", "t1", "t2")] == [True] * 4
    assert "url(" not in html
    assert "@import" not in html
    assert "Kill -9 of kafka, twice" in html
    assert "1 of 1 as promised" in html
    assert "0 of 1 as promised" in html
    assert '<tr class="failed"><td><a href="#t2">' in html
    picture_of_it = ET.fromstring(picture(GOOD))  # noqa: S314 - our own text
    lines = {line.get("class"): (line.get("points") or "").split() for line in picture_of_it.iter("polyline")}
    assert set(lines) == {"in", "stored", "lag", "latency", "spool", "ingest", "process", "control"}
    assert len(lines["in"]) == len(GOOD.samples) - 4


def test_the_page_begins_with_the_verdict() -> None:
    good = page([GOOD], 3, 60.0)
    assert "After every fault the system came back by itself; the longest took 4 s (kill-kafka)." in good
    assert 'class="verdict"' in good
    bad = page([GOOD, BAD], 3, 60.0)
    assert 'class="verdict failed">1 of 2 faults were not survived as promised: lock.' in bad


def test_what_happened_is_told_in_words() -> None:
    assert told(GOOD) == (
        "Nothing had to wait; the gateway kept 2.0 MB on its disk. "
        "As fast as before 4.2 s after the fault's end, as prompt as before after 6.0 s."
    )
    waited = replace(GOOD, samples=looks([0, 0, 0, None, 0, 2000, 2500, 3000]), began_s=0.0)
    assert told(waited).startswith("At most 2,000 readings waited; the gateway kept 2.0 MB on its disk; the database")
    assert told(BAD) == "Nothing had to wait. It did not come back to normal."


def test_every_fault_has_a_theme_that_a_person_can_read() -> None:
    themes = {theme(name) for name in FAULTS}
    assert all(10 < len(said) < 150 and said[0].isupper() for said in themes)
    assert len(themes) < len(FAULTS) / 4


def test_of_each_part_the_trial_is_told_in_which_its_memory_grew_most() -> None:
    other = replace(GOOD, fault="lock", growths=[Growth("ingest", 90 * MIB, 100 * MIB, 90 * MIB)])
    lines = memory_lines([other, GOOD])
    assert [(line.part, line.fault) for line in lines] == [("ingest", "kill-kafka"), ("servers", "kill-kafka")]
    assert "ingest            90     108      95     108  +18 in kill-kafka" in as_table([other, GOOD])


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
