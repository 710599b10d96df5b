"""The ack tracker against a model of the broker: every interleaving of receipt, delivery, reconnect, lost session and crash.

The broker of the model is the worst that MQTT allows: each connection uses the same packet ids again, from 1 on, so an acknowledgement
that reaches the wrong connection hits another message at once.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from ingest.ack_tracker import AckTracker, Ticket

_QOS_0 = 0


@dataclass
class Broker:
    """A persistent session: what waits for its acknowledgement stays until it has it, and is sent again on the next connection."""

    waiting: deque[int] = field(default_factory=deque)
    sent: deque[tuple[int, int]] = field(default_factory=deque)  # (packet id, message) of this connection, in order
    sent_here: int = 0
    acknowledged: set[int] = field(default_factory=set)

    def connect(self) -> None:
        self.waiting.extendleft(message for _, message in reversed(self.sent))
        self.sent.clear()
        self.sent_here = 0

    def send(self) -> tuple[int, int]:
        self.sent_here += 1
        packet = self.sent_here, self.waiting.popleft()
        self.sent.append(packet)
        return packet

    def acknowledge(self, mid: int, safe: set[int]) -> None:
        expected, message = self.sent.popleft()
        assert mid == expected, f"PUBACK {mid} where {expected} was next: out of order, or of another connection"
        assert message in safe, f"message {message} was acknowledged before it was delivered: a crash now loses it"
        self.acknowledged.add(message)


@dataclass
class Work:
    """A flush on its way: its ticket, the messages in it, and the connection it came from."""

    ticket: Ticket
    messages: list[int]
    mids: list[int]
    connection: int
    finished: bool = False


class AckMachine(RuleBasedStateMachine):
    """Rules are what can happen between two steps of the gateway's event loop."""

    def __init__(self) -> None:
        super().__init__()
        self.broker = Broker()
        self.safe: set[int] = set()
        self.published = 0
        self.start_process()

    def start_process(self) -> None:
        self.tracker = AckTracker()
        self.order: deque[Work] = deque()  # as received; what is finished leaves at the front
        self.connection = 0
        self.connected = False
        self.dropped = 0

    @rule(count=st.integers(1, 4))
    def publish(self, count: int) -> None:
        self.broker.waiting += range(self.published, self.published + count)
        self.published += count

    @rule()
    def connect(self) -> None:
        """Also where nobody told that the connection before is gone."""
        self.broker.connect()
        self.connection += 1
        assert self.tracker.connect() == self.connection == self.tracker.generation
        self.connected = True

    @precondition(lambda self: self.connected and self.broker.waiting)
    @rule(count=st.integers(1, 3), unacknowledged=st.integers(0, 2))
    def receive(self, count: int, unacknowledged: int) -> None:
        """A slice of messages; QoS 0 ones among them want no acknowledgement."""
        packets = [self.broker.send() for _ in range(min(count, len(self.broker.waiting)))]
        mids = [mid for mid, _ in packets] + [_QOS_0] * unacknowledged
        ticket = self.tracker.open(mids, self.tracker.generation)
        assert not ticket.done
        self.order.append(Work(ticket, [message for _, message in packets], mids, self.connection))

    @precondition(lambda self: any(not work.finished for work in self.order))
    @rule(
        data=st.data(), ends=st.sampled_from(["well", "well", "connection lost", "killed"]), written=st.integers(0, 6)
    )
    def frames_are_delivered(self, data: st.DataObject, ends: str, written: int) -> None:
        """Some flush is safe, not always the oldest, maybe one of a connection long gone. After `written` PUBACKs it may be over."""
        work = data.draw(st.sampled_from([work for work in self.order if not work.finished]))
        work.finished = True
        self.safe.update(work.messages)
        acks = self.tracker.complete(work.ticket)
        assert acks == self.acknowledgements_due()
        for mid in acks if ends == "well" else acks[:written]:
            self.broker.acknowledge(mid, self.safe)
        if ends == "connection lost":
            self.disconnect()
        elif ends == "killed":
            self.crash()

    def acknowledgements_due(self) -> list[int]:
        due: list[int] = []
        while self.order and self.order[0].finished:
            work = self.order.popleft()
            if self.connected and work.connection == self.connection:
                due += [mid for mid in work.mids if mid != _QOS_0]
            else:
                self.dropped += len(work.mids)
        return due

    @rule()
    def disconnect(self) -> None:
        """Also without a connection: another one is about to be tried."""
        self.tracker.disconnect()
        self.connected = False

    @rule(noticed=st.booleans())
    def the_broker_forgets_the_session(self, noticed: bool) -> None:  # noqa: FBT001 - drawn
        """What it kept is lost by the broker, not by us; what comes next has the ids of what was lost.

        Where the loss of the connection is not noticed, the next one comes without it.
        """
        self.broker = Broker(acknowledged=self.broker.acknowledged)
        if noticed:
            self.disconnect()
        else:
            self.connect()

    @rule()
    def crash(self) -> None:
        """The process is killed: tickets and tracker are gone, what was delivered is safe, the broker has what was not acknowledged."""
        self.start_process()

    @invariant()
    def counts_agree(self) -> None:
        assert self.tracker.unfinished == sum(len(work.mids) for work in self.order)
        assert self.tracker.dropped_acks == self.dropped

    @invariant()
    def nothing_acknowledged_is_unsafe(self) -> None:
        assert self.broker.acknowledged <= self.safe

    def teardown(self) -> None:
        """Faults end: everything the broker still has becomes safe and acknowledged, in order."""
        self.disconnect()
        self.connect()
        while self.broker.waiting:
            self.receive(3, 0)
        for work in [work for work in self.order if not work.finished]:
            work.finished = True
            self.safe.update(work.messages)
            for mid in self.tracker.complete(work.ticket):
                self.broker.acknowledge(mid, self.safe)
        assert not self.broker.sent
        assert self.tracker.unfinished == 0


AckMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=50, deadline=None)
TestAckMachine = AckMachine.TestCase
