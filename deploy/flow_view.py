"""Who waits for whom, as `citynerve status` shows it: what the control center says, or that nobody says it."""

from __future__ import annotations

import json
import textwrap
import urllib.error
import urllib.request
from typing import Any, Final

_TIMEOUT_S: Final = 3.0
_UNKNOWN: Final = {
    "en": "who waits for whom is not known: the control center does not answer",
    "vi": "không rõ ai đang chờ ai: trung tâm điều hành không trả lời",
}
_HEAD: Final = {"en": "who waits for whom: {headline}", "vi": "ai đang chờ ai: {headline}"}
_MARKS: Final = {"fine": "ok", "catching_up": "..", "waiting": "!!", "silent": "--", "away": "XX", "unknown": "??"}


def read_flow(port: int, language: str) -> dict[str, Any] | None:
    """/api/v1/flow of the control center at this port; None where it does not answer."""
    address = f"http://127.0.0.1:{port}/api/v1/flow?lang={language}"
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(address, timeout=_TIMEOUT_S) as answer:
            said = json.load(answer)
    except (urllib.error.URLError, OSError, ValueError):
        return None
    return said if isinstance(said, dict) and "hops" in said else None


def flow_lines(flow: dict[str, Any] | None, language: str) -> list[str]:
    """A line for each hop in the order of the data's way."""
    if flow is None:
        return ["", _UNKNOWN[language]]
    lines = ["", _HEAD[language].format(headline=flow["headline"])]
    for hop in flow["hops"]:
        mark = _MARKS.get(hop["state"], "??")
        lines += textwrap.wrap(hop["text"], 110, initial_indent=f"  {mark}  ", subsequent_indent="      ")
    return lines
