"""The timeline of trials as inline SVG: rate in, rate stored, lag, latency, spool, memory, and when the fault was."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

from deploy.chaos.arena import SERVICES
from deploy.chaos.memory import MIB
from deploy.chaos.sampling import Sample
from deploy.chaos.trial import Result

WIDTH, LANE = 960, 66
_LEFT, _RIGHT, _TOP = 112, 12, 22
_SPAN = 4
"""Samples over which a rate is taken."""
_Points = list[tuple[float, float]]
Across = Callable[[float], float]
"""Seconds to pixels from the left."""


@dataclass(frozen=True, slots=True)
class Lane:
    """One band of the picture: its lines (class, points of seconds and values) and the unit of its scale."""

    title: str
    unit: str
    lines: list[tuple[str, _Points]]


def lanes(samples: Sequence[Sample]) -> list[Lane]:
    """Rates and states of one trial; a moment nobody answered has no point."""
    spool = [(s.at_s, s.spool_bytes / 1e6) for s in samples if s.spool_bytes is not None]
    lag = [(s.at_s, s.lag_s) for s in samples if s.lag_s is not None]
    latency = [(s.at_s, s.latency_s) for s in samples if s.latency_s is not None]
    acked = [(s.at_s, float(s.acked)) for s in samples]
    stored = [(s.at_s, float(s.placed)) for s in samples if s.placed is not None]
    memory = [(part, [(s.at_s, s.memory[part] / MIB) for s in samples if part in s.memory]) for part in SERVICES]
    return [
        Lane("readings", "/s", [("in", _rate(acked)), ("stored", _rate(stored))]),
        Lane("lag", "s", [("lag", lag)]),
        Lane("latency", "s", [("latency", latency)]),
        Lane("spool", "MB", [("spool", spool)]),
        Lane("memory", "MiB", memory),
    ]


def _rate(counts: _Points) -> _Points:
    found = []
    for (before_s, before), (at_s, count) in zip(counts, counts[_SPAN:], strict=False):
        found.append((at_s, max(0.0, (count - before) / (at_s - before_s))))
    return found


def picture(result: Result) -> str:
    """The SVG of one trial."""
    if len(result.samples) < 2:
        return "<p>no samples</p>"
    start_s, end_s = result.samples[0].at_s, result.samples[-1].at_s
    scale = (WIDTH - _LEFT - _RIGHT) / (end_s - start_s)

    def across(at_s: float) -> float:
        return _LEFT + (min(max(at_s, start_s), end_s) - start_s) * scale

    shown = lanes(result.samples)
    height = _TOP + LANE * len(shown) + 22
    parts = [
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="Timeline of {escape(result.fault)}">',
        _mark(result, across, height),
        *(_band(lane, _TOP + LANE * number, across) for number, lane in enumerate(shown)),
        *_seconds(start_s, end_s, across, height),
        "</svg>",
    ]
    return "\n".join(parts)


def _mark(result: Result, across: Across, height: int) -> str:
    begin, end = across(result.began_s), across(result.ended_s)
    text = f'<rect class="fault" x="{begin:.1f}" y="{_TOP - 4}" width="{max(2.0, end - begin):.1f}" height="{height - _TOP - 16}"/>'
    text += f'<text x="{begin:.1f}" y="14">fault</text>'
    if result.recovery_s is not None:
        back = across(result.ended_s + result.recovery_s)
        text += f'<line class="back" x1="{back:.1f}" y1="{_TOP - 4}" x2="{back:.1f}" y2="{height - 20}"/>'
        said = f"recovered after {result.recovery_s:.1f} s"
        place = f'x="{back:.1f}" text-anchor="end"' if back > WIDTH - 150 else f'x="{max(back, begin + 40):.1f}"'
        text += f'<text {place} y="14">{said}</text>'
    return text


def _band(lane: Lane, top: int, across: Across) -> str:
    most = max((value for _, points in lane.lines for _, value in points), default=0.0) or 1.0
    floor, room = top + LANE - 14, LANE - 22

    def up(value: float) -> float:
        return floor - value / most * room

    parts = [
        f'<line class="floor" x1="{_LEFT}" y1="{floor}" x2="{WIDTH - _RIGHT}" y2="{floor}"/>',
        f'<text x="4" y="{floor - room / 2:.0f}">{lane.title}</text>',
        f'<text class="scale" x="{_LEFT - 6}" y="{floor - room + 8}">{_short(most)} {lane.unit}</text>',
        f'<text class="scale" x="{_LEFT - 6}" y="{floor}">0</text>',
    ]
    for name, points in lane.lines:
        path = " ".join(f"{across(at_s):.1f},{up(value):.1f}" for at_s, value in points)
        parts.append(f'<polyline class="{name}" points="{path}"/>')
    return "".join(parts)


def _short(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.2g}"


def _seconds(start_s: float, end_s: float, across: Across, height: int) -> list[str]:
    step = next(step for step in (5, 10, 20, 30, 60, 300, 3600) if (end_s - start_s) / step <= 16 or step == 3600)
    return [
        f'<text class="second" x="{across(start_s + second):.1f}" y="{height - 4}">{second} s</text>'
        for second in range(0, int(end_s - start_s) + 1, step)
    ]
