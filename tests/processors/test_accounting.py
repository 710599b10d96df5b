"""What the ledger says after repeated, missing, broken and refused frames, on the real servers."""

from __future__ import annotations

import json
from dataclasses import replace

from ingest.contract.frame import DeadLetter
from ingest.contract.reading import Reading
from ingest.contract.topics import partition_of
from tests.processors.gateway import PARTITIONS, Record, repeated_as
from tests.processors.running import City
from tests.processors.test_pipeline import START_US, some_readings


async def ledger(city: City) -> dict[str, int]:
    """The ledger summed over all lives of all gateways."""
    columns = ("received", "stored", "duplicate", "dead_letter", "refused", "in_flight", "unaccounted", "redelivered")
    row = (
        await city.fetch(
            "SELECT " + ", ".join(f"coalesce(sum({c}), 0)::bigint AS {c}" for c in columns) + " FROM city_view.ledger"
        )
    )[0]
    return dict(row)


def one_device(n: int, device: str = "dev-1", metric: str = "pm2_5") -> list[Reading]:
    return [Reading(device, metric, START_US + second * 1_000_000, float(second)) for second in range(n)]


async def every_row(city: City) -> list[tuple[object, ...]]:
    tables = ("readings", "windows_1m", "windows_15m", "windows_1h", "windows_1d")
    return [tuple(row) for table in tables for row in await city.fetch(f"SELECT * FROM city.{table} ORDER BY 1, 2")]


async def test_a_second_replay_changes_no_row_but_the_duplicate_count(city: City) -> None:
    readings = some_readings(devices=4, minutes=300)
    records = city.gateway().frames(readings, size=700)
    async with city.processor():
        await city.send(records)
        await city.caught_up()
        before = await every_row(city)
        await city.send(repeated_as(records, epoch=2))
        await city.caught_up()
    assert await every_row(city) == before
    assert (await ledger(city))["duplicate"] == len(readings)
    assert (await ledger(city))["stored"] == len(readings)


async def test_a_frame_sent_twice_by_its_gateway_is_told_apart_and_counted_once(city: City) -> None:
    records = city.gateway().frames(one_device(300), size=100)
    async with city.processor():
        await city.send([records[0], records[1], records[0], records[1], records[2], records[1]])
        await city.caught_up()
    found = await ledger(city)
    assert (found["received"], found["stored"], found["duplicate"], found["redelivered"]) == (300, 300, 0, 300)


async def test_a_missing_frame_is_unaccounted_until_it_arrives(city: City) -> None:
    records = city.gateway().frames(one_device(500), size=100)
    async with city.processor():
        await city.send([records[0], records[4]])
        await city.caught_up()
        assert (await ledger(city))["unaccounted"] == 300
        await city.send([records[2]])
        await city.caught_up()
        assert (await ledger(city))["unaccounted"] == 200
        assert await city.value("SELECT count(*) FROM city.ledger_gaps") == 2
        await city.send([records[1], records[3]])
        await city.caught_up()
    found = await ledger(city)
    assert (found["unaccounted"], found["stored"], found["received"]) == (0, 500, 500)
    assert await city.value("SELECT count(*) FROM city.ledger_gaps") == 0


