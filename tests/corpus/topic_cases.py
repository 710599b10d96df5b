"""Group 7: topics. Those a broker would never pass on go through the router all the same."""

from __future__ import annotations

from collections.abc import Iterator

from tests.corpus.cases import EUI, Case, plain, senml, uplink

LEVELS = (
    "", " ", ".", "..", "+", "#", "a+", "#a", "$SYS", "$share", "$CONTROL", "a\0b", "\n", "\r\n{\"level\":\"error\"}", "\x7f", "\u202eabc",
    "а", "Å", "A\u030a", "ｄｅｖ－１", "dev-1 ", " dev-1", "DEV-1", "😀",
    "x" * 200, "x" * 201, "é" * 100, "é" * 101, "y" * 5000, "z" * 59_000,
    "%2e%2e", "..\\..", "${jndi:ldap}", "{{7*7}}", "<img onerror>", "'; DROP TABLE x; --", "=cmd()", "\\ud800", "\ufeff", "\ufffd", "null",
)  # fmt: skip
GOOD = {"json/{}": plain(), "senml/{}": senml(), "application/1/device/{}/event/up": uplink()}


def cases() -> Iterator[Case]:
    """All of the group."""
    for pattern, payload in GOOD.items():
        for level in LEVELS:
            yield Case("topics", pattern.format(level), payload)
        yield Case("topics", pattern.format("dev-1/"), payload, "refused")
        yield Case("topics", "/" + pattern.format("dev-1"), payload, "refused")
        yield Case("topics", pattern.format("/".join(["a"] * 200)), payload, "refused")
        for prefix in ("$SYS/", "$share/g/", "$CONTROL/", "../", "a/"):
            yield Case("topics", prefix + pattern.format("dev-1"), payload, "refused")
    for level in LEVELS:
        for kind in (
            "up",
            "join",
            "status",
            "location",
            "ack",
            "txack",
            "log",
            "integration",
            "UP",
            "up/",
            "nonsense",
            "",
        ):
            yield Case("topics", f"application/{level}/device/{EUI}/event/{kind}", uplink())
        yield Case("topics", level, plain(), "refused")
    for number in range(1500):
        yield Case("topics", f"json/invented-{number}", plain(), "stored")
