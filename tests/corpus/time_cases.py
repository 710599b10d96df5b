"""Group 3: times in every unit and spelling, impossible ones, and clocks that are wrong."""

from __future__ import annotations

from collections.abc import Iterator

from tests.corpus.cases import NOW_US, Case, in_every_format, on

NOW_S = NOW_US // 1_000_000
KEYS = ("time", "timestamp", "ts", "datetime", "observed_at", "dateObserved", "created_at", "createdAt")

NUMBERS = (
    0, 1, -1, -NOW_S, 86_400, 2**31 - 1, 2**31, 2**32, 2**53 + 1, 2**62, 2**63 - 1, 253_402_300_799,
    253_402_300_800, 10**11, 10**14, 10**17,
    10**18, 10**19, 10**25, 10**300, NOW_S + 1, NOW_S + 3600, NOW_S + 75 * 31_557_600, NOW_S - 7 * 86_400,
    NOW_S - 86_401, NOW_S - 30,
)  # fmt: skip
SCALES = (1, 1000, 10**6, 10**9)
TEXTS = (
    "2023-11-14T22:13:20", "2023-11-14 22:13:20", "2023-11-14T22:13:20z", "2023-11-14T22:13:20UTC",
    "2023-11-14T22:13:20+0000",
    "2023-11-15T12:13:20+14:00", "2023-11-14T10:13:20-12:00", "2023-11-14T22:13:20+18:00",
    "2023-11-14T22:13:20+19:00",
    "2023-11-14T22:13:20+99:99", "2023-11-14T24:00:00Z", "2023-11-14T24:00:01Z", "2023-11-14T25:00:00Z",
    "2023-11-14T22:60:00Z",
    "2023-11-14T22:13:60Z", "2016-12-31T23:59:60Z", "2023-11-14T22:13:61Z", "2023-02-29T00:00:00Z",
    "2023-13-01T00:00:00Z",
    "2023-00-10T00:00:00Z", "0000-01-01T00:00:00Z", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59Z",
    "9999-12-31T24:00:00Z",
    "9999-12-31T23:59:60Z", "10000-01-01T00:00:00Z", "+12023-11-14T22:13:20Z", "-2023-11-14T22:13:20Z",
    "2038-01-19T03:14:08Z",
    "1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z", "2099-01-01T00:00:00Z", "2023-03-26T02:30:00",
    "2023-10-29T02:30:00",
    "2023-11-14T22:13:20.123456789123456789Z", "2023-11-14T22:13:20.Z", "2023-11-14T22:13:20,5Z", "2023-11-14",
    "22:13:20", "20231114T221320Z",
    "14.11.2023 22:13:20", "11/14/2023 10:13 PM", "Tue, 14 Nov 2023 22:13:20 GMT", "2023-W46-2", "2023-318", "now",
    "yesterday", "", " ",
    "0", "-1", "1e9", "1700000000", "1700000000000", "1700000000.5", "0x6553F100", "٢٠٢٣-١١-١٤T٢٢:١٣:٢٠Z",
    "2023-11-14T22:13:20\\u0000Z",
    "2023‐11‐14T22:13:20Z", "9" * 19, "9" * 20, "9" * 400, "-" + "9" * 19, "1" * 5000, "P1D", "NaN", "Infinity",
    "null", "2023-11-14T22:13:20Z" * 50,
)  # fmt: skip
STRUCTURES = ("null", "true", "[]", "{}", '{"$date":1700000000000}', "[2023,11,14]")


def cases() -> Iterator[Case]:
    """All of the group; a value with a time that cannot be read is stored with the receive time and flagged, so most are `any`."""
    spelled = [
        *(str(number * scale) for number in NUMBERS for scale in SCALES),
        *(f'"{text}"' for text in TEXTS),
        *STRUCTURES,
    ]
    spelled += [f"{number}.123456789" for number in NUMBERS] + [f"-{number}e3" for number in NUMBERS if number > 0]
    for time in spelled:
        yield from in_every_format("time", time=time)
        yield Case(
            "time",
            on("senml-json"),
            f'[{{"bn":"urn:dev:city:dev-1:","bt":{time},"n":"pm10","u":"ug/m3","v":1}}]'.encode(),
        )
        for key in KEYS[1:]:
            yield Case("time", on("plain-json"), f'{{"air_temperature":20,"{key}":{time}}}'.encode())
        history = f'{{"object":{{"history":[{{"ts":{time},"humidity":40}},{{"time":{time},"humidity":41}}]}}}}'
        yield Case("time", on("chirpstack-v4"), history.encode())
        telemetry = f'{{"Device A":[{{"ts":{time},"values":{{"pm10":3}}}}]}}'
        yield Case("time", on("plain-json"), telemetry.encode())
    for ahead in (NOW_S + 3600, NOW_S + 75 * 31_557_600, 4_102_444_800):
        yield from in_every_format("time", "refused", time=str(ahead) if ahead < 2**32 else f'"{ahead}"')
    yield Case("time", on("plain-json"), b'{"air_temperature":20,"time":"2023-11-14T22:13:20"}', "refused")
    yield from in_every_format("time", "stored", time=str(NOW_S))
