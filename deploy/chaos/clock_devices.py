"""The fault of devices whose clocks are wrong, beside a city whose clocks are right."""

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
import httpx
import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from deploy.chaos.arena import Arena
from deploy.chaos.waits import pause
from deploy.local.readiness import HOST
from deploy.local.trouble import Trouble
from ingest.contract.broker import KafkaSettings
from ingest.contract.topics import partition_of
from processors.settings import ProcessorSettings

_EVERY_S = 1.0
_NEAR_S = 120.0
_PUBACK_BUDGET_S = 30.0
_HOUR_S = 3600.0
_YEAR_2099 = datetime(2099, 1, 1, tzinfo=UTC)
_LATENESS = timedelta(seconds=ProcessorSettings.model_fields["allowed_lateness_s"].default)
_HEADS = "SELECT partition, watermark FROM city.offsets WHERE watermark IS NOT NULL"
_FAR_CHUNKS = """
SELECT count(*) FROM timescaledb_information.chunks
WHERE hypertable_schema = 'city' AND (range_start > now() + interval '1 day' OR range_end < now() - interval '400 days')"""
_STORED = "SELECT count(*) FROM city_view.readings WHERE device = $1"


@dataclass(frozen=True, slots=True)
class Wrong:
    """A device's mistake: from (now, newest event time of its partition) to the time it sends, and what must be said of it."""

    name: str
    time: Callable[[datetime, datetime], datetime]
    kind: str
    offset_s: float | None
    stored: bool


WRONG = (
    Wrong("never-set", lambda _now, _head: datetime(1970, 1, 1, 0, 7, tzinfo=UTC), "unset", None, stored=True),
    Wrong("year-2099", lambda now, _head: _YEAR_2099 + (now - datetime(now.year, 1, 1, tzinfo=UTC)), "ahead", None, stored=False),
    Wrong("local-as-utc", lambda now, _head: now + timedelta(hours=7), "ahead", 7 * _HOUR_S, stored=False),
    Wrong("summer-time", lambda now, _head: now + timedelta(hours=1), "ahead", _HOUR_S, stored=False),
    Wrong("winter-time", lambda _now, head: head - timedelta(hours=1), "behind", -_HOUR_S, stored=True),
)  # fmt: skip
GOOD = "right"


@dataclass
class _Said:
    """What the API says of the devices so far, and how many messages each has sent."""

    items: dict[str, dict[str, Any]] = field(default_factory=dict)
    sent: int = 0


@dataclass(frozen=True, slots=True)
class WrongClocks:
    """Five devices whose clocks are wrong and one whose is right publish until the API names the five."""

    budget_s: float = 200.0

    def __call__(self, arena: Arena) -> None:
        mark = f"{time.time():.0f}"
        said = asyncio.run(self._until_named(arena, mark))
        arena.over()
        for wrong in WRONG:
            _check(arena, wrong, said.items.get(f"{wrong.name}-{mark}"))
        if f"{GOOD}-{mark}" in said.items:
            arena.problems.append(f"a device with a right clock is said to be wrong: {said.items[f'{GOOD}-{mark}']}")
        pause(_EVERY_S)
        asyncio.run(_database_is_sound(arena, mark, said.sent))

    async def _until_named(self, arena: Arena, mark: str) -> _Said:
        names = [wrong.name for wrong in WRONG] + [GOOD]
        said, client = _Said(), _connected(arena)
        ends_s = time.monotonic() + self.budget_s
        connection = await asyncpg.connect(arena.dsn, timeout=10)
        try:
            while len(said.items) < len(WRONG) and time.monotonic() < ends_s:
                heads = {row["partition"]: row["watermark"] + _LATENESS for row in await connection.fetch(_HEADS)}
                _publish(client, mark, heads)
                said.sent += 1
                said.items = _named(arena, [f"{name}-{mark}" for name in names])
                await asyncio.sleep(_EVERY_S)
        finally:
            client.disconnect()
            client.loop_stop()
            await connection.close(timeout=10)
        return said


def _connected(arena: Arena) -> paho.Client:
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id="wrong-clocks", protocol=paho.MQTTv5)
    client.connect(HOST, arena.stack.mqtt_port)
    client.loop_start()
    return client


def _publish(client: paho.Client, mark: str, heads: dict[int, datetime]) -> None:
    """One message of each device, acknowledged."""
    now = datetime.now(UTC)
    times: dict[str, Callable[[datetime, datetime], datetime]] = {wrong.name: wrong.time for wrong in WRONG}
    times[GOOD] = lambda _now, head: head
    for name, its_time in times.items():
        device = f"{name}-{mark}"
        head = heads.get(partition_of(device, KafkaSettings().partitions), now - timedelta(minutes=10))
        payload = {"time": its_time(now, head).isoformat(), "pm2_5": 7.5}
        message = client.publish(f"city/json/{device}", json.dumps(payload), qos=1)
        message.wait_for_publish(_PUBACK_BUDGET_S)
        if not message.is_published():
            raise Trouble("a device with a wrong clock got no acknowledgement")


def _named(arena: Arena, devices: list[str]) -> dict[str, dict[str, Any]]:
    """What the API says of these devices."""
    found: dict[str, dict[str, Any]] = {}
    with httpx.Client(base_url=f"http://{HOST}:{arena.stack.ports.control_port}", trust_env=False, timeout=10) as api:
        for device in devices:
            answer = api.get("/api/v1/device-clocks", params={"device": device})
            answer.raise_for_status()
            found |= {item["device"]: item for item in answer.json()["items"]}
    return found


def _check(arena: Arena, wrong: Wrong, item: dict[str, Any] | None) -> None:
    if item is None:
        arena.problems.append(f"the device {wrong.name} is not named among those whose clock is wrong")
        return
    off_s = item["offset_s"]
    near = wrong.offset_s is None or (off_s is not None and abs(off_s - wrong.offset_s) <= _NEAR_S)
    if item["kind"] != wrong.kind or not near:
        arena.problems.append(
            f"the device {wrong.name} is named with kind {item['kind']}, offset {off_s} s: {item['text']}"
        )


async def _database_is_sound(arena: Arena, mark: str, sent: int) -> None:
    connection = await asyncpg.connect(arena.dsn, timeout=10)
    try:
        if far := await connection.fetchval(_FAR_CHUNKS):
            arena.problems.append(f"{far} chunks were made in years nobody looks at")
        ahead = [row["partition"] for row in await connection.fetch(_HEADS) if row["watermark"] > datetime.now(UTC)]
        if ahead:
            arena.problems.append(f"the watermarks of partitions {ahead} are ahead of the time")
        for wrong in WRONG:
            stored = await connection.fetchval(_STORED, f"{wrong.name}-{mark}")
            if (stored > 0) != wrong.stored or stored > sent:
                arena.problems.append(f"of {sent} readings of the device {wrong.name} {stored} are stored")
    finally:
        await connection.close(timeout=10)
