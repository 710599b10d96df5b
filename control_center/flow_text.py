"""The picture of who waits for whom in words, as the API gives it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from control_center.catching_up import CatchingUp
from control_center.flow import Hop, worst
from control_center.texts import Language, text

_AGES: Final = frozenset({"age", "heard", "lag", "behind", "left"})
_SIZES: Final = frozenset({"used", "room"})
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")

Mood = Literal["live", "catching_up", "held_up", "unknown"]


@dataclass(frozen=True, slots=True)
class HopItem:
    """One hop of the data's way. `text` says it in one sentence. null: not known, or nothing of the kind there."""

    part: str
    name: str
    state: str
    waits_for: str | None
    age_s: float | None
    lag_s: float | None
    queue_bytes: int | None
    queue_limit_bytes: int | None
    hours_left: float | None
    text: str


@dataclass(frozen=True, slots=True)
class FlowItem:
    """Who waits for whom at `time`.

    `mood`: live, catching_up (with `behind_s` and, where it has an end, `left_s`), held_up (somebody waits, or is away), or
    unknown (somebody does not answer). `headline` says it in a few words.
    """

    time: datetime
    mood: Mood
    headline: str
    behind_s: float | None
    left_s: float | None
    hops: list[HopItem]


def flow_item(hops: list[Hop], catching_up: CatchingUp | None, now: datetime, language: Language) -> FlowItem:
    """The picture in one language."""
    mood, headline = _headline(hops, catching_up, language)
    return FlowItem(
        time=now,
        mood=mood,
        headline=headline,
        behind_s=None if catching_up is None else round(catching_up.behind_s, 1),
        left_s=None if catching_up is None or catching_up.left_s is None else round(catching_up.left_s, 1),
        hops=[_hop_item(hop, language) for hop in hops],
    )


def _headline(hops: list[Hop], catching_up: CatchingUp | None, language: Language) -> tuple[Mood, str]:
    first = worst(hops)
    if first is not None and first.state in {"away", "waiting"}:
        key = f"flow_held_up_{first.part}_{first.waits_for or 'away'}"
        return "held_up", text(key, language, name=first.name, age=age_text(first.age_s, language))
    if catching_up is not None:
        key = "flow_catching_up" if catching_up.left_s is not None else "flow_behind"
        behind, left = age_text(catching_up.behind_s, language), age_text(catching_up.left_s, language)
        return "catching_up", text(key, language, behind=behind, left=left)
    if first is not None and first.state == "unknown":
        return "unknown", text(f"flow_unknown_{first.part}", language, name=first.name)
    return "live", text("flow_live", language)


def _hop_item(hop: Hop, language: Language) -> HopItem:
    return HopItem(
        part=hop.part,
        name=hop.name,
        state=hop.state,
        waits_for=hop.waits_for,
        age_s=_rounded(hop.age_s),
        lag_s=_rounded(hop.lag_s),
        queue_bytes=None if hop.queue_bytes is None else int(hop.queue_bytes),
        queue_limit_bytes=None if hop.queue_limit_bytes is None else int(hop.queue_limit_bytes),
        hours_left=_rounded(hop.hours_left),
        text=sentence(hop, language),
    )


def sentence(hop: Hop, language: Language) -> str:
    """What a hop says, with ages, sizes and counts as people write them."""
    return text(hop.key, language, **{name: _shown(name, value, language) for name, value in hop.values.items()})


def _shown(name: str, value: float | str | None, language: Language) -> str:
    if name in {"names", "others"}:
        return str(value).replace("control-center", text("flow_control_center", language))
    if isinstance(value, str):
        return value
    if name in _AGES:
        return age_text(value, language)
    if value is None:
        return "?"
    if name in _SIZES:
        return size_text(value, language)
    return _number(value, 0 if name != "hours" or value >= 10 else 1, language)


def age_text(seconds: float | None, language: Language) -> str:
    """12 s, 3 min, 2 h 10 min, 4 days."""
    if seconds is None:
        return "?"
    s = max(0, round(seconds))
    if s < 60:
        return text("age_s", language, n=s)
    minutes = s // 60
    if minutes < 60:
        return text("age_min", language, n=minutes)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return text("age_d", language, n=hours // 24)
    return text("age_h_min", language, h=hours, min=minutes) if minutes else text("age_h", language, n=hours)


def size_text(size: float, language: Language) -> str:
    """Bytes in decimal units: 3.1 GB."""
    power = 0
    while size >= 1000 and power < len(_UNITS) - 1:
        size, power = size / 1000, power + 1
    return f"{_number(size, 1 if power and size < 100 else 0, language)} {_UNITS[power]}"


def _number(value: float, digits: int, language: Language) -> str:
    shown = f"{value:,.{digits}f}"
    return shown if language == "en" else shown.translate(str.maketrans(",.", ".,"))


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
