"""The demo: its arithmetic, the real day, and the whole of it against the real stack."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy import demo as demo_command
from deploy import demo_weather
from deploy.cli import main
from deploy.demo_figures import Sent, SentReader, Totals, summarise
from deploy.demo_session import DAY, start_of_day
from deploy.demo_view import Moment, Rates, View, as_text
from deploy.local.places import REPOSITORY
from deploy.local.ports import Ports
from deploy.local.stack import LocalStack
from deploy.local.trouble import Trouble
from simulators.score import Score

SENT = Sent(readings=1000, acked_readings=1000)
TOTALS = Totals(received=1000, stored=980, duplicate=12, dead_letter=8)
SCORE = Score(sent=1000, acked=1000, distinct=980, repeated=12, broken_on_purpose=8)


def test_numbers_that_explain_each_other_add_up() -> None:
    summary = summarise(SENT, TOTALS, SCORE)
    assert summary.problems == ()
    assert summary.as_json()["adds_up"] is True
    assert "it adds up" in as_text(summary)


@pytest.mark.parametrize(
    ("sent", "totals", "score", "said"),
    [
        (SENT, replace(TOTALS, stored=979, unaccounted=1), SCORE, "1 readings are unaccounted for"),
        (SENT, replace(TOTALS, stored=970, in_flight=10), SCORE, "10 readings are still in flight"),
        (SENT, replace(TOTALS, stored=979), SCORE, "1,000 readings were received and 999 ended somewhere"),
        (SENT, replace(TOTALS, received=999, stored=979), SCORE, "acknowledged 1,000 readings and 999 were received"),
        (
            SENT,
            replace(TOTALS, received=1001, stored=981),
            SCORE,
            "acknowledged 1,000 readings and 1,001 were received",
        ),
        (
            SENT,
            replace(TOTALS, dead_letter=9, stored=979),
            SCORE,
            "8 readings were broken on purpose and 9 became dead letters",
        ),
        (SENT, replace(TOTALS, duplicate=11, stored=981), SCORE, "12 readings were said twice"),
        (
            replace(SENT, acked_readings=990),
            replace(TOTALS, received=990, stored=970),
            SCORE,
            "its ledger file holds 1,000",
        ),
        (replace(SENT, refused={"135": 3}), TOTALS, SCORE, "the broker refused readings: 3 with code 135"),
        (SENT, TOTALS, replace(SCORE, lost=2), "2 readings are lost"),
        (SENT, TOTALS, replace(SCORE, doubled=1), "1 readings are doubled"),
        (SENT, TOTALS, replace(SCORE, wrong=1), "1 readings are wrong"),
        (SENT, None, SCORE, "the control center did not answer"),
    ],
)
def test_whatever_does_not_add_up_is_said(sent: Sent, totals: Totals | None, score: Score, said: str) -> None:
    summary = summarise(sent, totals, score)
    assert said in "; ".join(summary.problems)
    assert summary.as_json()["adds_up"] is False
    assert f"does not add up: {summary.problems[0]}" in as_text(summary)


def test_what_another_program_sent_meanwhile_is_one_problem_that_says_so() -> None:
    both = summarise(SENT, replace(TOTALS, received=1500, stored=1440, duplicate=30, dead_letter=30), SCORE)
    assert len(both.problems) == 1
    assert "1,500 were received (others sent to this stack meanwhile" in both.problems[0]


def test_a_second_demo_goes_on_where_the_first_one_came_to() -> None:
    now = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    assert start_of_day(now, None) == now - DAY
    assert start_of_day(now, "2026-03-02T10:30:00.25Z") == datetime(2026, 3, 2, 10, 30, tzinfo=UTC)
    assert start_of_day(now, "2026-02-27T10:30:00Z") == now - DAY
    assert start_of_day(now, "2026-03-02T12:04:00Z") == now


def test_readings_of_an_earlier_run_are_explained_as_such() -> None:
    again = summarise(SENT, replace(TOTALS, stored=80, duplicate=912), SCORE)
    assert again.problems == ()
    assert again.already_stored == 900


def test_a_message_sent_again_after_a_lost_connection_may_arrive_twice() -> None:
    assert (
        summarise(replace(SENT, resent_readings=5), replace(TOTALS, received=1005, duplicate=17), SCORE).problems == ()
    )
    assert (
        summarise(replace(SENT, resent_readings=5), replace(TOTALS, received=1006, duplicate=18), SCORE).problems != ()
    )


def test_the_simulators_lines_are_read_and_the_last_one_ends_them() -> None:
    lines = [
        "not JSON\n",
        json.dumps({"kind": "progress", "readings": 5, "acked_readings": 3, "unknown": 1}) + "\n",
        json.dumps({"kind": "end", "readings": 9, "acked_readings": 9, "refused": {}, "event_time": None}) + "\n",
    ]
    reader = SentReader(iter(lines))
    reader.wait(5)
    assert (reader.sent.readings, reader.sent.acked_readings, reader.sent.ended) == (9, 9, True)


@pytest.mark.parametrize("complaint", ["apt-get update failed; check the network", ""])
def test_ctrl_c_before_the_stack_is_up_blames_nothing_else(
    complaint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        if complaint:
            raise Trouble(complaint)

    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setenv("CITYNERVE_DATA", str(tmp_path))
    monkeypatch.setattr(demo_command, "bring_up", interrupted)
    try:
        done = CliRunner().invoke(main, ["demo", "--stack", "nowhere", "--json"])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "the demo was stopped before the city had begun" in done.stderr
    assert "network" not in done.stderr


def test_a_terminal_that_is_closed_ends_the_demo_in_order() -> None:
    program = (
        "import sys; from deploy.demo import _stop_on_signals; stop = _stop_on_signals(); print('ready', flush=True); "
        "asked = any(stop.wait(0.2) for _ in range(100)); print('stopping', flush=True); sys.exit(0 if asked else 1)"
    )
    ours, its = pty.openpty()
    running = subprocess.Popen([sys.executable, "-c", program], cwd=REPOSITORY, stdout=its, stderr=its)
    os.close(its)
    assert b"ready" in os.read(ours, 100)
    os.close(ours)
    running.send_signal(signal.SIGHUP)
    assert running.wait(30) == 0


def test_rates_are_those_of_the_last_seconds() -> None:
    rates = Rates()
    rates.add(0.0, {"sent": 0})
    for second in range(1, 20):
        rates.add(float(second), {"sent": 100 * second})
    assert rates.add(20.0, {"sent": 2000})["sent"] == pytest.approx(100.0)


def test_stale_devices_are_told_when_the_city_is_live_and_not_while_its_day_is_replayed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    now = datetime.now(UTC)
    status = {"lag_s": 0.5, "active_alarms": 2, "stale_devices": 608}
    for event_time in (now - timedelta(hours=3), now):
        with View("http://127.0.0.1:1/", now - timedelta(days=1), "the city", live=True) as view:
            view.show(Moment(1.0, Sent(event_time=event_time.isoformat()), Totals(), status))
        assert ("stale devices: 608" in capsys.readouterr().err) == (event_time == now)


def test_without_a_terminal_the_view_prints_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    with View("http://127.0.0.1:1/", datetime(2026, 1, 1, tzinfo=UTC), "the city", live=False) as view:
        sent = Sent(event_time="2026-01-01T00:00:00Z", acked_readings=7)
        view.show(Moment(100.0, sent, Totals(stored=6), {"lag_s": 0.5, "active_alarms": 2}))
        view.show(Moment(106.0, Sent(trouble="no broker"), None, None))
    out = capsys.readouterr()
    assert out.out == ""
    assert "http://127.0.0.1:1/" in out.err
    assert "sent 7" in out.err
    assert "lag 0.5 s  alarms 2  unaccounted for: 0" in out.err
    assert "unaccounted for: ?  (no broker)" in out.err


@pytest.mark.parametrize("now", ["2026-11-24T07:00:00+00:00", "2027-03-01T00:00:00+00:00", "2030-12-31T23:59:59+00:00"])
def test_the_real_day_ends_now_at_the_same_hour_of_the_same_weekday(now: str) -> None:
    moment = datetime.fromisoformat(now)
    day = demo_weather.real_day(Path("folder"), moment)
    assert day.ends + day.shift == moment
    assert (day.ends.weekday(), day.ends.time()) == (moment.weekday(), moment.time())
    assert datetime(2022, 9, 5, tzinfo=UTC) <= day.ends < datetime(2022, 9, 12, tzinfo=UTC)


def test_stations_become_devices_with_a_name_and_a_place(tmp_path: Path) -> None:
    stations = tmp_path / "stations.csv"
    stations.write_text(
        "Vlinder,lat,lon,stad,benaming,school,sponsor,Network\nvlinder01,50.98,3.81,Melle,Proefhoeve,UGent,UGent,Vlinder\n"
    )
    rows = list(csv.reader(io.StringIO(demo_weather.devices_csv(stations))))
    assert rows == [["vlinder01", "Proefhoeve, Melle", "weather", "Melle", "50.98", "3.81", "300"]]


def test_a_package_that_cannot_be_had_is_trouble(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CITYNERVE_CACHE", str(tmp_path))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:1/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(Trouble, match="metobs-toolkit"):
        demo_weather.provide()


def free_ports() -> Ports:
    names = list(Ports.model_fields)
    probes = [socket.socket() for _ in names]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return Ports(**{name: probe.getsockname()[1] for name, probe in zip(names, probes, strict=True)})
    finally:
        for probe in probes:
            probe.close()


@pytest.fixture
def own_stack(stack: LocalStack) -> Iterator[tuple[LocalStack, dict[str, str]]]:
    """A stack of this test's own and the environment that names its ports; gone afterwards."""
    assert stack.programs  # fetched already
    own = LocalStack(f"demo-{uuid.uuid4().hex[:6]}", free_ports())
    ports = {f"CITYNERVE_LOCAL__{name.upper()}": str(port) for name, port in own.ports.model_dump().items()}
    yield own, {**os.environ, **ports}
    own.down()
    own.wipe()
    shutil.rmtree(own.place.folder)


