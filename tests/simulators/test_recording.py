"""Recordings: what is read from a CSV, what is named as wrong, and what is sent of it."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from ingest.contract.operating import UserError
from simulators.batch import Batch, Expect, Names
from simulators.recording import RecordingSpec, problems_of, read, read_spec
from simulators.replay import Replay

NOW_US = 1_793_577_600_000_000
TEMPERATURE = {"column": "t", "metric": "air_temperature", "unit": "Cel"}
HUMIDITY = {"column": "h", "metric": "relative_humidity"}


def spec(path: Path, **changed: Any) -> RecordingSpec:
    given = {"csv": path, "columns": [TEMPERATURE, HUMIDITY], "time_columns": ["time"], "device": "d1", **changed}
    return RecordingSpec.model_validate(given)


def written(tmp_path: Path, *lines: str, name: str = "r.csv") -> Path:
    path = tmp_path / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def sent(path_spec: RecordingSpec, names: Names | None = None, **window: int) -> Batch:
    replay = Replay(path_spec, read(path_spec, NOW_US), Names() if names is None else names)
    return Batch.merge([batch for _, batch in replay.batches(**window)])


def test_values_times_and_missing_markers_are_read(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "time,t,h",
        "2026-01-01T00:00:00Z,20.5,NA",
        "2026-01-01T01:00:00+01:00,?,50",
        "2026-01-01T00:10:00Z,1,2",
    )
    found = read(spec(path), NOW_US)
    assert found.time_us.tolist() == [1_767_225_600_000_000, 1_767_225_600_000_000, 1_767_226_200_000_000]
    np.testing.assert_array_equal(found.value, [[20.5, np.nan], [np.nan, 50.0], [1.0, 2.0]])
    assert (found.rows, found.bad_rows, found.problems) == (3, 0, [])


def test_date_and_time_columns_are_joined_and_read_in_the_files_zone(tmp_path: Path) -> None:
    path = written(tmp_path, "d;u;t;h", "24/4/2007;00:00:00;1;2", "25/3/2007;02:30:00;1;2")
    found = read(
        spec(path, time_columns=["d", "u"], time_format="%d/%m/%Y %H:%M:%S", time_zone="Europe/Paris", delimiter=";"),
        NOW_US,
    )
    moments = np.asarray(found.time_us, dtype="datetime64[us]").astype(str).tolist()
    assert moments == [
        "2007-04-23T22:00:00.000000",
        "2007-03-25T01:30:00.000000",
    ]  # the second hour did not exist that night


def test_year_month_day_hour_columns_are_joined(tmp_path: Path) -> None:
    path = written(tmp_path, "y,m,d,hh,t,h", "2013,3,1,7,1,2")
    found = read(spec(path, time_columns=["y", "m", "d", "hh"], time_format="%Y %m %d %H"), NOW_US)
    assert np.asarray(found.time_us, dtype="datetime64[us]").astype(str).tolist() == ["2013-03-01T07:00:00.000000"]


def test_bad_rows_are_named_by_line_and_the_others_are_kept(tmp_path: Path) -> None:
    at = "2026-01-01T00:00:00Z"
    path = written(tmp_path, "time,t,h", f"{at},x,1", "yesterday,1,1", f"{at},1,inf", f"{at},1,1")
    found = read(spec(path), NOW_US)
    assert (found.rows, found.bad_rows, len(found.time_us)) == (4, 3, 1)
    assert [problem.split(":")[0] for problem in found.problems] == [f"{path}, line {line}" for line in (2, 3, 4)]
    assert "column 't': 'x' is no number" in found.problems[0]
    assert "time 'yesterday' is not of ISO 8601" in found.problems[1]
    assert "'inf' is not finite" in found.problems[2]


def test_a_file_of_which_nothing_can_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no row of .* can be read; the first: .*line 2"):
        read(spec(written(tmp_path, "time,t,h", "now,1,1")), NOW_US)
    with pytest.raises(UserError, match="it has none"):
        read(spec(written(tmp_path, "time,t,h")), NOW_US)
    with pytest.raises(UserError, match="No such file"):
        read(spec(tmp_path / "absent.csv"), NOW_US)


def test_a_missing_column_is_named_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="has no column 'h'; its columns are 'time', 'temp', 't'"):
        read(spec(written(tmp_path, "time,temp,t", "2026-01-01,1,1")), NOW_US)


def test_an_empty_file_is_called_empty(tmp_path: Path) -> None:
    (tmp_path / "e.csv").touch()
    with pytest.raises(UserError, match="is empty; its first row must name its columns"):
        read(spec(tmp_path / "e.csv"), NOW_US)


def test_an_unknown_metric_is_answered_once_and_with_those_spelt_alike(tmp_path: Path) -> None:
    with pytest.raises(ValidationError) as caught:
        spec(tmp_path / "r.csv", columns=[{"column": "t", "metric": "air_temp"}])
    said = problems_of(caught.value)
    assert said.startswith("columns.0: 'air_temp' is not a known metric; there is air_temperature")
    assert "columns: " not in said


def test_an_empty_device_cell_makes_a_bad_row(tmp_path: Path) -> None:
    path = written(tmp_path, "time,t,h,dev", "2026-01-01T00:00Z,1,1,a", "2026-01-01T00:00Z,1,1,")
    found = read(spec(path, device="", device_column="dev"), NOW_US)
    assert (found.devices, found.bad_rows) == (["a"], 1)


def test_the_shift_to_end_now_keeps_the_distances(tmp_path: Path) -> None:
    path = written(tmp_path, "time,t,h", "2020-01-01T00:00:00Z,1,1", "2020-01-01T00:05:00Z,1,1")
    found = read(spec(path, end_now=True), NOW_US)
    assert found.time_us.tolist() == [NOW_US - 300_000_000, NOW_US]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"device": "", "device_column": ""}, "give either device"),
        ({"device_column": "x"}, "give either device"),
        ({"form": "xml"}, "format 'xml' is unknown; known are senml-json, plain-json, chirpstack-v4"),
        ({"form": "chirpstack-v4", "pack": 2}, "pack must be 1"),
        ({"time_zone": "Mars/Olympus"}, "is not an IANA time zone"),
        ({"shift_s": 1, "end_now": True}, "give either shift_s or end_now"),
        ({"columns": [{"column": "t", "metric": "warmth"}]}, "'warmth' is not a known metric"),
        (
            {"columns": [{"column": "t", "metric": "air_temperature", "unit": "bar"}]},
            "unit 'bar' does not convert to 'Cel'",
        ),
    ],
)
def test_contradictions_are_refused_in_words(tmp_path: Path, changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        spec(tmp_path / "r.csv", **changed)
    assert said in problems_of(caught.value)


def test_a_saved_specification_is_read_back_and_a_wrong_one_named(tmp_path: Path) -> None:
    original = spec(tmp_path / "r.csv", pack=3)
    (tmp_path / "s.json").write_text(original.model_dump_json())
    assert read_spec(tmp_path / "s.json") == original
    (tmp_path / "s.json").write_text('{"csv": "x", "pack": 0}')
    with pytest.raises(UserError, match=r"columns: Field required.*pack"):
        read_spec(tmp_path / "s.json")


def test_missing_values_are_not_said_and_units_are_the_files(tmp_path: Path) -> None:
    path = written(
        tmp_path, "time,p,h", "2026-01-01T00:00:00Z,101739,", "2026-01-01T00:01:00Z,,40", "2026-01-01T00:02:00Z,,"
    )
    names = Names()
    pressure = {"column": "p", "metric": "air_pressure", "unit": "Pa"}
    batch = sent(spec(path, columns=[pressure, HUMIDITY]), names)
    assert [json.loads(payload) for payload in batch.payloads] == [
        [{"bn": "urn:dev:city:d1:", "bt": 1767225600, "n": "air_pressure", "u": "Pa", "v": 101739.0}],
        [{"bn": "urn:dev:city:d1:", "bt": 1767225660, "n": "relative_humidity", "u": "%", "v": 40.0}],
    ]
    assert batch.value.tolist() == [pytest.approx(1017.39), 40.0]
    assert names.since(0) == ["d1", "air_pressure", "relative_humidity"]


def test_a_value_that_no_instrument_can_show_is_expected_as_a_dead_letter(tmp_path: Path) -> None:
    path = written(tmp_path, "time,t,h", "2026-01-01T00:00:00Z,0,50")
    batch = sent(spec(path, columns=[{"column": "t", "metric": "air_temperature", "unit": "K"}, HUMIDITY]))
    assert batch.expect.tolist() == [Expect.DEAD_LETTER, Expect.STORED]


def test_devices_are_interleaved_by_time_and_each_keeps_the_order_of_its_file(tmp_path: Path) -> None:
    order = [("a", "00", 1), ("a", "10", 2), ("a", "05", 3), ("b", "01", 4), ("b", "11", 5)]
    path = written(
        tmp_path, "dev,time,t", *(f"{device},2026-01-01T00:{minute}:00Z,{value}" for device, minute, value in order)
    )
    batch = sent(spec(path, device="", device_column="dev", columns=[TEMPERATURE]))
    assert batch.value.tolist() == [
        1.0,
        4.0,
        2.0,
        3.0,
        5.0,
    ]  # the late third row leaves when its device has come that far
    assert (np.diff(batch.due_us) >= 0).all()


@pytest.mark.parametrize("form", ["senml-json", "plain-json"])
def test_packs_hold_successive_rows_of_one_device_with_one_set_of_columns(tmp_path: Path, form: str) -> None:
    rows = [f"d{i % 2},2026-01-01T00:{i:02}:00Z,{i},{'' if i >= 20 else 40}" for i in range(40)]
    path = written(tmp_path, "dev,time,t,h", *rows)
    batch = sent(spec(path, device="", device_column="dev", pack=8, form=form))
    counts = np.diff(batch.first)
    assert batch.readings == 60
    assert sorted(counts.tolist()) == [4, 4, 4, 4, 6, 6, 16, 16]
    values: dict[str, list[float]] = defaultdict(list)
    for i, topic in enumerate(batch.topics):
        values[topic] += batch.value[int(batch.first[i]) : int(batch.first[i + 1])].tolist()
    assert len(values) == 2
    for payload in batch.payloads:
        json.loads(payload)


def test_rows_can_be_chosen_by_time(tmp_path: Path) -> None:
    path = written(tmp_path, "time,t,h", *(f"2026-01-01T00:{i:02}:00Z,{i},1" for i in range(10)))
    start = 1_767_225_600_000_000
    batch = sent(spec(path), from_us=start + 2 * 60_000_000, until_us=start + 5 * 60_000_000)
    assert batch.value[::2].tolist() == [2.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("form", "device", "said"),
    [
        ("senml-json", "Bull Ring", "cannot name the device 'Bull Ring'.*send it with --format plain-json"),
        ("senml-json", "a:b", "cannot name the device 'a:b'.*send it with --format plain-json"),
        ("senml-json", "đèn", "cannot name the device 'đèn'.*send it with --format plain-json"),
        ("plain-json", "a/b", "device 'a/b' cannot be a level of an MQTT topic"),
        ("plain-json", "all#", "device 'all#' cannot be a level of an MQTT topic"),
        ("plain-json", "x" * 201, "longer than 200 bytes"),
        ("chirpstack-v4", "A84041", "name the device 'A84041' 'a84041'"),
    ],
)
def test_a_device_that_the_format_cannot_name_is_refused_before_anything_is_sent(
    tmp_path: Path, form: str, device: str, said: str
) -> None:
    path = written(tmp_path, "time,t,h,dev", "2026-01-01T00:00Z,1,1,good", f"2026-01-01T00:00Z,1,1,{device}")
    with pytest.raises(UserError, match=f"nothing was sent of .*{said}"):
        sent(spec(path, form=form, device="", device_column="dev"))


def test_plain_json_carries_names_that_senml_cannot(tmp_path: Path) -> None:
    path = written(tmp_path, "time,t,h", "2026-01-01T00:00Z,1,1")
    assert sent(spec(path, form="plain-json", device="Bull Ring")).topics == ["city/json/Bull Ring"]


def test_a_real_file_is_read_whole() -> None:
    data = Path(__file__).parents[3] / "shared/data/ghent_vlinder_weather/vlinder01-08_2022-09-01_06.csv"
    if not data.exists():
        pytest.skip(f"{data} is not there")
    columns = [
        {"column": "Temperatuur", "metric": "air_temperature"},
        {"column": "Globe Temperatuur", "metric": "globe_temperature"},
    ]
    found = spec(
        data, columns=columns,
        time_columns=["Datum", "Tijd (UTC)"], device="", device_column="Vlinder", delimiter=";",
    )  # fmt: skip
    recording = read(found, NOW_US)
    assert (len(recording.devices), recording.bad_rows) == (8, 0)
    assert recording.rows == len(data.read_text().splitlines()) - 1
