"""What is fuzzed: each target takes any bytes, answers with a verdict in words, and fails an assertion where a promise is broken.

Plain functions: the fuzzer drives them, and `tests/corpus/test_findings.py` feeds them every case ever kept.
"""

from __future__ import annotations

import json
import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ingest.admission import TimeWindow, admit
from ingest.catalogue import Catalogue
from ingest.contract.rejects import RejectReason
from ingest.contract.topics import Topics
from ingest.decoders.columns import Arrival, Columns
from ingest.device_profile import load_profiles
from ingest.messages import Message
from ingest.mqtt_packets import MalformedStreamError, PacketReader
from ingest.reading_slice import decode_message, decoder_for
from ingest.settings import DEFAULT_ROUTES, Format
from ingest.spool import Spool
from ingest.topic_routes import TopicRoutes, matches
from processors.columns import Frames
from processors.columns import decode as decode_records

PROFILES = load_profiles(["canonical", "lorawan"])
NOW_US = 1_700_000_000_000_000
WINDOW = TimeWindow(10**15, 10**9)
TOPICS = Topics("fuzz")
UPLINK_TOPIC = "application/a/device/0102030405060708/event/up"
SPOOL_LIMIT_BYTES = 10_000_000
Target = Callable[[bytes], str]


def held_characters(columns: Columns) -> int:
    """Characters kept alive by the names of the readings, each text object once."""
    names = [*columns.devices, *columns.metrics, *columns.units]
    return sum({id(name): len(name) for name in names if name is not None}.values())


def judged(message_format: Format, profile: str, topic: str, payload: bytes) -> tuple[Columns, str]:
    """Decode and admit one payload; its verdict is the number of readings and what was refused why."""
    columns = Columns()
    decode_message(decoder_for(message_format, PROFILES[profile]), payload, Arrival(topic, NOW_US), columns)
    admitted = admit(columns, PROFILES[profile], Catalogue(4), WINDOW, NOW_US)
    refused: Counter[str] = Counter()
    for _, reject in admitted.rejects:
        assert reject.readings >= 1
        assert reject.detail
        refused[reject.reason.value] += reject.readings
    assert RejectReason.INTERNAL.value not in refused, f"a mistake of ours: {admitted.rejects}"
    assert held_characters(columns) <= 3 * len(payload) + len(topic) + 3000 + 1100 * len(columns)
    words = [f"{len(admitted)} readings", *(f"{refused[reason]} {reason}" for reason in sorted(refused))]
    return columns, ", ".join(words)


@dataclass(frozen=True, slots=True)
class PayloadTarget:
    """One decoder and admission."""

    message_format: Format
    profile: str
    topic: str
    renamed: str = ""
    """The topic of payloads that end in a space: as if a bridge had renamed it, so that the body alone tells the kind of event."""

    def __call__(self, payload: bytes) -> str:
        logging.disable(logging.CRITICAL)
        try:
            topic = self.renamed if self.renamed and payload.endswith(b" ") else self.topic
            return judged(self.message_format, self.profile, topic, payload)[1]
        finally:
            logging.disable(logging.NOTSET)


def topic_router(data: bytes) -> str:
    """A topic as the broker might send it: routed or not, and never two answers."""
    topic = data.decode("utf-8", "backslashreplace")
    routes = TopicRoutes(DEFAULT_ROUTES)
    found = routes.find(topic)
    assert routes.find(topic) is found
    if found is None:
        assert not any(matches(route.topic, topic) for route in DEFAULT_ROUTES)
        return "no route"
    assert matches(found.topic, topic)
    assert set(found.topic.split("/")) - {"+"} <= set(topic.split("/"))
    _, verdict = judged(found.format, found.profile, topic, b'{"air_temperature":20}')
    return f"{found.format}, {verdict}"


@dataclass(slots=True)
class _KafkaRecord:
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    offset: int = 7
    timestamp: int = 1_700_000_000_000
    topic: str = ""
    partition: int = 0


