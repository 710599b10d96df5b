"""The table of results for a terminal, and the same as JSON."""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from deploy.chaos.trial import Result

_HEAD = ("fault", "readings", "lost", "doubled", "unaccounted", "recovery s")


def as_table(results: Sequence[Result]) -> str:
    """One line for each trial; below it what was not as promised."""
    width = max([len(_HEAD[0]), *(len(result.fault) for result in results)])
    lines = [f"{_HEAD[0]:<{width}}{_HEAD[1]:>10}{_HEAD[2]:>7}{_HEAD[3]:>9}{_HEAD[4]:>13}{_HEAD[5]:>12}"]
    for result in results:
        lines.append(
            f"{result.fault:<{width}}{result.readings:>10,}{result.lost:>7,}{result.doubled:>9,}"
            f"{result.unaccounted:>13,}{recovery(result):>12}"
        )
        lines += [f"  {line}" for line in (*notes(result), *problems(result))]
    return "\n".join(lines) + "\n"


def recovery(result: Result) -> str:
    """Seconds, or a dash where it did not come back."""
    return "-" if result.recovery_s is None else f"{result.recovery_s:.1f}"


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
    """For a machine: every trial with its samples, times in seconds from the trial's first sample."""
    return {
        "seed": seed,
        "passed": all(result.passed for result in results),
        "trials": [_trial(result) for result in results],
    }


def _trial(result: Result) -> dict[str, Any]:
    start_s = result.samples[0].at_s if result.samples else result.began_s
    return {
        "fault": result.fault, "passed": result.passed, "readings": result.readings, "lost": result.lost,
        "doubled": result.doubled, "wrong": result.wrong, "unaccounted": result.unaccounted,
        "destroyed": {item.what: item.readings for item in result.destroyed}, "gone": result.gone,
        "recovery_s": result.recovery_s, "problems": problems(result), "ledger": asdict(result.totals),
        "began_s": result.began_s - start_s, "ended_s": result.ended_s - start_s,
        "samples": [asdict(sample) | {"at_s": sample.at_s - start_s} for sample in result.samples],
    }  # fmt: skip
