"""The table of results for a terminal, and the same as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from deploy.chaos.memory import MIB, MOST_GROWTH_MIB
from deploy.chaos.report_words import ended, grown_most, memory_lines, mib, told
from deploy.chaos.trial import Result

_HEAD = ("fault", "readings", "lost", "doubled", "unaccounted", "recovery s", "latency s", "memory MiB", "took s")
_WIDTHS = (10, 7, 9, 13, 12, 11, 12, 8)


def as_table(results: Sequence[Result]) -> str:
    """One line for each trial; below it what was not as promised, and who ended within which budget."""
    width = max([len(_HEAD[0]), *(len(result.fault) for result in results)])
    lines = [_line(_HEAD[0], width, _HEAD[1:])]
    for result in results:
        grown = grown_most(result)
        cells = (
            *(f"{count:,}" for count in (result.readings, result.lost, result.doubled, result.unaccounted)),
            recovery(result), _seconds(result.latency_back_s),
            "-" if grown is None else f"{(grown.most - grown.before) / MIB:+.0f}", f"{result.took_s:.1f}",
        )  # fmt: skip
        lines.append(_line(result.fault, width, cells))
        lines += [f"  {line}" for line in (*ended(result), *notes(result), *problems(result))]
    took_s = sum(result.took_s for result in results)
    lines += ["", *memory_table(results), "", f"the trials took {took_s / 60:.1f} minutes"]
    return "\n".join(lines) + "\n"


def _line(name: str, width: int, cells: Sequence[str]) -> str:
    return f"{name:<{width}}" + "".join(f"{cell:>{room}}" for cell, room in zip(cells, _WIDTHS, strict=True))


def memory_table(results: Sequence[Result]) -> list[str]:
    """Each part's memory in the trial in which it grew most, and the most that it had in any."""
    head = "".join(f"{name:>8}" for name in ("before", "most", "after", "ever"))
    lines = [f"{'memory MiB':<12}{head}  grew most in (a part of ours may by {MOST_GROWTH_MIB})"]
    for line in memory_lines(results):
        item = line.growth
        figures = "".join(f"{mib(count):>8}" for count in (item.before, item.most, item.after, line.peak))
        lines.append(f"{line.part:<12}{figures}  {(item.most - item.before) / MIB:+.0f} in {line.fault}")
    return lines


def recovery(result: Result) -> str:
    """Seconds, or a dash where it did not come back."""
    return _seconds(result.recovery_s)


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def notes(result: Result) -> list[str]:
    """What must be known of figures that are as promised: the fault was not thrown, or what is lost is of its own making."""
    if result.not_here is not None:
        return [f"not thrown: {result.not_here}"]
    if not result.destroyed:
        return []
    what = ", ".join(f"{item.readings:,} readings ({item.what})" for item in result.destroyed)
    return [
        f"the fault itself destroyed the only copy of {what}; {result.gone:,} of them are nowhere else: exactly these may be missing"
    ]


def problems(result: Result) -> list[str]:
    """Everything that is not as promised, in sentences."""
    found = list(result.problems)
    if result.wrong:
        found.append(f"{result.wrong:,} readings or window counts are wrong")
    if result.score is not None and not result.destroyed:
        found += [
            f"{kind}: {', '.join(examples)}" for kind, examples in result.score.examples.items() if kind != "extra"
        ]
    return found


def summary(results: Sequence[Result]) -> str:
    """The whole in one sentence."""
    failed = [result.fault for result in results if not result.passed]
    total = sum(result.readings for result in results)
    gone = sum(item.readings for result in results for item in result.destroyed)
    if not failed:
        but = (
            f", but for {gone:,} of which faults destroyed the only copy, each of them named by the ledger"
            if gone
            else ""
        )
        return f"{len(results)} faults, {total:,} readings: 0 lost, 0 doubled, 0 unaccounted{but}"
    return f"{len(failed)} of {len(results)} faults were not survived as promised: {', '.join(failed)}"


def as_json(results: Sequence[Result], seed: int) -> dict[str, Any]:
    """For a machine: every trial with its samples, times in seconds from the trial's first sample, memory in bytes."""
    return {
        "seed": seed,
        "passed": all(result.passed for result in results),
        "took_s": sum(result.took_s for result in results),
        "trials": [_trial(result) for result in results],
    }


def _trial(result: Result) -> dict[str, Any]:
    start_s = result.samples[0].at_s if result.samples else result.began_s
    return {
        "fault": result.fault, "passed": result.passed, "readings": result.readings, "lost": result.lost,
        "doubled": result.doubled, "wrong": result.wrong, "unaccounted": result.unaccounted,
        "destroyed": {item.what: item.readings for item in result.destroyed}, "gone": result.gone,
        "recovery_s": result.recovery_s, "latency_back_s": result.latency_back_s, "problems": problems(result),
        "told": told(result), "ledger": asdict(result.totals), "took_s": result.took_s, "phases_s": result.phases_s,
        "memory": {item.part: {"before": item.before, "most": item.most, "after": item.after} for item in result.growths},
        "stops": [asdict(stop) for stop in result.stops],
        "began_s": result.began_s - start_s, "ended_s": result.ended_s - start_s,
        "samples": [asdict(sample) | {"at_s": sample.at_s - start_s} for sample in result.samples],
    }  # fmt: skip
