"""One demo from its preparation to its summary: devices, the real day, the simulator as a process, the display, the ledger's word."""

import asyncio
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from deploy import demo_weather
from deploy.demo_figures import ControlCenter, SentReader, Summary, Totals, summarise
from deploy.demo_view import Moment, View, now_s, wants_screen
from deploy.local.cache_entry import make_folder
from deploy.local.processes import clean_environment
from deploy.local.progress import say
from deploy.local.services import citynerve_command
from deploy.local.stack import LocalStack
from deploy.local.trouble import Trouble
from ingest.contract.operating import EXIT_TROUBLE, UserError
from simulators.ledger import read
from simulators.score_report import score_when_settled
from simulators.settings import ScoreDatabase

DEVICES, SEED, SPEED = 580, 1, 480
DAY = timedelta(hours=23, minutes=58)
"""Two minutes less than a day: the gateway takes no reading older than a day, and the first ones are a little on their way."""
_SHOW_EVERY_S = 0.5
_DRAIN_BUDGET_S = 60.0
_STOP_BUDGET_S = 45.0
_IMPORT_BUDGET_S = 60


@dataclass(frozen=True, slots=True)
class _Show:
    """What a demo plays: files for the simulator, and what to say of the real day."""

    ledger: Path
    log: Path
    beside: Path | None
    real_day: str


def play(stack: LocalStack, for_s: float | None, stop: threading.Event) -> Summary:
    """Play the day and go on live, until `for_s` is over or `stop` is set; the simulator is gone afterwards, the stack is not touched.

    Raises:
        UserError: the simulator ended by itself, or the control center does not answer.
        Trouble: a command of ours that prepares the demo failed.
    """
    show = _prepare(stack, datetime.now(UTC))
    control = ControlCenter(stack.ports.control_port)
    before = _ledger_answers(control)
    start = start_of_day(datetime.now(UTC), (control.status() or {}).get("watermark") if before.stored else None)
    if before.stored:
        say(
            f"an earlier run has stored a part of this day: going on from {start:%Y-%m-%d %H:%M} UTC (--fresh starts from empty data)"
        )
    simulator = _start_simulator(stack, show, start)
    try:
        assert simulator.stdout is not None  # noqa: S101 - narrows for mypy: it was opened as a pipe
        report = SentReader(simulator.stdout)
        page = f"http://127.0.0.1:{stack.ports.control_port}/"
        with View(page, start, show.real_day, live=wants_screen()) as view:
            deadline_s = None if for_s is None else time.monotonic() + for_s
            shown = _Watch(control, report, simulator, before)
            while not stop.is_set() and (deadline_s is None or time.monotonic() < deadline_s):
                view.show(shown.moment())
                stop.wait(_SHOW_EVERY_S)
            view.note("stopping the simulator, waiting for what is on its way")
            _stop_simulator(simulator, report)
            totals = _drained(control, report, before)
        return _summary(stack, show, report, totals)
    finally:
        _stop_simulator(simulator, None)
        control.close()


def start_of_day(now: datetime, watermark: str | None) -> datetime:
    """A day before `now`, or where an earlier run came to: what lies before would be nothing but duplicates behind the watermark."""
    day = now.replace(microsecond=0) - DAY
    if watermark is None:
        return day
    return min(max(day, datetime.fromisoformat(watermark).replace(microsecond=0)), now.replace(microsecond=0))


def _prepare(stack: LocalStack, now: datetime) -> _Show:
    """Files of this demo in the stack's folder; the devices are registered."""

    folder = stack.place.folder / "demo"
    make_folder(folder)
    for old in folder.glob("*.ledger"):
        old.unlink()
    devices = folder / "devices.csv"
    _citynerve(
        stack, "simulate", "city", "--devices", str(DEVICES), "--seed", str(SEED), "--write-devices", str(devices)
    )
    beside, real_day = None, "the simulated city alone"
    try:
        day = demo_weather.real_day(demo_weather.provide(), now)
        beside = folder / "ghent.json"
        _citynerve(stack, *demo_weather.replay_arguments(day, beside))
        with devices.open("a", encoding="utf-8") as file:
            file.write(demo_weather.devices_csv(day.stations))
        real_day = f"28 Ghent weather stations as measured up to {day.ends:%Y-%m-%d %H:%M} UTC, with {DEVICES} simulated devices"
    except Trouble as trouble:
        say(f"the real weather day cannot be had ({trouble}); going on with the simulated city alone")
    _citynerve(stack, "devices", "import", str(devices))
    return _Show(folder / f"{now:%Y%m%dT%H%M%S}.ledger", stack.place.logs / "simulator.log", beside, real_day)


