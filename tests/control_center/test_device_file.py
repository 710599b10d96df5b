"""The device register's CSV: every mistake named by its line, and what was written is read back the same."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_center.device_file import COLUMNS, format_devices, parse_devices
from control_center.rows import Device

HEADER = ",".join(COLUMNS)
CREATED = datetime(2026, 5, 1, tzinfo=UTC)
text = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=30).map(str.strip)
devices = st.builds(
    Device,
    device=text.filter(bool),
    name=text,
    kind=text,
    district=text,
    latitude=st.just(1.5),
    longitude=st.floats(-180, 180),
    expected_interval_s=st.none() | st.integers(1, 86400),
    created_at=st.just(CREATED),
)


def problems(*lines: str) -> list[str]:
    return parse_devices("\n".join(lines))[1]


def test_a_good_file_is_read_whole() -> None:
    entries, wrong = parse_devices(
        f"\ufeff{HEADER}\r\nair-1,Cầu Rồng,air_quality,Hải Châu,16.06,108.22,60\r\n\r\nair-2,,,,,,\r\n"
    )
    assert wrong == []
    assert entries[0] == {
        "device": "air-1", "name": "Cầu Rồng", "kind": "air_quality", "district": "Hải Châu", "latitude": 16.06, "longitude": 108.22,
        "expected_interval_s": 60,
    }  # fmt: skip
    assert entries[1]["latitude"] is None


def test_columns_may_be_left_out_and_stand_in_any_order() -> None:
    assert parse_devices("name,device\nx,a\n") == ([{"name": "x", "device": "a"}], [])


def test_all_mistakes_are_named_with_their_lines() -> None:
    assert problems(
        HEADER,
        "a,,,,91,0,",
        "b,,,,1,200,0",
        "c,,,,1,,",
        ",,,,,,",
        "a,,,,,,x",
        f"{'é' * 101},,,,,,",
        "d,,",
        "e,,,,1_0,nan,",
        "f,\x07,,,,,",
    ) == [
        "line 2: latitude '91' is not a number between -90 and 90 (decimal point, not comma)",
        "line 3: longitude '200' is not a number between -180 and 180 (decimal point, not comma)",
        "line 3: expected_interval_s '0' is not a whole number of seconds between 1 and 2678400",
        "line 4: latitude and longitude must be given both or neither",
        "line 6: expected_interval_s 'x' is not a whole number of seconds between 1 and 2678400",
        "line 6: device 'a' was already on line 2",
        "line 7: device must have 1 to 200 bytes",
        "line 8: 3 values, but the first line names 7 columns",
        "line 9: latitude '1_0' is not a number between -90 and 90 (decimal point, not comma)",
        "line 9: longitude 'nan' is not a number between -180 and 180 (decimal point, not comma)",
        "line 10: name holds control characters",
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "the file is empty"),
        ("device;name\na;b\n", "semicolons"),
        ("device,colour\na,b\n", "'colour' is not known"),
        ("name\nx\n", "device is missing"),
        ("device,device\na,b\n", "twice"),
        ('device\n"a\n', "not readable as CSV"),
        ("device\n" + "x" * 200_000, "not readable as CSV"),
    ],
)
def test_a_file_that_is_none_is_said_to_be_none(content: str, words: str) -> None:
    entries, wrong = parse_devices(content)
    assert entries == []
    assert len(wrong) == 1
    assert words in wrong[0]


@pytest.mark.parametrize("formula", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "'=x", "''", "'+"])
def test_a_spreadsheet_runs_nothing_of_an_export_and_reading_it_back_gives_the_same(formula: str) -> None:
    device = Device("a", formula, "k", "", None, None, None, CREATED)
    written = format_devices([device])
    cell = written.splitlines()[1].split(",")[1].strip('"')
    assert cell[0] == "'"
    assert parse_devices(written)[0][0]["name"] == formula


@given(st.lists(devices, max_size=8, unique_by=lambda device: device.device))
def test_what_was_written_is_read_back(register: list[Device]) -> None:
    entries, wrong = parse_devices(format_devices(register))
    assert wrong == []
    assert entries == [{column: getattr(device, column) for column in COLUMNS} for device in register]
