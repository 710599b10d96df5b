"""Who waits for whom, hop by hop; what nobody has said is unknown, never fine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from control_center.catching_up import CatchingUp
from control_center.flow import Facts, Hop, Part, chain, draining_bytes, worst
from control_center.flow_text import flow_item, sentence
from control_center.neighbours import Report, Samples
from control_center.rows import GatewayWord
from control_center.texts import LANGUAGES, catalogue

NOW = datetime(2026, 5, 1, 12, 0, tzinfo=UTC)
GB = 1e9


def gateway(
    name: str = "gw-1", *, kafka: float = 0, broker: float = 0, message_age: float = 1, **spool: float
) -> Report:
    values: dict[Any, float] = {
        ("citynerve_ingest_waiting_seconds", frozenset({("who", name), ("for", "kafka")})): kafka,
        ("citynerve_ingest_waiting_seconds", frozenset({("who", name), ("for", "broker")})): broker,
        ("citynerve_ingest_last_message_timestamp_seconds", frozenset()): NOW.timestamp() - message_age,
    }
    defaults = {"bytes": 0.0, "max_bytes": 8 * GB, "frames": 0.0, "full": 0.0, "hours_left": 41.2}
    values |= {(f"citynerve_ingest_spool_{key}", frozenset()): value for key, value in (defaults | spool).items()}
    return Report("gateway", name, Samples(values))


def processor(name: str = "processor-1", *, kafka: float = 0, database: float = 0) -> Report:
    label = "citynerve_processor_waiting_seconds"
    return Report(
        "processor",
        name,
        Samples(
            {
                (label, frozenset({("who", name), ("for", "kafka")})): kafka,
                (label, frozenset({("who", name), ("for", "database")})): database,
            }
        ),
    )


def silent(kind: Any, name: str, minutes: float = 12) -> Report:
    return Report(kind, name, None, NOW - timedelta(minutes=minutes), "connection refused")


def facts(**changed: Any) -> Facts:
    known: dict[str, Any] = {
        "now": NOW, "gateways": [gateway()], "processors": [processor()], "heard": (), "kafka_away_s": 0.0,
        "database_away_s": 0.0, "lag_s": 0.4, "catching_up": None, "devices": 580, "stale_devices": 3,
    }  # fmt: skip
    return Facts(**(known | changed))


def hop(part: Part, name: str = "", **changed: Any) -> Hop:
    return next(one for one in chain(facts(**changed)) if one.part == part and name in {"", one.name})


def headline(**changed: Any) -> tuple[str, str]:
    known = facts(**changed)
    item = flow_item(chain(known), known.catching_up, NOW, "en")
    return item.mood, item.headline


def said(part: Part, name: str = "", **changed: Any) -> str:
    return sentence(hop(part, name, **changed), "en")


def test_on_a_good_day_everyone_waits_for_nobody() -> None:
    assert {one.state for one in chain(facts())} == {"fine"}
    assert [one.part for one in chain(facts())] == ["devices", "broker", "gateway", "kafka", "processor", "database"]
    assert headline() == ("live", "Live")
    assert said("devices") == "Devices send; 3 of 580 are silent."
    assert said("broker") == "The broker waits for nobody."
    assert said("processor") == "The processor processor-1 waits for nobody; it has caught up."


def test_a_gateway_that_waits_for_kafka_says_how_long_its_spool_will_do() -> None:
    away: dict[str, Any] = {
        "gateways": [gateway(kafka=720, bytes=3.1 * GB, frames=9000)],
        "kafka_away_s": 715.0,
        "processors": [processor(kafka=700)],
    }
    assert said("gateway", **away) == (
        "The gateway gw-1 has waited for Kafka for 12 min: it spools, 3.1 GB of 8.0 GB used, about 41 hours left at today's rate."
    )
    found = hop("gateway", **away)
    assert (found.state, found.waits_for, found.age_s) == ("waiting", "kafka", 720)
    assert (found.queue_bytes, found.queue_limit_bytes, found.hours_left) == (3.1 * GB, 8 * GB, 41.2)
    assert said("broker", **away) == "The broker waits for nobody."
    assert headline(**away) == ("held_up", "Held up: Kafka does not answer (12 min)")


def test_hours_are_not_endless_where_nothing_arrives() -> None:
    quiet: dict[str, Any] = {"gateways": [gateway(kafka=720, hours_left=float("nan"))]}
    assert said("gateway", **quiet).endswith("of its spool used; no data arriving.")
    assert hop("gateway", **quiet).hours_left is None
    assert said("gateway", gateways=[gateway(hours_left=float("inf"))]).endswith("no data arriving.")


def test_a_full_spool_makes_the_broker_wait_for_the_gateway() -> None:
    full: dict[str, Any] = {"gateways": [gateway(kafka=9000, full=1, bytes=8 * GB, frames=1)]}
    assert "its spool of 8.0 GB is full" in said("gateway", **full)
    assert (hop("broker", **full).state, hop("broker", **full).waits_for) == ("waiting", "gateway")


def test_a_gateway_that_does_not_answer_is_unknown_and_so_is_what_only_it_could_say() -> None:
    gone: dict[str, Any] = {
        "gateways": [silent("gateway", "gw-1")],
        "heard": [GatewayWord("gw-1", NOW - timedelta(minutes=13), 250)],
    }
    assert said("gateway", **gone) == (
        "The gateway gw-1 has not answered for 12 min; its last word came 13 min ago, with 250 readings in its spool."
    )
    states = {one.part: one.state for one in chain(facts(**gone))}
    assert states == {
        "devices": "unknown", "broker": "unknown", "gateway": "unknown", "kafka": "fine", "processor": "fine", "database": "fine",
    }  # fmt: skip
    assert headline(**gone)[0] == "unknown"


def test_of_several_gateways_each_is_named_and_one_that_is_away_leaves_the_broker_in_doubt() -> None:
    two: dict[str, Any] = {"gateways": [gateway("gw-1"), silent("gateway", "gw-2")]}
    assert [one.name for one in chain(facts(**two)) if one.part == "gateway"] == ["gw-1", "gw-2"]
    assert said("broker", **two) == "The broker answers gw-1; whether it waits for gw-2 is not known."
    assert "whether those of other gateways do is not known" in said("devices", **two)


def test_a_gateway_known_from_the_ledger_alone_is_unknown_until_it_is_forgotten() -> None:
    word = GatewayWord("gw-7", NOW - timedelta(days=2), 0)
    assert hop("gateway", "gw-7", heard=[word]).state == "unknown"
    old = GatewayWord("gw-7", NOW - timedelta(days=8), 0)
    assert [one.name for one in chain(facts(heard=[old])) if one.part == "gateway"] == ["gw-1"]


def test_a_gateway_that_waits_for_the_broker_cannot_say_whether_devices_send() -> None:
    lost: dict[str, Any] = {"gateways": [gateway(broker=65)]}
    assert hop("gateway", **lost).waits_for == "broker"
    assert hop("broker", **lost).state == "away"
    assert hop("devices", **lost).state == "unknown"
    assert headline(**lost) == ("held_up", "Held up: the broker does not answer (1 min)")


def test_devices_that_say_nothing_are_silent_with_the_time() -> None:
    assert said("devices", gateways=[gateway(message_age=720)]).startswith(
        "No device of gw-1 has sent anything for 12 min;"
    )
    never: dict[str, Any] = {"gateways": [gateway(message_age=NOW.timestamp())]}
    assert said("devices", **never).startswith("No device of gw-1 has sent anything since the gateway started;")
    assert headline(gateways=[gateway(message_age=720)])[0] == "live"


def test_a_server_that_only_some_reach_is_told_by_name() -> None:
    mixed: dict[str, Any] = {"processors": [processor(database=90)], "database_away_s": 0.0}
    assert said("database", **mixed) == (
        "The database has not answered processor-1 for 1 min; as far as is known it answers the control center."
    )
    assert hop("processor", **mixed).waits_for == "database"


def test_a_question_that_is_on_its_way_is_not_waiting() -> None:
    assert {one.state for one in chain(facts(processors=[processor(database=1.5)], kafka_away_s=1.0))} == {"fine"}


def test_a_processor_that_catches_up_says_how_far_and_how_long() -> None:
    behind: dict[str, Any] = {"catching_up": CatchingUp(720, 180), "lag_s": 720.0}
    assert said("processor", **behind) == "The processor processor-1 is catching up: 12 min behind, about 3 min to go."
    assert headline(**behind) == ("catching_up", "Catching up: 12 min behind, about 3 min to go")
    endless: dict[str, Any] = {"catching_up": CatchingUp(720, None), "lag_s": 720.0}
    assert headline(**endless) == ("catching_up", "Behind by 12 min; how long to go is not known yet")


def test_a_lag_that_nobody_knows_is_not_called_caught_up() -> None:
    assert hop("processor", lag_s=None).state == "unknown"


def test_what_a_gateway_hands_on_from_its_spool_is_counted_while_it_reaches_kafka() -> None:
    assert draining_bytes([gateway(frames=5, bytes=2e6), gateway("gw-2")]) == 2e6
    assert draining_bytes([gateway(frames=5, bytes=2e6, kafka=60)]) is None
    assert hop("gateway", gateways=[gateway(frames=5, bytes=2e6)]).state == "catching_up"


SITUATIONS: list[dict[str, Any]] = [
    {},
    {"gateways": [gateway(kafka=9)]}, {"gateways": [gateway(kafka=9, hours_left=float("nan"))]},
    {"gateways": [gateway(kafka=9, full=1)]}, {"gateways": [gateway(full=1)]}, {"gateways": [gateway(broker=9)]},
    {"gateways": [gateway(broker=9), gateway("gw-2")]}, {"gateways": [gateway(frames=1)]}, {"gateways": [gateway(hours_left=float("inf"))]},
    {"gateways": [silent("gateway", "gw-1")]},
    {"gateways": [gateway(), silent("gateway", "gw-2")]}, {"gateways": [Report("gateway", "gw-1")]},
    {"gateways": [silent("gateway", "gw-1")], "heard": [GatewayWord("gw-1", NOW, 0)]}, {"heard": [GatewayWord("gw-2", NOW, 0)]},
    {"gateways": [gateway(message_age=90)]}, {"gateways": [gateway(message_age=NOW.timestamp())]}, {"gateways": []},
    {"kafka_away_s": 9.0}, {"kafka_away_s": 9.0, "gateways": [], "processors": []}, {"processors": [processor(kafka=9)]},
    {"processors": [processor(database=9)]}, {"database_away_s": 9.0}, {"database_away_s": 9.0, "processors": []},
    {"processors": [silent("processor", "processor-1")]}, {"processors": [Report("processor", "processor-1")]}, {"lag_s": None},
    {"catching_up": CatchingUp(9, 9)}, {"catching_up": CatchingUp(9, None)},
]  # fmt: skip


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_situation_has_its_sentences_and_no_sentence_is_left_over(language: Any) -> None:
    spoken = {one.key for situation in SITUATIONS for one in chain(facts(**situation))}
    written = {key for key in catalogue() if key.startswith("flow_")} - {
        key for key in catalogue() if key.startswith(HEADLINES)
    }
    assert spoken == written
    for situation in SITUATIONS:
        known = facts(**situation)
        item = flow_item(chain(known), known.catching_up, NOW, language)
        assert all(one.text and "{" not in one.text and "?" not in one.text for one in item.hops), situation
        assert item.headline


HEADLINES = ("flow_live", "flow_catching_up", "flow_behind", "flow_held_up_", "flow_unknown_", "flow_control_center")


def test_every_headline_of_a_hop_that_may_be_named_first_is_written() -> None:
    named = {
        f"flow_held_up_{one.part}_{one.waits_for or 'away'}"
        if one.state in {"away", "waiting"}
        else f"flow_unknown_{one.part}"
        for situation in SITUATIONS
        for one in chain(facts(**situation))
        if one.state in {"away", "waiting", "unknown"}
    }
    assert named == {key for key in catalogue() if key.startswith(("flow_held_up_", "flow_unknown_"))}


def test_the_worst_is_what_others_wait_for() -> None:
    first = worst(chain(facts(gateways=[gateway(kafka=9)], kafka_away_s=9.0, processors=[silent("processor", "p")])))
    assert first is not None
    assert (first.part, first.state) == ("kafka", "away")
    assert worst(chain(facts())) is None


def test_vietnamese_numbers_are_written_as_in_vietnam() -> None:
    away = hop("gateway", gateways=[gateway(kafka=720, bytes=3.1 * GB, frames=1, hours_left=1234)])
    assert "3,1 GB trên 8,0 GB, còn khoảng 1.234 giờ" in sentence(away, "vi")
