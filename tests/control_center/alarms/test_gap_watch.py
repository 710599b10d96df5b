"""When offsets that Kafka no longer had become an alarm."""

from datetime import UTC, datetime

from control_center.alarms.gap_watch import GapWatch
from control_center.rows import OffsetGap

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
GAP = OffsetGap("city.readings.v1", 2, 10, 19, "retention", 340, NOW)


def test_a_gap_is_an_alarm_at_once_and_names_the_newest() -> None:
    change = GapWatch(active=False).observe([GAP, GAP], NOW)
    assert change is not None
    assert (change.rule_id, change.active, change.value) == ("offset_gap", True, 2.0)
    assert change.detail == {
        "topic": "city.readings.v1", "partition": 2, "from_offset": 10, "to_offset": 19, "reason": "retention",
    }  # fmt: skip


def test_it_is_raised_once_and_cleared_when_no_gap_is_recent() -> None:
    watch = GapWatch(active=False)
    looks = [watch.observe(recent, NOW) for recent in ([], [GAP], [GAP], [], [])]
    assert [None if change is None else change.active for change in looks] == [None, True, None, False, None]


def test_an_alarm_left_open_by_the_life_before_is_not_raised_twice() -> None:
    assert GapWatch(active=True).observe([GAP], NOW) is None
