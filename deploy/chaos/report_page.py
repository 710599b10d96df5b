"""The report as one HTML page that needs nothing but itself."""

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape

from deploy.chaos.faults import FAULTS
from deploy.chaos.report_text import notes, problems, recovery, summary
from deploy.chaos.timeline import picture
from deploy.chaos.trial import Result

_STYLE = """
:root { color-scheme: light dark; }
:root { --ink: #1b1f24; --paper: #fff; --line: #d0d7de; --in: #0969da; --stored: #1a7f37; --bad: #cf222e; --fault: #cf222e33; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #0d1117; --line: #30363d; --in: #58a6ff; --stored: #3fb950; }
  :root { --bad: #f85149; --fault: #f8514940; }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); }
body { max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
table { border-collapse: collapse; width: 100%; }
th, td { border-bottom: 1px solid var(--line); padding: .3rem .6rem; text-align: right; }
th:first-child, td:first-child { text-align: left; } .failed { color: var(--bad); font-weight: 600; }
svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: var(--ink); } .scale { text-anchor: end; }
.second { text-anchor: middle; } polyline { fill: none; stroke-width: 1.6; } .in { stroke: var(--in); color: var(--in); }
.stored { stroke: var(--stored); color: var(--stored); stroke-dasharray: 6 2; } .lag, .spool { stroke: var(--ink); }
.floor { stroke: var(--line); } .fault { fill: var(--fault); } .back { stroke: var(--stored); stroke-dasharray: 2 3; }
"""


def page(results: Sequence[Result], seed: int, took_s: float) -> str:
    """The whole page."""
    fine = all(result.passed for result in results)
    now = datetime.now(UTC)
    rows = "\n".join(_row(result) for result in results)
    trials = "\n".join(_trial(number, result) for number, result in enumerate(results, 1))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>CityNerve: what if</title><style>{_STYLE}</style></head><body>
<h1>CityNerve: what if</h1>
<p class="{"passed" if fine else "failed"}">{escape(summary(results))}.</p>
<p>{now:%Y-%m-%d %H:%M} UTC, seed {seed}, {took_s / 60:.0f} minutes. Each fault was thrown at the real servers
under load. Every reading that the broker had acknowledged was then looked for in the database. Recovery is the time from the
fault's end until readings were placed as fast as they came.</p>
<table><thead><tr><th>fault</th><th>readings</th><th>lost</th><th>doubled</th><th>unaccounted</th><th>recovery</th></tr></thead>
<tbody>
{rows}
</tbody></table>
<p>In the pictures: <span class="in">solid: readings a second acknowledged to devices</span>,
<span class="stored">dashed: readings a second that got their place</span>; the fault is the coloured band.</p>
{trials}
</body></html>
"""


def _row(result: Result) -> str:
    mark = "" if result.passed else ' class="failed"'
    cells = (result.readings, result.lost, result.doubled, result.unaccounted)
    return (
        f"<tr{mark}><td>{escape(result.fault)}</td>"
        + "".join(f"<td>{cell:,}</td>" for cell in cells)
        + f"<td>{recovery(result)} s</td></tr>"
    )


def _trial(number: int, result: Result) -> str:
    said = "".join(f"<p>{escape(line)}</p>" for line in notes(result))
    said += "".join(f'<p class="failed">{escape(problem)}</p>' for problem in problems(result))
    return f"<h2>{number}. {escape(FAULTS[result.fault].description)}</h2>\n{said}{picture(result)}"
