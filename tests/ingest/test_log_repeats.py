"""A library that says the same several times a second is shown once in a while, and nothing of ours is held back."""

from __future__ import annotations

import logging

from ingest.contract.log_repeats import Repeats


class Log:
    """A clock that is set, and the lines that came through."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.repeats = Repeats("aiokafka", clock=lambda: self.now_s)

    def shown(self, message: str, *arguments: object, logger: str = "aiokafka.client") -> dict[str, int] | None:
        """The fields of the line where it is shown, else None."""
        record = logging.LogRecord(logger, logging.ERROR, "", 0, message, arguments, None)
        return dict(getattr(record, "fields", {})) if self.repeats.filter(record) else None


def test_a_line_that_comes_again_is_held_back_and_counted_on_the_next_one() -> None:
    log = Log()
    assert log.shown("no node %s", 1) == {}
    for _ in range(5):
        log.now_s += 1
        assert log.shown("no node %s", 1) is None
    log.now_s = 31
    assert log.shown("no node %s", 1) == {"repeated": 5}
    log.now_s = 62
    assert log.shown("no node %s", 1) == {}


def test_each_kind_of_line_is_told_apart() -> None:
    log = Log()
    assert log.shown("no node %s", 1) == {}
    assert log.shown("no metadata") == {}
    assert log.shown("no node %s", 1, logger="aiokafka.consumer") == {}


def test_our_own_lines_are_never_held_back() -> None:
    log = Log()
    for _ in range(3):
        assert log.shown("claimed", logger="processors.pipeline") == {}
        assert log.shown("aiokafkalike", logger="aiokafkalike") == {}


def test_messages_without_a_template_do_not_pile_up() -> None:
    log = Log()
    for number in range(5000):
        assert log.shown(f"line {number}") == {}
    assert len(log.repeats._kinds) <= 1000