def start_demo(own: tuple[LocalStack, dict[str, str]], *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "deploy.cli", "demo", "--stack", own[0].name, *arguments]
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=own[1], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.slow
def test_the_demo_ends_by_itself_and_adds_up(own_stack: tuple[LocalStack, dict[str, str]]) -> None:
    running = start_demo(own_stack, "--for", "25s", "--json", "--fresh")
    out, err = running.communicate(timeout=240)
    assert running.returncode == 0, err
    found = json.loads(out)
    assert found["adds_up"] is True
    assert (
        found["acknowledged"]
        == found["received"]
        == found["stored"] + found["duplicate"] + found["dead_letter"]
        > 50_000
    )
    assert (found["unaccounted"], found["in_flight"], found["lost"], found["doubled"], found["wrong"]) == (
        0,
        0,
        0,
        0,
        0,
    )
    assert found["dead_letter"] == found["broken_on_purpose"] == sum(found["dead_letters_by_reason"].values()) > 0
    assert found["duplicate"] == found["repeated"] > 0
    assert "unaccounted for: 0" in err
    assert own_stack[0].records == {}


@pytest.mark.slow
def test_ctrl_c_ends_the_demo_with_its_summary_and_leaves_no_process(
    own_stack: tuple[LocalStack, dict[str, str]],
) -> None:
    running = start_demo(own_stack)
    assert running.stderr is not None
    line = ""
    deadline_s = time.monotonic() + 180
    while "  stored " not in line:
        assert time.monotonic() < deadline_s
        line = running.stderr.readline()
    time.sleep(3)
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=120)
    assert running.returncode == 0, err
    assert "it adds up" in out
    assert own_stack[0].records == {}
