"""The hostile broker's packets: real ones are cut out of the stream whole, and what stands before them is as it is named."""

from __future__ import annotations

import pytest

from deploy.chaos.hostile_packets import ENDING, PASSING, Malice, chosen, packets, publish
from ingest.mqtt_packets import PacketReader

GOOD = publish(b"city/json/d", b'{"pm2_5": 7}', mid=513)


def test_whole_packets_are_taken_off_a_stream_that_comes_in_pieces() -> None:
    stream, found = bytearray(), []
    for byte in GOOD + b"\xd0\x00" + GOOD[:-1]:
        stream.append(byte)
        found += list(packets(stream))
    assert found == [GOOD, b"\xd0\x00"]
    assert bytes(stream) == GOOD[:-1]


@pytest.mark.parametrize("malice", PASSING, ids=lambda malice: malice.name)
def test_what_a_client_may_live_with_is_read_whole(malice: Malice) -> None:
    messages, _ = PacketReader(max_payload=262_144).feed(malice.instead(GOOD))
    assert [message for message in messages if message.payload == b'{"pm2_5": 7}']


def test_another_packet_id_is_another_and_no_other_is_changed() -> None:
    malice = next(malice for malice in PASSING if malice.name == "another packet id")
    (message,), _ = PacketReader(max_payload=262_144).feed(malice.instead(GOOD))
    assert (message.topic, message.mid) == ("city/json/d", 513 + 30_000 + 1)


def test_a_choice_holds_all_that_pass_and_so_many_that_end_a_connection() -> None:
    found = chosen(6)
    assert set(PASSING) <= set(found)
    assert len(set(found) & set(ENDING)) == 6
