"""What a soak calls flat."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from tests.benchmarks.soak_judge import LAG_S, Balance, trend, troubles

AT_S = np.arange(0, 3600, 5.0)
FINE = Balance(
    published=100, stored=100, duplicate=0, dead_letter=0, refused=0, unaccounted=0, in_flight=0, rows_left=40, rows_dropped=60,
    audit_missing=0, audit_doubled=0,
)  # fmt: skip


@pytest.mark.parametrize("phase_s", [0, 200, 450, 700, 890])
def test_teeth_of_minutes_and_of_quarter_hours_are_flat_at_any_phase(phase_s: int) -> None:
    teeth = 30 * (AT_S % 60) / 60 + 90 * ((AT_S + phase_s) % 900) / 900
    found = trend("processor", list(AT_S), list(120 + teeth))
    assert found.flat
    assert abs(found.slope_mib_h) < 12


def test_a_start_that_fills_caches_is_flat_when_the_second_half_is() -> None:
    found = trend("processor", list(AT_S), list(np.minimum(50 + AT_S / 4, 400)))
    assert found.flat
    assert found.first == pytest.approx(51, abs=2)
    assert found.last == 400


def test_a_leak_of_sixty_mib_an_hour_is_found_under_a_sawtooth() -> None:
    found = trend("processor", list(AT_S), list(120 + AT_S / 60 + 30 * (AT_S % 60) / 60 + 90 * (AT_S % 900) / 900))
    assert not found.flat
    assert found.slope_mib_h == pytest.approx(60, abs=6)


def test_servers_may_fill_caches_that_ours_may_not() -> None:
    sizes = list(300 + AT_S / 60)
    assert trend("kafka", list(AT_S), sizes).flat
    assert not trend("gateway", list(AT_S), sizes).flat


def test_a_run_too_short_to_judge_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 4"):
        trend("gateway", [0.0, 5.0, 10.0], [1.0, 1.0, 1.0])


def test_books_that_balance_have_no_troubles() -> None:
    assert troubles([], FINE, LAG_S) == []


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"stored": 99, "rows_left": 39}, "lost"),
        ({"rows_left": 41}, "doubled"),
        ({"rows_left": 39}, "rows between"),
        ({"unaccounted": 1}, "unaccounted"),
        ({"in_flight": 1}, "in flight"),
        ({"audit_missing": 1}, "missing by the audit"),
        ({"stored": 99, "rows_left": 39, "dead_letter": 1}, "dead letters"),
    ],
)
def test_whatever_does_not_add_up_is_named(change: dict[str, int], word: str) -> None:
    found = troubles([], dataclasses.replace(FINE, **change), 0.0)
    assert any(word in sentence for sentence in found)


def test_a_load_that_was_not_kept_up_with_is_named() -> None:
    assert "not committed" in troubles([], FINE, LAG_S + 0.1)[0]
