"""Group 2: numbers that are none, too large, too small, or written as another alphabet would."""

from __future__ import annotations

from collections.abc import Iterator

from tests.corpus.cases import Case, Outcome, in_every_format, on

STRUCTURES = ("{}", "[]", "[20]", '{"a":{}}', "null")
NEVER = (
    "NaN", "Infinity", "-Infinity", "1e999", "-1e999", "1e308", "-1e308", "9" * 30, "-" + "9" * 30, "9" * 5000, "1" + "0" * 400,
    "0x1F", "1_000", "01", "+1", ".5", "5.", "1e", "1e+", "--1", "1.2.3", "1,5", "٣", "２０", "½", "1 000", "nan", "inf", "None", "nil",
    "undefined", "TRUE", "NULL", "1f", "1L", "0b1", "0o7", "1e5.5", *STRUCTURES, "9007199254740993",
    "9223372036854775807", "9223372036854775808", "18446744073709551616", "-9223372036854775809",
)  # fmt: skip
"""Raw JSON values no temperature can be; where the format's own syntax refuses them the whole payload goes."""

TEXTS_NEVER = (
    "", " ", "NaN", "nan", "Infinity", "-inf", "1e999", "0x1F", "1_000", "٣", "２０", "½", "21.5 C", "21.5°", "twenty", "--", "-", "+", ".",
    "1.2.3", "1,234,567", "1e", "e5", "null", "None", "N/A", "ERR", "#REF!", "=1+1", "<img src=x onerror=alert(1)>", "'; DROP TABLE x; --",
    "\\u0000", "2\\u00000", "\\u202e20", "20\\n{\\\"level\\\":\\\"error\\\"}", "9" * 400, "1" * 100_000, "true-ish", "on", "off", "open",
)  # fmt: skip
"""Texts in the place of a number."""

TEXTS_GOOD = ("20", "20.5", " 20 ", "-0", "2e1", "+20", "020")
SMALL = (
    "1e-400",
    "5e-324",
    "-5e-324",
    "2.2250738585072014e-308",
    "-0.0",
    "0e0",
    "0.0000000000000000000000001",
    "1E-10",
)


def cases() -> Iterator[Case]:
    """All of the group."""
    for number in NEVER:
        expect: Outcome = "any" if number in STRUCTURES else "refused"
        yield from in_every_format("numbers", expect, value=number)
        for key in ("value", "v"):
            yield Case(
                "numbers", on("plain-json"), f'{{"name":"air_temperature","{key}":{number}}}'.encode(), "refused"
            )
        for shape in (
            '{{"measurements":[{{"name":"pm10","value":{0}}}]}}',
            '{{"wind":{{"speed":{0}}}}}',
            "{0}",
            "[{0}]",
        ):
            yield Case("numbers", on("plain-json"), shape.format(number).encode())
        for field in ("bv", "bs", "s", "t", "bt", "ut", "bver"):
            pack = f'[{{"n":"pm10","u":"ug/m3","v":1,"{field}":{number}}}]'
            yield Case("numbers", on("senml-json"), pack.encode())
        for shape in (
            '{{"object":{{"temperature":20}},"rxInfo":[{{"rssi":{0},"snr":1}}]}}',
            '{{"object":{{"temperature":20}},"rxInfo":[{{"rssi":1,"snr":{0}}}]}}',
            '{{"object":{{"temperature":20}},"fPort":{0}}}', '{{"batteryLevel":{0},"margin":1}}', '{{"object":[{0}]}}', '{{"object":{0}}}',
            '{{"location":{{"latitude":{0}}}}}',
        ):  # fmt: skip
            yield Case("numbers", on("chirpstack-v4"), shape.format(number).encode())
    for text in TEXTS_NEVER:
        yield from in_every_format("numbers", "refused", value=f'"{text}"')
        yield Case("numbers", on("senml-json"), f'[{{"n":"pm10","u":"ug/m3","vs":"{text}"}}]'.encode(), "refused")
        yield Case("numbers", on("plain-json"), f'[{{"name":"pm10","value":"{text}"}}]'.encode(), "refused")
    for text in TEXTS_GOOD:
        yield Case("numbers", on("plain-json"), f'{{"air_temperature":"{text}"}}'.encode(), "stored")
    for number in SMALL:
        yield from in_every_format("numbers", "stored", value=number)
