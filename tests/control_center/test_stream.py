"""The hub of the live streams, without a network: order, coalescing, bounds."""

import json
from typing import Any

import numpy as np
from prometheus_client import CollectorRegistry

from control_center.api.payloads import StatusItem
from control_center.live_values import LatestValues
from control_center.metrics import ControlMetrics
from control_center.rows import AlarmRow
from control_center.stream import Client, Hub
from ingest.contract.frame import FrameColumns
from tests.control_center.conftest import T0

FIRST = 1_000_000


class Streams:
    """A hub with its table and metrics."""

    def __init__(self, ring: int = 3, max_clients: int = 5) -> None:
        self.values = LatestValues()
        self.registry = CollectorRegistry()
        self.hub = Hub(
            self.values, ControlMetrics(self.registry), first_number=FIRST, ring=ring, max_clients=max_clients
        )

    def reading(self, device: str, value: float, time_us: int) -> None:
        self.values.update(
            FrameColumns(
                [device], ["pm2_5"], np.zeros(1, np.int32), np.zeros(1, np.int16), np.array([time_us]), np.array([value]),
                np.zeros(1, np.uint16),
            )
        )  # fmt: skip

    def join(self, last_event_id: str | None = None) -> Client:
        client = self.hub.join(last_event_id, "en")
        assert client is not None
        return client

    def take(self, client: Client) -> list[tuple[str, int | None, Any]]:
        """(name, id, data) of what waits for a client; live data as {device: value}, an alarm as its id."""
        found: list[tuple[str, int | None, Any]] = []
        for block in self.hub.pending(client).decode().split("\n\n")[:-1]:
            fields = dict(line.split(": ", 1) for line in block.split("\n"))
            data = json.loads(fields["data"])
            match fields["event"]:
                case "live":
                    data = {item["device"]: item["value"] for item in data["items"]}
                case "alarm":
                    data = data["alarm_id"]
            found.append((fields["event"], int(fields["id"]) if "id" in fields else None, data))
        return found


def alarm(alarm_id: int) -> AlarmRow:
    return AlarmRow(
        alarm_id, "r", "a", None, None, None, "info", "raised", T0, 1.0, {}, None, None, None, None, None, None, None
    )


def status(lag_s: float) -> StatusItem:
    return StatusItem(lag_s, None, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def test_a_fresh_stream_begins_with_every_value() -> None:
    streams = Streams()
    streams.reading("a", 1, 1)
    streams.hub.publish_live()
    streams.reading("b", 2, 1)
    streams.hub.publish_live()
    client = streams.join()
    assert streams.take(client) == [("live", FIRST + 2, {"a": 1.0, "b": 2.0})]
    assert streams.take(client) == []


def test_a_slow_stream_gets_the_newest_value_of_each_series_once() -> None:
    streams = Streams()
    client = streams.join()
    for n in range(50):
        streams.reading("a", n, n)
        streams.hub.publish_live()
    assert streams.take(client) == [("live", FIRST + 50, {"a": 49.0})]


def test_events_come_in_the_order_of_their_numbers() -> None:
    streams = Streams()
    client = streams.join()
    streams.reading("a", 1, 1)
    streams.hub.publish_live()
    streams.hub.publish_alarm(alarm(7))
    streams.reading("b", 2, 1)
    streams.hub.publish_live()
    assert streams.take(client) == [
        ("live", FIRST + 1, {"a": 1.0}), ("alarm", FIRST + 2, 7), ("live", FIRST + 3, {"b": 2.0}),
    ]  # fmt: skip


def test_whoever_returns_gets_what_changed_since_and_nothing_else() -> None:
    streams = Streams()
    streams.reading("a", 1, 1)
    streams.hub.publish_live()
    streams.hub.publish_alarm(alarm(1))
    streams.reading("b", 2, 1)
    streams.hub.publish_live()
    streams.hub.publish_alarm(alarm(2))
    assert streams.take(streams.join(str(FIRST + 2))) == [("live", FIRST + 3, {"b": 2.0}), ("alarm", FIRST + 4, 2)]
    assert streams.take(streams.join(str(FIRST + 4))) == []


def test_the_place_is_lost_when_the_ring_has_passed_it() -> None:
    streams = Streams(ring=2)
    for n in range(4):
        streams.hub.publish_alarm(alarm(n))
    assert [event[0] for event in streams.take(streams.join(str(FIRST + 1)))] == ["reset"]
    assert [event[2] for event in streams.take(streams.join(str(FIRST + 2)))] == [2, 3]


def test_numbers_of_another_life_are_not_mistaken_for_ours() -> None:
    streams = Streams()
    streams.reading("a", 1, 1)
    streams.hub.publish_live()
    for foreign in (FIRST - 1, FIRST + 2, 0):
        assert streams.take(streams.join(str(foreign))) == [("reset", FIRST + 1, {}), ("live", FIRST + 1, {"a": 1.0})]


def test_a_full_queue_becomes_a_reset_and_is_counted() -> None:
    streams = Streams(ring=3)
    client = streams.join()
    for n in range(5):
        streams.hub.publish_alarm(alarm(n))
    assert [event[0] for event in streams.take(client)] == ["reset", "alarm"]
    assert streams.registry.get_sample_value("citynerve_control_sse_dropped_total", {"reason": "overflow"}) == 1


def test_only_the_newest_status_waits() -> None:
    streams = Streams()
    client = streams.join()
    for lag_s in (1.0, 2.0, 3.0):
        streams.hub.publish_status(status(lag_s))
    assert [(name, number, data["lag_s"]) for name, number, data in streams.take(client)] == [("status", None, 3.0)]


def test_changes_that_were_missed_reset_everyone_also_those_who_return_later() -> None:
    streams = Streams()
    client = streams.join()
    streams.hub.publish_alarm(alarm(1))
    streams.hub.reset_all()
    assert [event[0] for event in streams.take(client)] == ["reset"]
    assert [event[0] for event in streams.take(streams.join(str(FIRST + 1)))] == ["reset"]


def test_places_are_limited_and_given_back() -> None:
    streams = Streams(max_clients=1)
    client = streams.join()
    assert streams.hub.join(None, "en") is None
    streams.hub.leave(client)
    assert streams.hub.join(None, "en") is not None
    assert streams.registry.get_sample_value("citynerve_control_sse_clients") == 1


def test_a_stream_ends_no_event_early_whatever_a_name_holds() -> None:
    streams = Streams()
    client = streams.join()
    streams.reading("evil\n\nevent: alarm\ndata: {}", 1, 1)
    streams.hub.publish_live()
    assert [event[0] for event in streams.take(client)] == ["live"]
