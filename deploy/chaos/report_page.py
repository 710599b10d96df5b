"""The report as one HTML page that needs nothing but itself, for whoever asks "what if"."""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from pathlib import Path

from deploy.chaos.faults import FAULTS
from deploy.chaos.memory import MIB, MOST_GROWTH_MIB
from deploy.chaos.report_text import notes, problems, recovery, summary
from deploy.chaos.report_words import ended, grown_most, memory_lines, mib, theme, told
from deploy.chaos.timeline import picture
from deploy.chaos.trial import Result

_STYLE = Path(__file__).with_name("report.css")
_COLUMNS = ("readings", "lost", "doubled", "un&shy;accounted", "back after")
Numbered = tuple[int, Result]


def page(results: Sequence[Result], seed: int, took_s: float) -> str:
    """The whole page: the verdict, its figures, a line for each fault, and a picture of each."""
    fine = all(result.passed for result in results)
    trials = "\n".join(_trial(number, result) for number, result in enumerate(results, 1))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>CityNerve: what if</title><style>{_STYLE.read_text(encoding="utf-8")}</style></head><body>
<h1>CityNerve: what if</h1>
<p class="verdict{"" if fine else " failed"}">{escape(_verdict(results))}</p>
{_figures(results)}
<p>Each fault was thrown at the real servers while a simulated city was sending. Every reading that the broker had acknowledged to a
device was then looked for in the database: it must be there once, or be set aside with a reason. <b>Back after</b> is the time from the
fault's end until readings were stored as fast as they came.
<span class="dim">{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, seed {seed}, {took_s / 60:.0f} minutes.</span></p>
{_contents(results)}
{_tables(results)}
{_memory(results)}
<h2>Pictures</h2>
<p>The coloured band is the fault, the dotted line the moment from which all was as before. Readings:
<span class="in">solid, acknowledged to devices each second</span>; <span class="stored">dashed, stored each second</span>.
Lag: age of the oldest reading the processor has not stored. Latency: from the gateway's receipt to the row. Spool: what the gateway keeps
on its disk while Kafka is away. Memory: <span class="in">gateway (ingest)</span>, <span class="stored">processor</span>,
<span class="control">control center</span>.</p>
{trials}
</body></html>
"""


def _verdict(results: Sequence[Result]) -> str:
    failed = sum(not result.passed for result in results)
    if failed:
        return summary(results) + "."
    thrown = [result for result in results if result.not_here is None]
    slowest = max((result for result in thrown if result.recovery_s is not None), key=_recovery_s, default=None)
    said = f"{summary(results)}."
    if slowest is not None:
        said += f" After every fault the system came back by itself; the longest took {_recovery_s(slowest):.0f} s ({slowest.fault})."
    return said


def _recovery_s(result: Result) -> float:
    return result.recovery_s or 0.0


def _figures(results: Sequence[Result]) -> str:
    most_s = max(map(_recovery_s, results), default=0.0)
    figures = (
        (f"{len(results)}", "faults"), (f"{sum(result.readings for result in results):,}", "readings"),
        (f"{sum(result.lost for result in results):,}", "lost"), (f"{sum(result.doubled for result in results):,}", "doubled"),
        (f"{sum(result.unaccounted for result in results):,}", "unaccounted"), (f"{most_s:.1f} s", "longest way back"),
    )  # fmt: skip
    return '<ul class="figures">' + "".join(f"<li><b>{value}</b>{name}</li>" for value, name in figures) + "</ul>"


def _by_theme(results: Sequence[Result]) -> dict[str, list[Numbered]]:
    found: dict[str, list[Numbered]] = {}
    for number, result in enumerate(results, 1):
        found.setdefault(theme(result.fault), []).append((number, result))
    return found


def _contents(results: Sequence[Result]) -> str:
    lines = []
    for place, (name, found) in enumerate(_by_theme(results).items(), 1):
        well = sum(result.passed for _, result in found)
        mark = "" if well == len(found) else ' class="failed"'
        lines.append(f'<li{mark}><a href="#g{place}">{escape(name)}</a>: {well} of {len(found)} as promised</li>')
    return f"<ul>{''.join(lines)}</ul>"


def _tables(results: Sequence[Result]) -> str:
    head = "".join(f"<th>{name}</th>" for name in _COLUMNS)
    return "\n".join(
        f'<h2 id="g{place}">{escape(name)}</h2>\n<div class="wide"><table><thead><tr><th>what if</th>'
        f'<th class="text">what happened</th>{head}</tr></thead>\n<tbody>\n'
        + "".join(_row(number, result) for number, result in found)
        + "</tbody></table></div>"
        for place, (name, found) in enumerate(_by_theme(results).items(), 1)
    )


def _title(result: Result) -> str:
    said = FAULTS[result.fault].description
    return escape(said[:1].upper() + said[1:])


def _row(number: int, result: Result) -> str:
    mark = "" if result.passed else ' class="failed"'
    cells = (result.readings, result.lost, result.doubled, result.unaccounted)
    happened = "; ".join(problems(result)) or (
        told(result) if result.not_here is None else f"not thrown: {result.not_here}"
    )
    return (
        f'<tr{mark}><td><a href="#t{number}">{_title(result)}</a></td>'
        f'<td class="text">{escape(happened)}</td>'
        + "".join(f"<td>{cell:,}</td>" for cell in cells)
        + f"<td>{recovery(result)} s</td></tr>\n"
    )


def _memory(results: Sequence[Result]) -> str:
    rows = "".join(
        f'<tr><td>{escape(line.part)}</td><td class="text">{escape(FAULTS[line.fault].description)}</td>'
        + "".join(f"<td>{mib(count)}</td>" for count in (line.growth.before, line.growth.most, line.growth.after))
        + f"<td>{(line.growth.most - line.growth.before) / MIB:+.0f}</td><td>{mib(line.peak)}</td></tr>\n"
        for line in memory_lines(results)
    )
    return f"""<h2>Memory</h2>
<p>Of each part in the trial in which it grew most, in MiB. A part of ours may grow by {MOST_GROWTH_MIB} MiB.</p>
<div class="wide"><table><thead><tr><th>part</th><th class="text">grew most when</th><th>before</th><th>most</th><th>after</th>
<th>growth</th><th>ever</th></tr></thead><tbody>
{rows}</tbody></table></div>"""


def _trial(number: int, result: Result) -> str:
    grown = grown_most(result)
    said = [told(result), *notes(result), *(f"{line}." for line in ended(result))]
    if grown is not None:
        said.append(
            f"Memory grew most in {grown.part}: {mib(grown.before)} MiB before, {mib(grown.most)} at most, {mib(grown.after)} after."
        )
    text = "".join(f"<p>{escape(line[:1].upper() + line[1:])}</p>" for line in said)
    text += "".join(f'<p class="failed">{escape(problem)}</p>' for problem in problems(result))
    return (
        f'<section class="trial" id="t{number}"><h3>{number}. {_title(result)} '
        f"<code>{escape(result.fault)}</code></h3>\n{text}{picture(result)}</section>"
    )
