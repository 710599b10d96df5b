"""The demo's numbers: what the simulators say they sent, what the control center says became of it, and whether the two add up."""

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from typing import Any

import httpx

from simulators.score import Score

_ANSWER_BUDGET_S = 3.0


@dataclass(frozen=True, slots=True)
class Totals:
    """Readings by what became of them, as the ledger has it."""

    received: int = 0
    stored: int = 0
    duplicate: int = 0
    dead_letter: int = 0
    refused: int = 0
    in_flight: int = 0
    unaccounted: int = 0
    redelivered: int = 0

    def since(self, earlier: "Totals") -> "Totals":
        """What was added since `earlier`; `in_flight` and `unaccounted` are states and stay as they are."""
        changed = {f.name: getattr(self, f.name) - getattr(earlier, f.name) for f in fields(self)}
        return Totals(**{**changed, "in_flight": self.in_flight, "unaccounted": self.unaccounted})


@dataclass
class Sent:
    """The simulator's last words: counters of readings, and the event time it has reached."""

    event_time: str | None = None
    readings: int = 0
    messages: int = 0
    acked_readings: int = 0
    unanswered_readings: int = 0
    resent_readings: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    trouble: str = ""
    ended: bool = False


class SentReader:
    """Reads the simulator's JSON lines in a thread of its own; `sent` is always the newest."""

    def __init__(self, lines: Iterable[str]) -> None:
        self.sent = Sent()
        self._lines = lines
        self._thread = threading.Thread(target=self._read, name="simulator's report", daemon=True)
        self._thread.start()

    def _read(self) -> None:
        known = {f.name for f in fields(Sent)}
        for line in self._lines:
            try:
                said = json.loads(line)
            except ValueError:
                continue
            self.sent = Sent(**{k: v for k, v in said.items() if k in known}, ended=said.get("kind") == "end")

    def wait(self, budget_s: float) -> None:
        """Wait for the simulator's last line."""
        self._thread.join(budget_s)


class ControlCenter:
    """Asks the control center's API; a question that gets no answer in time gives None, so that the display goes on."""

    def __init__(self, port: int) -> None:
        self._client = httpx.Client(
            base_url=f"http://127.0.0.1:{port}/api/v1", timeout=_ANSWER_BUDGET_S, trust_env=False
        )

    def totals(self) -> Totals | None:
        """The ledger's totals."""
        answer = self._ask("/ledger")
        return (
            None if answer is None else Totals(**{f.name: int(answer["totals"].get(f.name, 0)) for f in fields(Totals)})
        )

    def status(self) -> dict[str, Any] | None:
        """Lag, rates, alarms."""
        return self._ask("/status")

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, path: str) -> dict[str, Any] | None:
        try:
            answer = self._client.get(path)
            answer.raise_for_status()
            found: dict[str, Any] = answer.json()
        except (httpx.HTTPError, ValueError):
            return None
        return found


@dataclass(frozen=True, slots=True)
class Summary:
    """The end of a demo. `problems` says in sentences what does not add up; none means that everything does."""

    sent: int
    acknowledged: int
    totals: Totals
    already_stored: int
    repeated: int
    broken_on_purpose: int
    dead_letters_by_reason: dict[str, int]
    lost: int
    doubled: int
    wrong: int
    problems: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """One flat object for scripts."""
        counted = {f.name: getattr(self.totals, f.name) for f in fields(Totals)}
        own = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("totals", "problems")}
        return {**own, **counted, "adds_up": not self.problems, "problems": list(self.problems)}


def summarise(sent: Sent, totals: Totals | None, score: Score) -> Summary:
    """Hold the simulator's count, the pipeline's ledger and the database against each other.

    What the broker acknowledged (and nothing else, unless a message had to be sent twice) was received; every received reading is
    stored, a duplicate, a dead letter or refused; the dead letters are exactly those broken on purpose; the duplicates are exactly
    the readings said twice and those that an earlier run had already stored.
    """
    known = totals or Totals()
    already = max(0, score.distinct - known.stored)
    return Summary(
        sent=sent.readings, acknowledged=sent.acked_readings, totals=known, already_stored=already, repeated=score.repeated,
        broken_on_purpose=score.broken_on_purpose, dead_letters_by_reason=score.dead_letters_by_reason, lost=score.lost,
        doubled=score.doubled, wrong=score.wrong, problems=tuple(_problems(sent, totals, score, already)),
    )  # fmt: skip


def _problems(sent: Sent, totals: Totals | None, score: Score, already: int) -> list[str]:
    if totals is None:
        return ["the control center did not answer, so the ledger is not known"]
    found = []
    ends = totals.stored + totals.duplicate + totals.dead_letter + totals.refused
    may_be_twice = sent.resent_readings + sent.unanswered_readings
    if totals.unaccounted:
        found.append(f"{totals.unaccounted:,} readings are unaccounted for")
    if totals.in_flight:
        found.append(f"{totals.in_flight:,} readings are still in flight")
    if totals.received != ends + totals.in_flight + totals.unaccounted:
        found.append(f"{totals.received:,} readings were received and {ends:,} ended somewhere")
    surplus = totals.received - sent.acked_readings
    if not 0 <= surplus <= may_be_twice:
        others = (
            " (others sent to this stack meanwhile, or readings came twice; lost, doubled and wrong are the demo's own)"
        )
        found.append(
            f"the broker acknowledged {sent.acked_readings:,} readings and {totals.received:,} were received"
            + (others if surplus > 0 else "")
        )
    may_be_more = max(may_be_twice, surplus)
    if score.acked != sent.acked_readings:
        found.append(
            f"the simulator counted {sent.acked_readings:,} acknowledged readings, its ledger file holds {score.acked:,}"
        )
    if not 0 <= totals.dead_letter - score.broken_on_purpose <= may_be_more:
        found.append(
            f"{score.broken_on_purpose:,} readings were broken on purpose and {totals.dead_letter:,} became dead letters"
        )
    if not 0 <= totals.duplicate - score.repeated - already <= may_be_more:
        found.append(
            f"{score.repeated:,} readings were said twice, {already:,} stored before, and {totals.duplicate:,} are duplicates"
        )
    if sent.refused:
        found.append(
            "the broker refused readings: " + ", ".join(f"{n:,} with code {code}" for code, n in sent.refused.items())
        )
    found += [f"{count:,} readings are {what}" for what, count in _faults(score).items() if count]
    return found


def _faults(score: Score) -> dict[str, int]:
    return {"lost": score.lost, "doubled": score.doubled, "wrong": score.wrong}
