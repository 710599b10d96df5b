"""Frame numbers: gaps are exact, fill in any order, and a frame seen before is told apart."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from processors.frame_sequence import Arrival, FrameSequence, Gap


@st.composite
def deliveries(draw: st.DrawFn) -> tuple[list[int], list[int]]:
    """Readings per frame, and the numbers of the frames in the order they arrive: some missing, some more than once."""
    counts = draw(st.lists(st.integers(0, 50), min_size=1, max_size=30))
    arriving = draw(st.lists(st.integers(0, len(counts) - 1), max_size=60))
    return counts, arriving


@given(deliveries())
def test_missing_readings_are_exactly_those_of_frames_that_did_not_come(case: tuple[list[int], list[int]]) -> None:
    counts, arriving = case
    sequence, seen = FrameSequence(), set[int]()
    for seq in arriving:
        arrival = sequence.take(seq, sum(counts[:seq]), counts[seq])
        assert (arrival is Arrival.REPEATED) == (seq in seen)
        seen.add(seq)
        newest = max(seen)
        assert sequence.next_seq == newest + 1
        assert sequence.sent_before == sum(counts[: newest + 1])
        absent = set(range(newest)) - seen
        assert sequence.missing == sum(counts[number] for number in absent)
        assert {number for gap in sequence.gaps.values() for number in range(gap.from_seq, gap.to_seq + 1)} == absent
        assert all(gap.sent_before == sum(counts[: gap.from_seq]) for gap in sequence.gaps.values())


@given(deliveries())
def test_the_stored_gaps_follow_from_the_changes_alone(case: tuple[list[int], list[int]]) -> None:
    counts, arriving = case
    sequence, stored = FrameSequence(), dict[int, Gap]()
    for seq in arriving:
        sequence.take(seq, sum(counts[:seq]), counts[seq])
        for key, gap in sequence.changed_gaps.items():
            stored.pop(key, None)
            if gap is not None:
                stored[key] = gap
        sequence.changed_gaps.clear()
    assert stored == sequence.gaps


def test_a_frame_that_contradicts_the_counts_is_fresh_all_the_same() -> None:
    sequence = FrameSequence()
    sequence.take(0, 0, 10)
    assert sequence.take(1, 4, 10) is Arrival.FRESH
    assert (sequence.sent_before, sequence.missing) == (20, 0)
