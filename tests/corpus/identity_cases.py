"""Group 8: who says it. Ids that are impossible, hostile or not their topic's, units that are wrong, names nobody knows."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.corpus.cases import EUI, Case, dumped, on

IDS: tuple[object, ...] = (
    "", " ", "#", "+", "a/../b", "../../etc/passwd", "$SYS", "a\0b", "a\nb", "\u202edev", "а", "x" * 200, "x" * 201,
    "é" * 101, "x" * 70_000,
    "urn:dev:city:dev-1", "urn:dev:mac:0024befffe804ff1", "urn:dev::", "urn:", ":", "dev-1:", "=cmd()",
    "<img src=x onerror=alert(1)>", "{{7*7}}",
    "'; DROP TABLE city.readings; --", "\\", "%s", "{0}", "null", "😀", "\ufeff", 0, -1, 5, 2**63, 2**64, 10**30,
    1.5, 1e300, True, None, [],
    ["a"], {}, {"id": "a"},
)  # fmt: skip
KEYS = (
    "device",
    "device_id",
    "deviceId",
    "deviceName",
    "device name",
    "devEui",
    "devEUI",
    "dev_eui",
    "sensor_id",
    "imei",
    "serial",
    "id",
)
NAMES = (
    "", " ", "temp", "AIR_TEMPERATURE", "air temperature", "air.temperature", "air_temperature ", "аir_temperature",
    "__proto__", "constructor",
    "toString", "*", "?", "[a-z]*", "air_*", "x" * 200, "x" * 201, "x" * 50_000, "a\0b", "\n", "1", "-", "=1+1",
    "${x}", "pm2.5", "PM10", "né",
)  # fmt: skip
UNITS = (
    "",
    " ",
    "K",
    "[degF]",
    "°F",
    "Cel ",
    "kelvin",
    "mm",
    "%",
    "lx",
    "x" * 5000,
    "\0",
    "ug/m3",
    "µg/m³",
    "1",
    "//",
    "=1",
    "С",
)


def cases() -> Iterator[Case]:
    """All of the group."""
    for identity in IDS:
        for key in KEYS:
            yield Case("identity", on("plain-json"), dumped({key: identity, "air_temperature": 20}))
        yield Case(
            "identity", on("plain-json"), dumped({str(identity): [{"ts": 1_700_000_000, "values": {"pm10": 1}}]})
        )
        for separator in ":/_.-":
            pack = [{"bn": f"{identity}{separator}", "n": "pm10", "u": "ug/m3", "v": 1}]
            yield Case("identity", on("senml-json"), dumped(pack))
        yield Case("identity", on("senml-json"), dumped([{"bn": identity, "n": "pm10", "v": 1}]))
        yield Case("identity", on("senml-json"), dumped([{"n": identity, "u": "Cel", "v": 1}]))
        event = {"deviceInfo": {"devEui": identity}, "object": {"temperature": 20}}
        yield Case("identity", on("chirpstack-v4"), dumped(event), "stored" if identity == "" else "refused")
    yield Case(
        "identity",
        on("chirpstack-v4"),
        dumped({"deviceInfo": {"devEui": EUI.upper()}, "object": {"temperature": 20}}),
        "stored",
    )
    for name in NAMES:
        for unit in UNITS:
            entry = {"name": name, "value": 20, "unit": unit}
            yield Case("identity", on("plain-json"), json.dumps([entry], ensure_ascii=False).encode())
            yield Case(
                "identity", on("senml-json"), dumped([{"bn": "urn:dev:city:dev-1:", "n": name, "u": unit, "v": 20}])
            )
        yield Case("identity", on("plain-json"), dumped({name: 20}))
        yield Case("identity", on("plain-json"), dumped({name: {name: {name: 20}}}))
        yield Case("identity", on("chirpstack-v4"), dumped({"object": {name: 20}}))
        yield Case("identity", on("chirpstack-v4"), dumped({"object": {name: {name: [20, {name: 20}]}}}))
    for unit in UNITS:
        known = {"name": "air_temperature", "value": 20, "unit": unit}
        yield Case("identity", on("plain-json"), dumped([known]))