def _citynerve(stack: LocalStack, *arguments: str) -> None:
    """Run a command of ours with the stack's settings; its complaint is ours."""

    done = subprocess.run(
        citynerve_command(*arguments), env=clean_environment({"CITYNERVE_CONFIG": str(stack.settings_file)}), capture_output=True,
        text=True, stdin=subprocess.DEVNULL, timeout=_IMPORT_BUDGET_S, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        msg = f"`citynerve {' '.join(arguments[:2])}` failed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}"
        raise Trouble(msg)


def _start_simulator(stack: LocalStack, show: _Show, start: datetime) -> subprocess.Popen[str]:
    """The simulator as a process of its own, in a session of its own: Ctrl-C is for the demo, which stops it in order."""

    beside = [] if show.beside is None else ["--with", str(show.beside)]
    arguments = [
        "simulate", "city", "--devices", str(DEVICES), "--seed", str(SEED), "--from", start.isoformat(), "--speed", str(SPEED),
        "--ledger", str(show.ledger), "--json", *beside,
    ]  # fmt: skip
    with show.log.open("ab") as log:
        return subprocess.Popen(
            citynerve_command(*arguments), env=clean_environment({"CITYNERVE_CONFIG": str(stack.settings_file), "PYTHONUNBUFFERED": "1"}),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Watch:
    """Where the figures of a moment come from."""

    control: ControlCenter
    report: SentReader
    simulator: subprocess.Popen[str]
    before: Totals

    def moment(self) -> Moment:
        """All that is shown now.

        Raises:
            UserError: the simulator ended by itself.
        """
        if self.simulator.poll() is not None:
            raise UserError(
                f"the simulator ended by itself with exit code {self.simulator.returncode}", exit_code=EXIT_TROUBLE
            )
        totals = self.control.totals()
        return Moment(
            now_s(), self.report.sent, None if totals is None else totals.since(self.before), self.control.status()
        )


def _stop_simulator(simulator: subprocess.Popen[str], report: SentReader | None) -> None:
    """Ask the simulator to end (it then waits for its last acknowledgements), kill it after a while."""
    if simulator.poll() is None:
        simulator.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            simulator.wait(_STOP_BUDGET_S)
    if simulator.poll() is None:
        simulator.kill()
        simulator.wait(10)
    if report is not None:
        report.wait(5)
    if simulator.stdout is not None and report is None:
        simulator.stdout.close()


def _drained(control: ControlCenter, report: SentReader, before: Totals) -> Totals | None:
    """The ledger once everything that was acknowledged has ended somewhere, or as it is after a minute."""
    deadline_s = time.monotonic() + _DRAIN_BUDGET_S
    totals = None
    while time.monotonic() < deadline_s:
        found = control.totals()
        totals = found.since(before) if found is not None else totals
        if totals is not None and totals.in_flight == 0 and totals.received >= report.sent.acked_readings:
            return totals
        time.sleep(_SHOW_EVERY_S)
    return totals


def _ledger_answers(control: ControlCenter, budget_s: float = 30.0) -> Totals:
    """The totals before anything is sent, so that an earlier run's readings are told apart."""
    deadline_s = time.monotonic() + budget_s
    while True:
        found = control.totals()
        if found is not None:
            return found
        if time.monotonic() > deadline_s:
            raise UserError(
                "the control center does not answer; `citynerve status` shows what is wrong", exit_code=EXIT_TROUBLE
            )
        time.sleep(_SHOW_EVERY_S)


def _summary(stack: LocalStack, show: _Show, report: SentReader, totals: Totals | None) -> Summary:

    settings = ScoreDatabase.model_validate({"dsn": stack.postgres_dsn()})
    score = asyncio.run(score_when_settled(read(show.ledger), settings, 20.0))
    return summarise(report.sent, totals, score)
