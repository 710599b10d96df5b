"""Acknowledgements: in order of receipt, only when safe, only on the connection a message came from."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ingest.ack_tracker import AckTracker, Ticket


def test_a_finished_group_waits_for_the_ones_before_it() -> None:
    tracker = AckTracker()
    generation = tracker.connect()
    first, second, third = (tracker.open(mids, generation) for mids in ([1, 2], [3], [4]))
    assert tracker.complete(third) == []
    assert tracker.complete(second) == []
    assert tracker.complete(first) == [1, 2, 3, 4]
    assert tracker.unfinished == 0


def test_a_message_of_an_old_connection_is_never_acknowledged_on_the_new_one() -> None:
    tracker = AckTracker()
    old = tracker.open([1, 2], tracker.connect())
    tracker.disconnect()
    new = tracker.open([1], tracker.connect())
    assert tracker.complete(old) == []
    assert tracker.dropped_acks == 2
    assert tracker.complete(new) == [1]


def test_nothing_is_acknowledged_while_disconnected() -> None:
    tracker = AckTracker()
    ticket = tracker.open([5], tracker.connect())
    tracker.disconnect()
    assert tracker.complete(ticket) == []


def test_qos_0_messages_want_no_acknowledgement() -> None:
    tracker = AckTracker()
    assert tracker.complete(tracker.open([0, 7, 0], tracker.connect())) == [7]


@settings(max_examples=300)
@given(
    st.lists(st.sampled_from(["open", "complete", "reconnect", "disconnect"]), max_size=60),
    st.randoms(use_true_random=False),
)
def test_whatever_happens_only_safe_messages_of_this_connection_are_acknowledged_in_order(
    steps: list[str], random: object
) -> None:
    tracker = AckTracker()
    generation = tracker.connect()
    connected = True
    open_tickets: list[Ticket] = []
    received: list[int] = []
    safe: set[int] = set()
    acked: list[int] = []
    mid = 0
    for step in steps:
        if step == "open" and connected:
            mids = [mid + 1, mid + 2]
            mid += 2
            received += mids
            open_tickets.append(tracker.open(mids, generation))
        elif step == "complete" and open_tickets:
            ticket = open_tickets.pop(random.randrange(len(open_tickets)))  # type: ignore[attr-defined]
            if ticket.generation == generation:
                safe.update(ticket.mids)
            acked += tracker.complete(ticket)
        elif step in ("reconnect", "disconnect"):
            tracker.disconnect()
            connected = step == "reconnect"
            if connected:
                generation = tracker.connect()
            received, safe, acked, mid = [], set(), [], 0
    assert acked == received[: len(acked)]
    assert set(acked) <= safe
