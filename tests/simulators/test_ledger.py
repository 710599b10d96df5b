"""The ledger file: what was sent is in it before it is sent; a killed writer leaves a readable file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ingest.contract.operating import UserError
from simulators.batch import Batch, Names, Rows, batch_of
from simulators.ledger import ACK, LedgerWriter, digest, read
from simulators.score import sent_of


def a_batch(names: Names, messages: int, device: str = "d1", start_us: int = 0) -> Batch:
    """`messages` messages of two readings each."""
    n = 2 * messages
    rows = Rows(
        device=np.full(n, names.code(device), np.int32),
        metric=np.tile(names.codes(["laeq", "lamax"]), messages),
        time_us=np.repeat(np.arange(messages) + start_us, 2).astype(np.int64),
        value=np.arange(n, dtype=np.float64) / 10,
        expect=np.zeros(n, np.uint8),
    )
    payloads = [f"payload {start_us + i}".encode() for i in range(messages)]
    return batch_of(
        np.arange(messages, dtype=np.int64) + start_us, [f"t/{device}"] * messages, payloads, np.full(messages, 2), rows
    )


def acks_of(
    numbers: np.ndarray[tuple[int, ...], np.dtype[np.uint64]], reason: int = 0
) -> np.ndarray[tuple[int, ...], np.dtype[np.void]]:
    acks = np.zeros(len(numbers), ACK)
    acks["number"], acks["reason"], acks["sends"] = numbers, reason, 1
    return acks


def write(path: Path, device: str, messages: int = 3) -> None:
    names = Names()
    with LedgerWriter(path, names, {"program": "test"}, fsync_every_s=1) as ledger:
        numbers = ledger.about_to_send(a_batch(names, messages, device), 7)
        ledger.answered(acks_of(numbers[:-1]), 0.0)


def test_a_ledger_tells_what_was_sent_and_what_was_answered(tmp_path: Path) -> None:
    write(tmp_path / "l", "d1")
    found = read(tmp_path / "l")
    assert found.runs == [{"program": "test"}]
    assert found.names == ["d1", "laeq", "lamax"]
    assert found.messages["number"].tolist() == [0, 1, 2]
    assert found.messages["rows"].tolist() == [2, 2, 2]
    assert found.messages["digest"].tolist() == [digest("t/d1", f"payload {i}".encode()) for i in range(3)]
    assert found.rows["value"].tolist() == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5]
    assert found.acks["number"].tolist() == [0, 1]
    assert found.torn_bytes == 0


def test_a_second_run_appends_and_its_names_are_its_own(tmp_path: Path) -> None:
    write(tmp_path / "l", "d1")
    write(tmp_path / "l", "d2", messages=1)
    found = read(tmp_path / "l")
    assert len(found.runs) == 2
    assert found.messages["number"].tolist() == [0, 1, 2, 3]
    assert [found.names[code] for code in found.rows["device"]] == ["d1"] * 6 + ["d2"] * 2


def test_what_two_runs_both_name_is_one_thing(tmp_path: Path) -> None:
    write(tmp_path / "l", "d1")
    write(tmp_path / "l", "d2")
    write(tmp_path / "l", "d1")
    found = read(tmp_path / "l")
    assert found.names == ["d1", "laeq", "lamax", "d2"]
    assert [found.names[code] for code in found.rows["device"]] == ["d1"] * 6 + ["d2"] * 6 + ["d1"] * 6
    assert [found.names[code] for code in found.rows["metric"]] == ["laeq", "lamax"] * 9
    assert len(sent_of(found).keys) == 4, "a series of both runs is one series, or its rows would be looked for twice"


@pytest.mark.parametrize("cut", [1, 5, 12, 30])
def test_a_torn_tail_is_cut_off_and_the_next_run_goes_on_behind_it(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "l"
    write(path, "d1")
    os.truncate(path, path.stat().st_size - cut)
    torn = read(path)
    assert torn.torn_bytes > 0
    assert len(torn.rows) == 6
    assert len(torn.acks) == 0
    write(path, "d2", messages=1)
    found = read(path)
    assert found.torn_bytes == 0
    assert len(found.rows) == 8


def test_a_flipped_bit_ends_the_readable_part(tmp_path: Path) -> None:
    path = tmp_path / "l"
    write(path, "d1")
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    assert len(read(path).acks) == 0


def test_a_file_that_is_no_ledger_is_named(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("device,value\n")
    with pytest.raises(UserError, match="is no ledger file"):
        read(tmp_path / "x")
    with pytest.raises(UserError, match="No such file"):
        read(tmp_path / "absent")


def test_a_ledger_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot write the ledger file"):
        LedgerWriter(tmp_path / "no" / "folder", Names(), {}, fsync_every_s=1)


_WRITER = """
import sys
from pathlib import Path
from tests.simulators.test_ledger import a_batch
from simulators.batch import Names
from simulators.ledger import LedgerWriter
names = Names()
ledger = LedgerWriter(Path(sys.argv[1]), names, {}, fsync_every_s=60)
at = 0
while True:
    ledger.about_to_send(a_batch(names, 50, start_us=at), at)
    at += 50
    print(at, flush=True)  # "sent": from here on the broker may have them
"""


def test_a_killed_writer_has_recorded_all_it_said_it_sent(tmp_path: Path) -> None:
    path = tmp_path / "l"
    writer = subprocess.Popen(
        [sys.executable, "-c", _WRITER, str(path)], stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )
    assert writer.stdout is not None
    said = [writer.stdout.readline() for _ in range(40)]
    time.sleep(0.05)
    writer.send_signal(signal.SIGKILL)
    said += writer.stdout.readlines()
    writer.wait(10)
    writer.stdout.close()
    whole = [line for line in said if line.endswith("\n")]
    assert len(read(path).messages) >= int(whole[-1])
