"""What the demo shows: one page of the terminal, redrawn; plain lines where there is no terminal."""

import sys
import time
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from deploy.demo_figures import Sent, Summary, Totals

_RATE_WINDOW_S = 5.0
_PLAIN_EVERY_S = 5.0
_LIVE_WITHIN_S = 60.0


@dataclass(frozen=True, slots=True)
class Moment:
    """All that is shown at one moment; None where the control center did not answer."""

    at_s: float
    sent: Sent
    totals: Totals | None
    status: dict[str, Any] | None


class Rates:
    """Readings a second of the last seconds, by name."""

    def __init__(self) -> None:
        self._past: deque[tuple[float, dict[str, int]]] = deque()

    def add(self, at_s: float, counts: dict[str, int]) -> dict[str, float]:
        """Note the counts of a moment; answers the rates."""
        self._past.append((at_s, counts))
        while len(self._past) > 2 and at_s - self._past[0][0] > _RATE_WINDOW_S:
            self._past.popleft()
        first_s, first = self._past[0]
        span_s = at_s - first_s
        return {
            name: (count - first.get(name, count)) / span_s if span_s > 0 else 0.0 for name, count in counts.items()
        }


class View:
    """Shows moments until it is left. Lines go to stderr, so that stdout holds the result alone."""

    def __init__(self, page: str, day_from: datetime, real_day: str, *, live: bool) -> None:
        self._page, self._from, self._real_day = page, day_from, real_day
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, auto_refresh=False, transient=False) if live else None
        self._rates = Rates()
        self._printed_s = 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        else:
            self._console.print(f"the page: {self._page}   ({self._real_day})", soft_wrap=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def show(self, moment: Moment) -> None:
        """Draw a moment."""
        counts = _counts(moment)
        rates = self._rates.add(moment.at_s, counts)
        if self._live is not None:
            self._live.update(self._screen(moment, counts, rates), refresh=True)
        elif moment.at_s - self._printed_s >= _PLAIN_EVERY_S:
            self._printed_s = moment.at_s
            self._console.print(_plain(moment, rates), soft_wrap=True)

    def note(self, text: str) -> None:
        """Say one sentence below what is shown."""
        self._console.print(text, soft_wrap=True)

    def _screen(self, moment: Moment, counts: dict[str, int], rates: dict[str, float]) -> Panel:
        table = Table(box=None, pad_edge=False, expand=False)
        for head in ("readings", "a second", "in total"):
            table.add_column(head, justify="left" if head == "readings" else "right", min_width=14)
        for name, count in counts.items():
            table.add_row(name, "" if name == "in flight" else f"{max(0.0, rates[name]):,.0f}", f"{count:,}")
        parts: list[RenderableType] = [
            Text("page: ") + Text(self._page, "bold cyan"),
            Text(self._real_day, "dim"),
            Text(""),
            self._day(moment),
            Text(""),
            table,
            Text(""),
            _state_line(moment.status, live=_is_live(moment.sent)),
            _unaccounted(moment.totals),
        ]
        if moment.sent.trouble:
            parts.append(Text(f"the simulator waits: {moment.sent.trouble}", "yellow"))
        parts.append(Text("Ctrl-C ends the demo and what it started", "dim"))
        return Panel(Group(*parts), title="CityNerve", border_style="cyan", width=min(100, self._console.width))

    def _day(self, moment: Moment) -> Table:
        """The bar of the day, or that the city runs live."""
        reached = _parse(moment.sent.event_time)
        row = Table.grid(padding=(0, 2))
        now = datetime.now(UTC)
        if reached is not None and _is_live(moment.sent):
            row.add_row(
                Text("live", "bold green"), Text(f"the city's clock: {reached.astimezone():%Y-%m-%d %H:%M:%S %Z}")
            )
            return row
        done = (
            0.0
            if reached is None
            else (reached - self._from).total_seconds() / max(1.0, (now - self._from).total_seconds())
        )
        clock = "starting" if reached is None else f"{reached.astimezone():%Y-%m-%d %H:%M %Z}"
        row.add_row(Text("the day"), ProgressBar(total=1.0, completed=done, width=50), Text(f"{done:4.0%}  {clock}"))
        return row


def _counts(moment: Moment) -> dict[str, int]:
    totals = moment.totals or Totals()
    return {
        "sent": moment.sent.acked_readings,
        "stored": totals.stored,
        "rejected": totals.dead_letter + totals.refused,
        "duplicate": totals.duplicate,
        "in flight": totals.in_flight,
    }


def _unaccounted(totals: Totals | None) -> Text:
    if totals is None:
        return Text("unaccounted for: ") + Text("unknown", "yellow")
    return Text("unaccounted for: ") + Text(
        f"{totals.unaccounted:,}", "bold red" if totals.unaccounted else "bold green"
    )


def _is_live(sent: Sent) -> bool:
    reached = _parse(sent.event_time)
    return reached is not None and (datetime.now(UTC) - reached).total_seconds() < _LIVE_WITHIN_S


def _state_line(status: dict[str, Any] | None, *, live: bool) -> Text:
    if status is None:
        return Text("the control center does not answer", "yellow")
    alarms, lag_s = status.get("active_alarms") or 0, status.get("lag_s")
    lag = "unknown" if lag_s is None else f"{lag_s:.1f} s"
    style = "bold red" if alarms else ""
    # while the day is replayed every reading is hours old by the wall clock, so that all devices would count as stale
    stale = f"stale devices: {status.get('stale_devices', 0)}   " if live else ""
    return Text(f"lag: {lag}   {stale}active alarms: ") + Text(str(alarms), style)


def _plain(moment: Moment, rates: dict[str, float]) -> str:
    totals, status = moment.totals or Totals(), moment.status or {}
    lag = status.get("lag_s")
    return (
        f"{moment.sent.event_time or 'starting'}  sent {moment.sent.acked_readings:,} ({rates['sent']:,.0f}/s)  stored {totals.stored:,} "
        f"({rates['stored']:,.0f}/s)  rejected {totals.dead_letter + totals.refused:,}  duplicate {totals.duplicate:,}  in flight "
        f"{totals.in_flight:,}  lag {'?' if lag is None else f'{lag:.1f} s'}  alarms {status.get('active_alarms', '?')}  "
        f"unaccounted for: {totals.unaccounted if moment.totals is not None else '?'}"
        + (f"  ({moment.sent.trouble})" if moment.sent.trouble else "")
    )


def as_text(summary: Summary) -> str:
    """The summary for a person."""
    totals = summary.totals
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in summary.dead_letters_by_reason.items())
    before = f", {summary.already_stored:,} stored by an earlier run" if summary.already_stored else ""
    lines = [
        f"sent          {summary.sent:>12,}   {summary.acknowledged:,} acknowledged by the broker",
        f"stored        {totals.stored:>12,}",
        f"duplicate     {totals.duplicate:>12,}   {summary.repeated:,} said twice on purpose{before}",
        f"dead letters  {totals.dead_letter:>12,}   {summary.broken_on_purpose:,} broken on purpose: {reasons}",
        f"refused       {totals.refused:>12,}",
        f"in flight     {totals.in_flight:>12,}",
        f"unaccounted   {totals.unaccounted:>12,}",
        f"in the database: lost {summary.lost:,}, doubled {summary.doubled:,}, wrong {summary.wrong:,}",
        *(f"does not add up: {problem}" for problem in summary.problems),
    ]
    return "\n".join(lines) + ("" if summary.problems else "\nit adds up") + "\n"


def _parse(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def wants_screen() -> bool:
    """Whether stderr is a terminal that can be redrawn."""
    return sys.stderr.isatty()


def now_s() -> float:
    """The steady clock of the display."""
    return time.monotonic()
