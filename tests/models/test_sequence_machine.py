"""Frame numbers against a set: frames in any order, again, or never; batches committed, rolled back, or with the answer lost."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from processors.frame_sequence import Arrival, FrameSequence, Gap


class SequenceMachine(RuleBasedStateMachine):
    """`seen` is what this process took, `kept` what the database holds; a process that begins anew has only the latter."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: list[int] = []
        self.seen: set[int] = set()
        self.kept: set[int] = set()
        self.row = (0, 0)
        self.gap_rows: dict[int, Gap] = {}
        self.sequence = FrameSequence()

    @rule(counts=st.lists(st.integers(0, 9), min_size=1, max_size=5))
    def gateway_sends(self, counts: list[int]) -> None:
        self.counts += counts

    @precondition(lambda self: self.counts)
    @rule(data=st.data())
    def frame_arrives(self, data: st.DataObject) -> None:
        """Any that was sent: the next, an older one, one already here, one far ahead."""
        seq = data.draw(st.integers(0, len(self.counts) - 1))
        arrival = self.sequence.take(seq, sum(self.counts[:seq]), self.counts[seq])
        assert arrival is (Arrival.REPEATED if seq in self.seen else Arrival.FRESH)
        self.seen.add(seq)

    @rule(answered=st.booleans())
    def commit(self, answered: bool) -> None:  # noqa: FBT001 - drawn
        """As `write_ledger` does: the row, and of the gaps only what changed. Without an answer memory is thrown away."""
        self.row = (self.sequence.next_seq, self.sequence.sent_before)
        for key, gap in self.sequence.changed_gaps.items():
            self.gap_rows.pop(key, None)
            if gap is not None:
                self.gap_rows[key] = gap
        self.sequence.changed_gaps.clear()
        self.kept = set(self.seen)
        if not answered:
            self.begin_anew()

    @rule()
    def begin_anew(self) -> None:
        """A crash, a fence, a take-over: what was not committed never happened, and comes again."""
        self.sequence = FrameSequence(*self.row, {key: replace(gap) for key, gap in self.gap_rows.items()})
        self.seen = set(self.kept)

    @invariant()
    def gaps_are_what_is_missing(self) -> None:
        newest = max(self.seen, default=-1)
        assert self.sequence.next_seq == newest + 1
        assert self.sequence.sent_before == sum(self.counts[: newest + 1])
        absent = sorted(set(range(newest)) - self.seen)
        assert self.sequence.missing == sum(self.counts[seq] for seq in absent)
        assert sorted(self.sequence.gaps.values(), key=lambda gap: gap.from_seq) == self.runs(absent)
        assert all(key == gap.from_seq for key, gap in self.sequence.gaps.items())

    def runs(self, absent: list[int]) -> list[Gap]:
        found = []
        for _, group in groupby(enumerate(absent), lambda pair: pair[1] - pair[0]):
            seqs = [seq for _, seq in group]
            first, last = seqs[0], seqs[-1]
            found.append(Gap(first, last, sum(self.counts[:first]), sum(self.counts[first : last + 1])))
        return found


SequenceMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
TestSequenceMachine = SequenceMachine.TestCase


def test_counts_that_contradict_each_other_never_become_negative_or_grow() -> None:
    """A gateway with a fault of its own: what is missing stays between nothing and what was said to be missing."""
    for before, count in ((0, 0), (0, 50), (7, 2), (90, 5), (10**12, 10**12)):
        sequence = FrameSequence()
        sequence.take(5, 30, 1)
        assert sequence.missing == 30
        assert sequence.take(2, before, count) is Arrival.FRESH
        assert 0 <= sequence.missing <= 30
        assert all(gap.readings >= 0 for gap in sequence.gaps.values())
        assert [(gap.from_seq, gap.to_seq) for gap in sequence.gaps.values()] == [(0, 1), (3, 4)]
        assert sequence.take(2, before, count) is Arrival.REPEATED
        # the next one says less than what is known to have been sent: that never counts backwards
        assert sequence.take(7, 3, 4) is Arrival.FRESH
        assert sequence.gaps[6].readings == 0
        assert sequence.sent_before == 35