_HEADER_NAMES = ("v", "gateway", "epoch", "seq", "before", "count", "received_us", "sent_us")
_GOOD_HEADERS = dict(zip(_HEADER_NAMES, (b"1", b"gw", b"1", b"0", b"0", b"1", b"1", b"1"), strict=True))


def frame_reader(data: bytes) -> str:
    """A Kafka record: the first byte says which topic and whether the headers come from the data too."""
    kind, body = (data[0], data[1:]) if data else (0, b"")
    headers = dict(_GOOD_HEADERS)
    if kind & 4:
        fields = body.split(b"\n", len(_HEADER_NAMES))
        headers |= dict(zip(_HEADER_NAMES, fields, strict=False))
        body = fields[-1]
    topic = (TOPICS.readings, TOPICS.dead_letters, TOPICS.custody)[(kind & 3) % 3]
    frames = decode_records({(topic, 0): [_KafkaRecord(body, [*headers.items()])]}, TOPICS)
    assert len(frames.readings) + len(frames.letters) + len(frames.statements) + len(frames.broken) == 1
    return _frame_verdict(frames)


def _frame_verdict(frames: Frames) -> str:
    for broken in frames.broken:
        assert broken.detail
        return "broken"
    for statement in frames.statements:
        statement.gateway.encode()
        for place in json.loads(statement.partitions):
            place["topic"].encode()
            assert "\0" not in place["topic"]
        return "statement"
    for letters in frames.letters:
        return f"{letters.header.count} letters"
    return f"{frames.readings[0].header.count} frame readings"


def spool_reader(data: bytes) -> str:
    """A segment file with these bytes: opened, read to its end, appended to and emptied."""
    folder = Path(tempfile.mkdtemp(prefix="spool-", dir=_memory_folder()))
    try:
        (folder / f"{1:020d}.spool").write_bytes(data)
        spool = Spool(folder, SPOOL_LIMIT_BYTES, SPOOL_LIMIT_BYTES // 4)
        state = spool.open()
        assert state.torn_bytes <= len(data)
        read = 0
        while batch := spool.read(16):
            read += len(batch)
            spool.release(batch[-1][0], len(batch))
        assert read == state.frames, f"opening counted {state.frames} frames, reading found {read}"
        spool.forget_rest()
        assert spool.empty
        spool.close()
        return f"{state.frames} frames, {state.damaged} damaged, {state.torn_bytes} torn"
    finally:
        shutil.rmtree(folder)


def _memory_folder() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 - a thousand fsyncs a second on a disk would be the whole run


def mqtt_packets(data: bytes) -> str:
    """The broker's stream: the same messages whole or in pieces, bounded memory, and only our own error."""
    whole, pieces = _packets([data]), _packets([data[at : at + 7] for at in range(0, len(data), 7)])
    if whole is None or pieces is None:
        assert whole is None and pieces is None, "a stream is malformed whole and not in pieces"  # noqa: PT018
        return "malformed"
    assert whole == pieces
    return f"{len(whole)} messages"


def _packets(chunks: list[bytes]) -> list[Message] | None:
    reader = PacketReader(100)
    messages: list[Message] = []
    try:
        for chunk in chunks:
            messages += reader.feed(chunk)[0]
            assert len(reader._rest) < 1_000_000
    except MalformedStreamError:
        return None
    return messages


TARGETS: dict[str, Target] = {
    "plain-json": PayloadTarget("plain-json", "canonical", "city/json/device-1"),
    "senml-json": PayloadTarget("senml-json", "canonical", "city/senml/gw-1"),
    "chirpstack-v4": PayloadTarget("chirpstack-v4", "lorawan", UPLINK_TOPIC, "bridge/renamed"),
    "topics": topic_router,
    "frames": frame_reader,
    "spool": spool_reader,
    "mqtt-packets": mqtt_packets,
}
