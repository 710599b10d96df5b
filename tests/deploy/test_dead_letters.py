"""What a dead letter would become today: mended, still refused, partly covered by another letter, or never retriable."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
import pytest

from deploy.dead_letters import Attempt, Redecoder, StoredLetter
from deploy.dead_letters_commands import Offset
from deploy.dead_letters_view import attempt_line, letter_line, letter_lines, payload_lines
from ingest.settings import IngestSettings, Route

RECEIVED = datetime(2026, 5, 1, 12, tzinfo=UTC)
RECEIVED_US = int(RECEIVED.timestamp()) * 1_000_000
ROUTES = (Route(topic="city/json/+", format="plain-json", profile="canonical"),)


def letter(payload: object, **fields: Any) -> StoredLetter:
    raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    known: dict[str, Any] = {
        "letter_id": 7, "gateway": "gw-1", "epoch": 1, "ordinal": 0, "received": RECEIVED, "received_us": RECEIVED_US,
        "reason": "unknown_metric", "detail": "d", "mqtt_topic": "city/json/dev-1", "payload": raw, "readings": 1,
        "retry_epoch": None, "retried_at": None, "retried_readings": None, "siblings": {},
    }  # fmt: skip
    return StoredLetter(**(known | fields))


@pytest.fixture
def redecoder() -> Redecoder:
    return Redecoder(IngestSettings(routes=ROUTES), 4)


def outcome(attempt: Attempt) -> tuple[int, str | None]:
    return attempt.readings, attempt.reason


def test_a_letter_whose_metric_is_known_now_succeeds_at_its_own_time_of_receipt(redecoder: Redecoder) -> None:
    attempt = redecoder.attempt(letter({"pm2_5": 4.5}))
    assert outcome(attempt) == (1, None)
    assert attempt.admitted[0].time_us.tolist() == [RECEIVED_US]


def test_a_letter_that_is_refused_for_its_own_reason_or_another_still_fails(redecoder: Redecoder) -> None:
    assert outcome(redecoder.attempt(letter({"nonsense": 4.5}))) == (0, "unknown_metric")
    changed = redecoder.attempt(letter({"pm2_5": 99_999}))
    assert changed.reason == "out_of_range"
    assert attempt_line(changed).startswith("letter 7: was unknown_metric, now out_of_range: ")


def test_letters_of_a_gateway_whose_clock_was_an_hour_behind_succeed_when_that_is_said() -> None:
    settings = IngestSettings(routes=ROUTES)
    good = {"pm2_5": 4.5, "time": "2026-05-01T13:00:00Z"}
    refused = letter(good, reason="in_future")
    assert outcome(Redecoder(settings, 4).attempt(refused)) == (0, "in_future")
    attempt = Redecoder(settings, 4, -3_600_000_000).attempt(refused)
    assert outcome(attempt) == (1, None)
    assert attempt.admitted[0].time_us.tolist() == [RECEIVED_US + 3_600_000_000]


@pytest.mark.parametrize(
    ("typed", "us"), [("-1h", -3_600_000_000), ("+90m", 5_400_000_000), ("2d", 172_800_000_000), ("0s", 0)]
)
def test_how_far_a_clock_was_off_is_typed_with_its_unit(typed: str, us: int) -> None:
    assert Offset().convert(typed, None, None) == us


@pytest.mark.parametrize("typed", ["1", "h", "1.5h", "one hour", "1h30m", ""])
def test_an_offset_without_a_unit_is_a_sentence(typed: str) -> None:
    with pytest.raises(click.BadParameter, match="write it as 3600s"):
        Offset().convert(typed, None, None)


def test_what_another_letter_of_the_message_stands_for_does_not_hold_this_one_back(redecoder: Redecoder) -> None:
    message = {"pm2_5": 4.5, "pm10": 99_999}
    assert redecoder.attempt(letter(message)).reason == "out_of_range"
    assert outcome(redecoder.attempt(letter(message, siblings={"out_of_range": 1}))) == (1, None)
    more = {**message, "no2": 99_999}
    assert redecoder.attempt(letter(more, siblings={"out_of_range": 1})).reason == "out_of_range", (
        "one of two is covered"
    )


def test_a_message_that_means_nothing_now_is_done_without_readings(tmp_path: Path) -> None:
    profile = 'name = "quiet"\ncanonical_names = true\ncanonical_units = true\nignore = ["nonsense"]\n'
    (tmp_path / "quiet.toml").write_text(profile)
    routes = (Route(topic="city/json/+", format="plain-json", profile="quiet"),)
    redecoder = Redecoder(IngestSettings(routes=routes, profiles_dir=tmp_path), 4)
    assert outcome(redecoder.attempt(letter({"nonsense": 4.5}))) == (0, None)


def test_a_payload_that_was_cut_is_refused_whatever_the_limit_is_now(redecoder: Redecoder) -> None:
    cut = letter(b'{"pm2_5": 4.5}', reason="too_large", detail="payload of 14 bytes (payload cut: 9 more bytes came)")
    assert redecoder.attempt(cut).reason == "too_large"


def test_what_a_processor_set_aside_is_no_payload(redecoder: Redecoder) -> None:
    attempt = redecoder.attempt(letter(b"\x00", reason="bad_frame", ordinal=-1, mqtt_topic="kafka:t/0@5"))
    assert attempt.reason == "bad_frame"
    assert "no profile mends it" in attempt.detail


def test_bytes_are_shown_as_text_where_they_are_text_and_else_as_hex() -> None:
    assert list(payload_lines(b'{"a": 1}\n')) == ['{"a": 1}']
    (line,) = payload_lines(b"\x00\x1b[2Jab")
    assert line.startswith("000000  00 1b 5b 32 4a 61 62")
    assert line.endswith("..[2Jab")
    assert list(payload_lines("độ".encode() * 2000))[-1] == "... and 5904 more bytes; --json gives all"
    assert next(payload_lines("độ".encode() * 2000)).startswith("độ")


def test_what_devices_sent_cannot_move_the_cursor_of_a_terminal(redecoder: Redecoder) -> None:
    hostile = letter(b"\x1b]0;x\x07", detail="\x1b[2J", mqtt_topic="a\nb", gateway="\x1b[31m")
    for line in (letter_line(hostile), *letter_lines(hostile, redecoder.attempt(hostile))):
        assert line.isprintable(), repr(line)