async def test_a_broken_frame_becomes_a_dead_letter_and_its_neighbours_are_stored(city: City) -> None:
    first, second, third = city.gateway().frames(one_device(300), size=100)
    flipped = bytearray(second.value)
    flipped[len(flipped) // 3] ^= 0xFF
    broken = replace(second, value=bytes(flipped[:-40]))
    rogue = Record(city.topics.readings, first.partition, [], b"not a frame")
    tombstone = Record(city.topics.readings, first.partition, [], b"")
    async with city.processor() as service:
        await city.send([first, broken, rogue, tombstone, third])
        await city.caught_up()
        assert service.registry.get_sample_value("citynerve_processor_bad_frames_total", {"reason": "bad_body"}) == 1
        assert service.registry.get_sample_value("citynerve_processor_bad_frames_total", {"reason": "no_header"}) == 2
        assert service.registry.get_sample_value("citynerve_processor_restarts_total", {"reason": "internal"}) == 0
    found = await ledger(city)
    assert (found["stored"], found["dead_letter"], found["received"], found["unaccounted"]) == (200, 100, 300, 0)
    letters = await city.fetch("SELECT gateway, reason, readings, payload FROM city.dead_letters ORDER BY letter_id")
    assert [(row["gateway"], row["reason"], row["readings"]) for row in letters] == [
        ("gw-1", "bad_frame", 100), ("", "bad_frame", 1), ("", "bad_frame", 1),
    ]  # fmt: skip
    assert letters[0]["payload"] == broken.value


async def test_readings_that_cannot_be_stored_are_dead_letters_with_their_reason(city: City) -> None:
    good = one_device(10)
    late_century = 4_100_000_000_000_000
    device = "dev-1"
    bad = [
        Reading(device, "pm2_5", START_US + 1, float("nan")),
        Reading(device, "pm2_5", START_US + 2, float("inf")),
        Reading(device, "pm2_5", -5, 1.0),
        Reading(device, "pm2_5", late_century, 1.0),
        Reading(device, "no_such_metric", START_US, 1.0),
    ]
    wrong = next(
        f"dev-{n}" for n in range(100) if partition_of(f"dev-{n}", PARTITIONS) != partition_of(device, PARTITIONS)
    )
    records = city.gateway().frames([*good, *bad])
    stray = replace(
        city.gateway("gw-2").frames([Reading(wrong, "pm2_5", START_US, 1.0)])[0], partition=records[0].partition
    )
    async with city.processor():
        await city.send([*records, stray])
        await city.caught_up()
    rows = await city.fetch("SELECT reason, payload FROM city.dead_letters")
    assert sorted(row["reason"] for row in rows) == [
        "in_future",
        "not_finite",
        "not_finite",
        "too_old",
        "unknown_metric",
        "wrong_partition",
    ]
    assert json.loads(next(row["payload"] for row in rows if row["reason"] == "too_old"))["time_us"] == -5
    found = await ledger(city)
    assert (found["stored"], found["dead_letter"], found["received"]) == (10, 6, 16)


async def test_what_only_the_database_refuses_is_found_by_bisection(city: City) -> None:
    await city.fetch("ALTER TABLE city.readings ADD CONSTRAINT planted CHECK (value <> 77)")
    async with city.processor():
        await city.send(city.gateway().frames(one_device(1000)))
        await city.caught_up()
    assert await city.value("SELECT count(*) FROM city.readings") == 999
    letter = (await city.fetch("SELECT reason, detail, payload FROM city.dead_letters"))[0]
    assert letter["reason"] == "refused_by_database"
    assert "planted" in letter["detail"]
    assert json.loads(letter["payload"])["value"] == "77.0"
    assert (await ledger(city))["unaccounted"] == 0


async def test_letters_and_statements_of_gateways_are_kept(city: City) -> None:
    gateway = city.gateway()
    letter = DeadLetter("malformed", "detail with \0", "a/b", b"\x00raw", START_US, 3)
    statement = {
        "gateway": "gw-1", "epoch": 1, "at_us": START_US, "received": 110, "refused": 2, "acked_kafka": 103, "spooled": 0, "messages": 50,
        "partitions": [{"topic": city.topics.dead_letters, "partition": 0, "acked": 3, "offset": 0}],
    }  # fmt: skip
    said = Record(city.topics.custody, 0, [], json.dumps(statement).encode())
    older = Record(city.topics.custody, 0, [], json.dumps(statement | {"at_us": START_US - 1, "received": 1}).encode())
    broken = Record(city.topics.custody, 0, [], b'{"gateway": "gw-1"')
    async with city.processor():
        await city.send([gateway.letters([letter]), *gateway.frames(one_device(100)), said, older, broken])
        await city.caught_up()
    row = (await city.fetch("SELECT * FROM city.dead_letters WHERE reason = 'malformed'"))[0]
    assert (row["payload"], row["readings"], row["detail"]) == (b"\x00raw", 3, "detail with \N{REPLACEMENT CHARACTER}")
    found = (await city.fetch("SELECT * FROM city_view.ledger WHERE gateway = 'gw-1'"))[0]
    assert (found["received"], found["stored"], found["dead_letter"], found["refused"]) == (110, 100, 3, 2)
    assert (found["in_flight"], found["unaccounted"]) == (5, 0)
    assert await city.value("SELECT count(*) FROM city.dead_letters WHERE gateway = '' AND reason = 'bad_frame'") == 1
